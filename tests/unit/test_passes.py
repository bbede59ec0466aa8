"""The compiler's passes, each stopped after it ran: a graph in, IR out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.debug import printable
from flowc.codegen.explain import format_explanation
from flowc.codegen.feed_spec import FeedSpec
from flowc.codegen.fuse import live_nodes
from flowc.codegen.groups import Group
from flowc.codegen.ir import Node
from flowc.codegen.pipeline import Compilation, Stage, compile_stages
from flowc.codegen.plan import Column, Plan, Space


def compiled(fetches: Sequence[Any], targets: Sequence[Any] = (), stop_after: Stage = "assemble") -> Compilation:
    """The compilation of a graph whose placeholders, all with known shapes, are all fed."""
    placeholders = [op.outputs[0] for op in tf.get_default_graph().get_operations() if op.type == "Placeholder"]
    feeds = [FeedSpec(tensor, tuple(tensor.get_shape().as_list())) for tensor in placeholders]
    return compile_stages(fetches, targets, feeds, stop_after)


def expressions(fetches: Sequence[Any], targets: Sequence[Any] = ()) -> list[str]:
    """The maps, reductions and calls of the program, by primitive, less the copies that fetches are given."""
    nodes = live_nodes(compiled(fetches, targets, "specialise").program)
    names = [node.attr if node.op == "map" else node.attr[0] for node in nodes if node.op in ("map", "reduce", "call")]
    return [name for name in names if name != "copy"]


def groups(fetches: Sequence[Any], targets: Sequence[Any] = ()) -> list[tuple[str, list[str]]]:
    """(form, primitives) of each group."""
    fusion = compiled(fetches, targets, "fuse").fusion
    assert fusion is not None
    return [(g.form, [_primitive(node) for node in g.nodes]) for g in fusion.groups]


def refusals(fetches: Sequence[Any]) -> set[str]:
    fusion = compiled(fetches, (), "fuse").fusion
    assert fusion is not None
    return set(fusion.refusals.values())


def _primitive(node: Node) -> str:
    return str(node.attr if node.op == "map" else node.attr[0])


def feed(name: str, *shape: int, dtype: Any = tf.float32) -> Any:
    return tf.placeholder(dtype, list(shape), name=name)


# -- prune, fold, share, simplify --------------------------------------------------------------------------------------


def test_what_nothing_needs_is_pruned() -> None:
    x = feed("x", 4)
    tf.exp(x)
    assert expressions([tf.tanh(x)]) == ["tanh"]


def test_a_fed_tensor_cuts_off_what_computes_it() -> None:
    x = feed("x", 4)
    y = tf.exp(x)
    program = compile_stages([tf.tanh(y)], [], [FeedSpec(y, (4,))], "specialise").program
    assert printable(program).splitlines()[:2] == [
        "%0 = feed 0 : float32[4]",
        f"{'%1 = tanh(%0) : float32[4]':52}; Tanh",
    ]


def test_constants_are_folded() -> None:
    scale = tf.sqrt(tf.constant(2.0) * 8.0) + tf.cast(tf.shape(tf.zeros([3]))[0], tf.float32)
    program = compiled([feed("x", 4) * scale], (), "specialise").program
    assert "const 7.0" in printable(program)
    assert expressions([feed("y", 4) * scale]) == ["mul"]


def test_a_fed_constant_is_not_folded() -> None:
    c = tf.constant([1.0, 2.0])
    program = compile_stages([c * 2.0], [], [FeedSpec(c, (2,))], "specialise").program
    assert "feed 0" in printable(program)


def test_equal_expressions_are_one() -> None:
    x, y = feed("x", 4), feed("y", 4)
    assert expressions([tf.exp(x * y) + 1.0, tf.exp(x * y) * 2.0]) == ["mul", "exp", "add", "mul"]


def test_random_numbers_are_not_shared() -> None:
    found = expressions([tf.random_uniform([4]) + tf.random_uniform([4])])
    assert found.count("random") == 2


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda x: x * 1.0, []),
        (lambda x: 1.0 * x, []),
        (lambda x: x / 1.0, []),
        (lambda x: x - 0.0, []),
        (lambda x: tf.neg(tf.neg(x)), []),
        (lambda x: tf.identity(tf.cast(x, tf.float32)), []),
        (lambda x: tf.pow(x, 2.0), ["mul"]),
        (lambda x: tf.square(x), ["mul"]),
        (lambda x: x / 4.0, ["mul"]),
        (lambda x: tf.transpose(tf.transpose(x)), []),
        (lambda x: tf.reshape(tf.reshape(x, [24]), [4, 6]), []),
        # What would not be exact in IEEE arithmetic stays:
        (lambda x: x + 0.0, ["add"]),
        (lambda x: x * 0.0, ["mul"]),
        (lambda x: x - x, ["sub"]),
        (lambda x: x / 3.0, ["div"]),
    ],
)
def test_algebra(build: Any, expected: list[str]) -> None:
    assert expressions([build(feed("x", 4, 6))]) == expected


def test_shapes_are_views_not_copies() -> None:
    x = feed("x", 4, 6)
    y = tf.exp(tf.transpose(x)[1:3, ::-1] + tf.reshape(x, [6, 4])[:2, :])
    assert expressions([y]) == ["add", "exp"]


# -- fusion ------------------------------------------------------------------------------------------------------------


def test_a_chain_is_one_kernel() -> None:
    x, y = feed("x", 8, 8), feed("y", 8, 8)
    assert groups([tf.tanh(x * y + 1.0) / y]) == [("map", ["mul", "add", "tanh", "div"])]


def test_a_tree_is_one_kernel() -> None:
    x, y = feed("x", 8), feed("y", 8)
    assert len(groups([tf.exp(x) + tf.log(y) * tf.sin(x)])) == 1


def test_softmax_and_what_follows_are_one_kernel() -> None:
    (form, members), *others = groups([tf.nn.softmax(feed("x", 8, 16)) * 2.0])
    assert (form, others) == ("row", [])
    assert members == ["max", "sub", "exp", "sum", "reciprocal", "mul", "mul"]


def test_layer_norm_is_one_kernel() -> None:
    x = feed("x", 8, 16)
    mean = tf.reduce_mean(x, [1], keep_dims=True)
    variance = tf.reduce_mean(tf.square(x - mean), [1], keep_dims=True)
    assert [form for form, _ in groups([(x - mean) * tf.rsqrt(variance + 1e-5)])] == ["row"]


def test_a_bias_gradient_sums_columns() -> None:
    assert groups([tf.reduce_sum(feed("x", 64, 8) * 2.0, [0])]) == [("col", ["mul", "sum"])]


def test_a_large_sum_is_split_into_blocks() -> None:
    assert groups([tf.reduce_sum(tf.exp(feed("x", 1000, 1000)))]) == [("row", ["exp", "sum"]), ("row", ["sum"])]


def test_what_does_not_fuse_says_why() -> None:
    x = feed("x", 8, 8)
    assert refusals([tf.exp(tf.matmul(x, x))]) == {"the producer is a library call or a hand-written kernel"}
    y = tf.reduce_sum(x, [1])
    assert refusals([tf.exp(x) * y]) == {"it reads the producer at other indices (a transpose, slice or broadcast)"}


def test_edges_in_the_explanation_join_different_kernels() -> None:
    x = feed("x", 8, 8)
    plan = compiled([tf.exp(tf.matmul(x, x, name="m"), name="e")]).plan
    assert plan is not None
    text = format_explanation(plan, {"m": "model.py:7"})
    assert "m → e: the producer is a library call or a hand-written kernel" in text
    assert "op       m  (model.py:7)" in text


def test_adam_is_one_pass_over_each_variable() -> None:
    w = tf.Variable(tf.zeros([64, 64]), name="w")
    step = tf.train.AdamOptimizer().minimize(tf.reduce_sum(w * feed("x", 64, 64)))
    large = [members for form, members in groups([], [step]) if len(members) > 8]
    assert len(large) == 1


# -- schedule ----------------------------------------------------------------------------------------------------------


def steps_of(compilation: Compilation) -> dict[str, int]:
    """The step that computes each of the user's operations."""
    assert compilation.schedule is not None
    steps = compilation.schedule.steps
    return {node.origin: number for number, group in enumerate(steps) for node in group.nodes}


