"""Graphs of loops and branches: the operations they are made of, what is refused, and the regions found in them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import flowc as tf
from flowc.framework.arranging import arrange, condition_of
from flowc.framework.regions import Conditional, Loop, Step
from flowc.ops import control_flow_ops as flow


def types(graph: tf.Graph) -> Counter[str]:
    return Counter(op.type for op in graph.get_operations())


# -- cond --------------------------------------------------------------------------------------------------------------


def test_cond_is_made_of_switches_and_merges(graph: tf.Graph) -> None:
    x, pred = tf.placeholder(tf.float32, [2], name="x"), tf.placeholder(tf.bool, [], name="pred")
    result = tf.cond(pred, lambda: x * 2.0, lambda: x + 1.0)
    names = {op.name: op.type for op in graph.get_operations()}
    assert names["cond/Switch"] == "Switch"
    assert names["cond/switch_t"] == names["cond/switch_f"] == names["cond/pred_id"] == "Identity"
    assert result.name == "cond/Merge:0"
    assert result.op.type == "Merge"
    assert result.get_shape().as_list() == [2]
    assert [t.op.name for t in result.op.inputs] == ["cond/add", "cond/mul"]
    assert types(graph)["Switch"] == 3  # the predicate, and x for each side


def test_a_tensor_is_brought_in_once(graph: tf.Graph) -> None:
    x, pred = tf.placeholder(tf.float32, [2]), tf.placeholder(tf.bool, [])
    tf.cond(pred, lambda: x * x + x, lambda: x)
    assert types(graph)["Switch"] == 3


def test_constants_of_a_branch_wait_for_it(graph: tf.Graph) -> None:
    tf.cond(tf.placeholder(tf.bool, []), lambda: tf.constant(1.0, name="one"), lambda: tf.constant(2.0))
    assert [op.name for op in graph.get_operation_by_name("cond/one").control_inputs] == ["cond/switch_t"]


def test_what_cond_returns() -> None:
    x, pred = tf.placeholder(tf.float32, []), tf.placeholder(tf.bool, [])
    pair = tf.cond(pred, lambda: [x, x + 1.0], lambda: (x, x * 2.0))
    assert [t.op.type for t in pair] == ["Merge", "Merge"]
    assert isinstance(tf.cond(pred, lambda: [x], lambda: [x + 1.0]), tf.Tensor)
    slices = tf.IndexedSlices(tf.ones([2]), tf.constant([0, 3]))
    assert isinstance(tf.cond(pred, lambda: slices, lambda: slices), tf.IndexedSlices)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((True, lambda: 1, lambda: 2), TypeError, "pred must not be a Python bool"),
        ((None, 1, lambda: 2), TypeError, "fn1 must be callable"),
        ((None, lambda: 1, 2), TypeError, "fn2 must be callable"),
        ((None, lambda: [1, 2], lambda: 3), ValueError, "same number of results"),
        ((None, lambda: 1, lambda: 2.0), ValueError, "must have the same type: int32, float32"),
        ((None, lambda: None, lambda: 2.0), ValueError, "fn1 must have a return value"),
    ],
)
def test_cond_refuses(arguments: Any, error: type[Exception], message: str) -> None:
    pred = tf.placeholder(tf.bool, []) if arguments[0] is None else arguments[0]
    with pytest.raises(error, match=message):
        tf.cond(pred, *arguments[1:])


def test_case() -> None:
    x = tf.placeholder(tf.int32, [])
    assert tf.case([(x < 1, lambda: x), (x < 2, lambda: x * 2)], lambda: x * 3, exclusive=True).dtype == tf.int32
    assert tf.case({x < 1: lambda: x}, lambda: x * 3).op.type == "Merge"
    with pytest.raises(TypeError, match="default must be callable"):
        tf.case([(x < 1, lambda: x)], x)
    with pytest.raises(TypeError, match="pairs"):
        tf.case([(x < 1, x)], lambda: x)


# -- loops -------------------------------------------------------------------------------------------------------------


def test_a_loop_is_made_of_its_operations(graph: tf.Graph) -> None:
    limit = tf.placeholder(tf.int32, [], name="limit")
    results = flow.While(lambda i, x: i < limit, lambda i, x: [i + 1, x * 2.0], [tf.constant(0), tf.constant([1.0])])
    assert [t.name for t in results] == ["While/Exit:0", "While/Exit_1:0"]
    counts = types(graph)
    assert {t: counts[t] for t in ("Enter", "Merge", "LoopCond", "Switch", "NextIteration", "Exit")} == {
        "Enter": 3, "Merge": 2, "LoopCond": 1, "Switch": 2, "NextIteration": 2, "Exit": 2,
    }  # fmt: skip
    enters = [op for op in graph.get_operations() if op.type == "Enter"]
    assert [op.get_attr("is_constant") for op in enters] == [False, False, True]
    assert len({op.get_attr("frame_name") for op in enters}) == 1
    merge = graph.get_operation_by_name("While/Merge")
    assert [t.op.type for t in merge.inputs] == ["Enter", "NextIteration"]


def test_one_loop_variable_comes_back_by_itself() -> None:
    i = tf.constant(0)
    assert isinstance(flow.While(lambda i: i < 3, lambda i: i + 1, [i]), tf.Tensor)
    assert isinstance(tf.while_loop(lambda i: i < 3, lambda i: i + 1, [i]), tf.Tensor)


def test_while_loop_takes_nested_variables() -> None:
    results = tf.while_loop(
        lambda i, pair: i < 3, lambda i, pair: (i + 1, (pair[0], [pair[1][0] * 2.0])), (0, (1.0, [2.0]))
    )
    assert isinstance(results, tuple)
    assert isinstance(results[1][1], list)
    assert results[1][1][0].op.type == "Exit"


def test_shapes_of_loop_variables() -> None:
    x = tf.ones([2, 3])
    grown = flow.While(lambda i, m: i < 3, lambda i, m: [i + 1, tf.concat(0, [m, m])], [tf.constant(0), x])[1]
    assert grown.get_shape().as_list() == [None, 3]
    with pytest.raises(ValueError, match="not an invariant for the loop"):
        tf.while_loop(lambda i, m: i < 3, lambda i, m: [i + 1, tf.concat(0, [m, m])], [0, x])
    told = tf.while_loop(
        lambda i, m: i < 3,
        lambda i, m: [i + 1, tf.concat(0, [m, m])],
        [0, x],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, 3])],
    )
    assert told[1].get_shape().as_list() == [None, 3]
    with pytest.raises(ValueError, match="not compatible with the initial shape"):
        tf.while_loop(lambda m: True, lambda m: m, [x], shape_invariants=[tf.TensorShape([5, 3])])


@pytest.mark.parametrize(
    ("cond", "body", "variables", "error", "message"),
    [
        (1, lambda i: i, [0], TypeError, "cond must be callable"),
        (lambda i: True, 1, [0], TypeError, "body must be callable"),
        (lambda: True, list, [], ValueError, "No loop variables provided"),
        (lambda i: i, lambda i: i, [0], TypeError, "cond must return a bool, not int32"),
        (lambda i: i < [1, 2], lambda i: i, [0], ValueError, "cond must return a scalar"),
        (lambda i: i < 1, lambda i: [i, i], [0], ValueError, "must match loop_vars: 1, 2"),
        (lambda i: i < 1, lambda i: tf.to_float(i), [0], TypeError, "loop variable 0 is int32, and becomes float32"),
    ],
)
def test_loops_refuse(cond: Any, body: Any, variables: Any, error: type[Exception], message: str) -> None:
    for make in (flow.While, tf.while_loop):
        with pytest.raises(error, match=message):
            make(cond, body, variables)


@pytest.mark.parametrize("function", [tf.foldl, tf.foldr, tf.map_fn, tf.scan])
def test_functions_over_rows_take_functions(function: Any) -> None:
    with pytest.raises(TypeError, match="fn must be callable"):
        function(1, tf.ones([3]))
    assert function(lambda *rows: rows[0] * 2.0, tf.ones([3, 2])).dtype == tf.float32
    with pytest.raises(TypeError, match="fn must be callable"):
        flow.fold(1, tf.ones([3]), [1])


def test_controls_around_a_loop_hold_what_enters(graph: tf.Graph) -> None:
    first = tf.no_op(name="first")
    with tf.control_dependencies([first]):
        flow.While(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)])
    assert first in graph.get_operation_by_name("Const").control_inputs
    assert first not in graph.get_operation_by_name("While/add").control_inputs


def test_variables_made_inside_are_made_outside(graph: tf.Graph) -> None:
    made = []

    def side() -> Any:
        made.append(tf.Variable(3.0))
        return made[0] + 1.0

    tf.cond(tf.placeholder(tf.bool, []), side, lambda: tf.constant(0.0))
    assert not made[0].op.control_inputs
    assert not made[0].initializer.control_inputs


# -- single operations -------------------------------------------------------------------------------------------------


def test_single_operations() -> None:
    x, pred = tf.placeholder(tf.float32, [2]), tf.placeholder(tf.bool, [])
    no, yes = flow.switch(x, pred)
    assert (no.op.type, no.value_index, yes.value_index) == ("Switch", 0, 1)
    merged, index = flow.merge([no, yes])
    assert (merged.dtype, index.dtype, index.get_shape().as_list()) == (tf.float32, tf.int32, [])
    entered = flow.enter(x, "frame", True, 3)
    assert entered.op.get_attr("parallel_iterations") == 3
    assert flow.exit(entered).op.type == "Exit"
    assert flow.next_iteration(entered).op.type == "NextIteration"
    assert flow.loop_cond(pred).op.type == "LoopCond"
    assert flow.merge([tf.ones([2]), tf.ones([3])])[0].get_shape().as_list() == [None]
    with pytest.raises(TypeError):
        flow.merge([tf.ones([2]), tf.IndexedSlices(x, tf.constant([0, 1]))])
    with pytest.raises(TypeError, match="is float32, not int32"):
        merged.op._update_input(0, tf.constant(1))


# -- regions -----------------------------------------------------------------------------------------------------------


def shape_of(steps: list[Step]) -> list[Any]:
    """The tree of regions; of an operation its type, if something depends on it in a region."""
    found: list[Any] = []
    for step in steps:
        if isinstance(step, Loop):
            found.append(("loop", len(step.variables), shape_of(step.cond), shape_of(step.body)))
        elif isinstance(step, Conditional):
            found.append(("conditional", len(step.merges), shape_of(step.if_false), shape_of(step.if_true)))
        elif step.type in ("Mul", "Add", "Less"):
            found.append(step.type)
    return found


def test_the_tree_of_regions(graph: tf.Graph) -> None:
    x, pred = tf.placeholder(tf.float32, []), tf.placeholder(tf.bool, [])

    def body(i: Any, v: Any) -> list[Any]:
        return [i + 1, tf.cond(pred, lambda: v * 2.0, lambda: v)]

    tf.cond(pred, lambda: flow.While(lambda i, v: i < 3, body, [tf.constant(0), x])[1], lambda: x + 1.0)
    assert shape_of(arrange(graph.get_operations())) == [
        ("conditional", 1, ["Add"], [("loop", 2, ["Less"], ["Add", ("conditional", 1, [], ["Mul"])])])
    ]


def test_conditions_of_one_predicate_are_one_region_where_they_can_be(graph: tf.Graph) -> None:
    x, p, q = tf.placeholder(tf.float32, []), tf.placeholder(tf.bool, []), tf.placeholder(tf.bool, [])
    first = tf.cond(p, lambda: x * 2.0, lambda: x)
    tf.cond(p, lambda: x * 3.0, lambda: x)
    between = tf.cond(q, lambda: first * 4.0, lambda: first)
    tf.cond(p, lambda: between * 5.0, lambda: between)
    steps = [s for s in arrange(graph.get_operations()) if isinstance(s, Conditional)]
    assert [(s.pred, len(s.merges)) for s in steps] == [(p, 2), (q, 1), (p, 1)]


def test_what_decides_at_a_merge() -> None:
    x, pred = tf.placeholder(tf.float32, []), tf.placeholder(tf.bool, [])
    merged = tf.cond(pred, lambda: x * 2.0, lambda: x)
    assert condition_of(merged.op) == (pred, [False, True])
    with pytest.raises(LookupError, match="No condition decides"):
        condition_of(flow.merge([x, x])[0].op)


def test_sides_of_two_conditions_cannot_merge(graph: tf.Graph) -> None:
    x, p, q = tf.placeholder(tf.float32, []), tf.placeholder(tf.bool, []), tf.placeholder(tf.bool, [])
    flow.merge([flow.switch(x, p)[0], flow.switch(x, q)[1]])
    with pytest.raises(tf.errors.UnimplementedError, match="two sides of one condition"):
        arrange(graph.get_operations())


def test_graph_definitions_keep_loops(graph: tf.Graph) -> None:
    x, n = tf.placeholder(tf.float32, [2], name="x"), tf.placeholder(tf.int32, [], name="n")
    flow.While(lambda i, v: i < n, lambda i, v: [i + 1, tf.cond(i > 1, lambda: v * 2.0, lambda: v)], [0, x])
    expected = shape_of(arrange(graph.get_operations()))
    definition = graph.as_graph_def()
    with tf.Graph().as_default() as other:
        tf.import_graph_def(definition, name="")
        assert types(other) == types(graph)
        assert shape_of(arrange(other.get_operations())) == expected