def written_in_place(compilation: Compilation) -> dict[str, bool]:
    """For each variable, whether the operation that makes its value writes it, rather than a copy at the end."""
    assert compilation.schedule is not None
    return {name: node.attr != "copy" for node, name in compilation.schedule.in_place.items()}


def test_old_values_are_read_before_they_are_overwritten() -> None:
    w = tf.Variable(np.ones((64, 64), np.float32), name="w")
    new = w.assign(feed("x", 64, 64) * 2.0)
    with tf.name_scope("old"):
        old = tf.matmul(w, w, name="product")
    result = compiled([old], [new.op], "schedule")
    steps = steps_of(result)
    assert written_in_place(result) == {"w": True}
    assert steps["old/product"] < steps["mul"]


def test_updates_go_straight_into_variables() -> None:
    w = tf.Variable(tf.zeros([8]), name="w")
    assert written_in_place(compiled([], [w.assign(w * 0.5 + feed("x", 8)).op], "schedule")) == {"w": True}


def test_a_swap_needs_a_copy() -> None:
    a, b = tf.Variable(tf.zeros([8, 8]), name="a"), tf.Variable(tf.zeros([8, 8]), name="b")
    swap = tf.group(a.assign(tf.transpose(b)), b.assign(tf.transpose(a)))
    schedule = compiled([], [swap], "schedule").schedule
    assert schedule is not None
    copies = [node for node in schedule.in_place if node.args[0].op != "view"]
    assert copies, "one of the two is written too early"


def test_what_overwrites_its_own_neighbours_needs_a_copy() -> None:
    w = tf.Variable(tf.zeros([8]), name="w")
    schedule = compiled([], [w.assign(tf.reverse(w, [True])).op], "schedule").schedule
    assert schedule is not None
    (copy,) = schedule.in_place
    assert copy.args[0].op == "map", "the reversed values are in memory of their own first"


def test_variables_are_written_after_all_that_may_fail() -> None:
    w = tf.Variable(tf.zeros([8]), name="w")
    rows = feed("rows", 4, dtype=tf.int32)
    picked = tf.gather(feed("table", 16), rows, name="pick")
    result = compiled([picked], [w.assign(w + 1.0).op], "schedule")
    steps = steps_of(result)
    assert result.schedule is not None
    writers = [
        group.id for group in result.schedule.steps if any(node in result.schedule.in_place for node in group.nodes)
    ]
    assert result.schedule.guarded == set(writers)
    assert steps["pick"] < max(steps[name] for name in ("add", "write") if name in steps)


def test_guarded_launches_are_skipped_after_an_error() -> None:
    w = tf.Variable(tf.zeros([8]), name="w")
    picked = tf.gather(feed("table", 16), feed("rows", 4, dtype=tf.int32))
    plan = compiled([picked], [w.assign(w + 1.0).op]).plan
    assert plan is not None
    guards = dict(zip(plan.labels, plan.entries[:, Column.GUARD].tolist(), strict=True))
    assert guards["Gather"] == 0
    assert sum(guards.values()) == 1


# -- memory ------------------------------------------------------------------------------------------------------------


def plan_of(fetches: Sequence[Any]) -> Plan:
    plan = compiled(fetches).plan
    assert plan is not None
    return plan


def test_memory_of_what_nobody_reads_any_more_is_used_again() -> None:
    x = feed("x", 64, 64)
    y = x
    for _ in range(6):
        y = tf.matmul(y, x)
    assert plan_of([y]).arena_size == 2 * 64 * 64 * 4


def test_temporaries_that_live_together_do_not_overlap() -> None:
    x = feed("x", 64, 64)
    products = [tf.matmul(x, x * float(i + 2)) for i in range(4)]
    result = compiled([tf.matmul(tf.add_n(products), x)], (), "memory")
    assert result.layout is not None
    assert result.schedule is not None
    spans = _arena_spans(result)
    for first in spans:
        for second in spans:
            if first is not second and first[0] <= second[1] and second[0] <= first[1]:  # alive at the same step
                assert first[3] <= second[2] or second[3] <= first[2], (first, second)


def _arena_spans(result: Compilation) -> list[tuple[int, int, int, int]]:
    """(first step, last step, begin, end) of each value in the arena that has memory of its own."""
    assert result.schedule is not None
    assert result.layout is not None
    step_of: dict[Group, int] = {group: i for i, group in enumerate(result.schedule.steps)}
    spans = []
    for node, place in result.layout.places.items():
        if place.space is Space.ARENA and node not in result.layout.overwritten.values():
            made = next(i for group, i in step_of.items() if node in group.levels)
            used = max([step_of[group] for group in result.schedule.users.get(node, ())], default=made)
            spans.append((made, used, place.offset, place.offset + node.size * node.dtype.size))
    return spans


def test_fetches_and_variables_are_not_in_the_arena() -> None:
    w = tf.Variable(tf.zeros([8]), name="w")
    plan = plan_of([feed("x", 8) + 1.0, w.assign_add(feed("y", 8))])
    assert plan.arena_size == 0
    assert {Space.FEED, Space.FETCH, Space.VARIABLE} <= set(plan.relocations[:, 1].tolist())


# -- what passes print -------------------------------------------------------------------------------------------------


def test_every_stage_can_be_printed() -> None:
    w = tf.Variable(tf.zeros([4, 4]), name="w")
    result = compiled([tf.nn.softmax(tf.matmul(feed("x", 4, 4), w))], [w.assign(w * 2.0).op])
    assert result.fusion is not None
    assert result.schedule is not None
    assert result.layout is not None
    for stage, part in (
        (result.program, "= variable w : float32[4, 4]"),
        (result.fusion, "row [4, 4], axes [1]: "),
        (result.schedule, "is written to w"),
        (result.layout, "in variable 0"),
    ):
        assert part in printable(stage)


def test_debug_levels_print_passes_and_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    y = tf.exp(feed("x", 4))
    for level, parts in (("2", []), ("3", ["after fuse:"]), ("4", ["after memory:", "flowc: kernel exp_"])):
        monkeypatch.setenv("FLOWC_DEBUG", level)
        compiled([y])
        printed = capsys.readouterr().err
        assert all(part in printed for part in parts)
        assert bool(printed) == bool(parts)
