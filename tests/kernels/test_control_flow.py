"""Loops and branches: compiled runs against the reference, step by step on the host too, and in stored plans."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.reference import run_reference
from flowc.framework.building import apply
from flowc.ops import control_flow_ops as flow

Fetch = Callable[["Inputs"], Any]


class Inputs:
    """What the programs below compute from."""

    def __init__(self) -> None:
        self.n = tf.placeholder(tf.int32, [], name="n")
        self.yes = tf.placeholder(tf.bool, [], name="yes")
        self.x = tf.placeholder(tf.float32, [3], name="x")
        self.w = tf.placeholder(tf.float32, [3, 3], name="w")
        self.wide = tf.placeholder(tf.float32, [40, 50], name="wide")

    def row(self, x: Any) -> Any:
        """x·w, which is a call of a library."""
        return tf.reshape(tf.matmul(tf.reshape(x, [1, 3]), self.w), [3])

    def values(self, n: int, yes: bool) -> dict[tf.Tensor, Any]:
        rng = np.random.default_rng(n)
        return {
            self.n: n,
            self.yes: yes,
            self.x: rng.uniform(0.1, 1.0, 3).astype(np.float32),
            self.w: rng.uniform(-0.5, 0.5, (3, 3)).astype(np.float32),
            self.wide: rng.uniform(-1.0, 1.0, (40, 50)).astype(np.float32),
        }


def times(i: Inputs, step: Callable[[Any], Any], start: Any) -> Any:
    """`step`, n times."""
    return tf.while_loop(lambda k, _: k < i.n, lambda k, value: [k + 1, step(value)], [tf.constant(0), start])[1]


def nested(i: Inputs) -> Any:
    def outer(k: Any, total: Any) -> list[Any]:
        _, total = tf.while_loop(lambda j, _: j < k, lambda j, t: [j + 1, t * 0.5 + i.x], [tf.constant(0), total])
        return [k + 1, total]

    return tf.while_loop(lambda k, _: k < i.n, outer, [tf.constant(0), i.x])


def nested_branches(i: Inputs) -> Any:
    return tf.cond(i.yes, lambda: tf.cond(i.n > 2, lambda: i.row(i.x), lambda: i.x - 1.0), lambda: i.x * 2.0)


def one_after_the_other(i: Inputs) -> Any:
    """Conditions of one predicate, of which the second needs the first."""
    first = tf.cond(i.yes, lambda: i.row(i.x), lambda: i.x)
    second = tf.cond(i.n > 1, lambda: i.row(first), lambda: first + 1.0)
    return tf.cond(i.yes, lambda: second * first, lambda: i.row(second))


def collatz(i: Inputs) -> Any:
    """Integers, with a condition in the body that becomes a selection."""
    return tf.while_loop(
        lambda k, m: tf.not_equal(m, 1),
        lambda k, m: [k + 1, tf.cond(tf.equal(m % 2, 0), lambda: tf.div(m, 2), lambda: 3 * m + 1)],
        [tf.constant(0), i.n + 5],
    )


PROGRAMS: dict[str, Fetch] = {
    "branches of elements": lambda i: tf.cond(i.yes, lambda: i.x * 2.0, lambda: tf.sin(i.x)),
    "branches with a call": lambda i: tf.cond(i.yes, lambda: i.row(i.x), lambda: i.x),
    "large branches": lambda i: tf.cond(
        i.yes, lambda: tf.nn.softmax(i.wide), lambda: tf.transpose(tf.reshape(i.wide, [50, 40]))
    ),
    "several results": lambda i: tf.cond(i.yes, lambda: [i.x, i.row(i.x)], lambda: [i.row(i.x), i.x + 1.0]),
    "a captured tensor as the result": lambda i: tf.cond(i.yes, lambda: i.wide, lambda: i.wide + tf.reduce_sum(i.wide)),
    "nested branches": nested_branches,
    "one after the other": one_after_the_other,
    "numbers in registers": lambda i: times(i, lambda v: v * 0.5 + 1.0, tf.constant(3.0)),
    "a few numbers in registers": lambda i: times(i, lambda v: tf.reverse(v, [True]) * 0.5 + tf.reduce_max(v), i.x),
    "two that swap": lambda i: tf.while_loop(
        lambda k, a, b: k < i.n, lambda k, a, b: [k + 1, b, a + b], [tf.constant(0), tf.constant(1), tf.constant(1)]
    ),
    "arrays that swap": lambda i: tf.while_loop(
        lambda k, a, b: k < i.n,
        lambda k, a, b: [k + 1, b, a * 0.5 + b],
        [tf.constant(0), i.wide, i.wide * 2.0],
    ),
    "a product each time": lambda i: times(i, lambda v: tf.tanh(i.row(v)), i.x),
    "large arrays": lambda i: times(i, lambda v: tf.nn.softmax(v + i.wide), i.wide),
    "what does not change": lambda i: tf.while_loop(
        lambda k, v, same: k < i.n, lambda k, v, same: [k + 1, v + same, same], [tf.constant(0), i.wide, i.wide]
    ),
    "a view to start with": lambda i: times(i, lambda v: v * 2.0, tf.transpose(i.wide)),
    "nested loops": nested,
    "collatz": collatz,
    "a loop in a branch": lambda i: tf.cond(i.yes, lambda: times(i, i.row, i.x), lambda: i.x),
    "a branch with a call in a loop": lambda i: times(
        i, lambda v: tf.cond(tf.reduce_sum(v) > 0.5, lambda: i.row(v), lambda: v + i.x), i.x
    ),
    "a condition that is known": lambda i: tf.cond(tf.constant(True), lambda: i.x, lambda: tf.log(-i.x)),
    "a loop that never starts": lambda i: tf.while_loop(lambda k, v: k < 0, lambda k, v: [k + 1, v * 2], [0, i.x]),
    "fold": lambda i: flow.fold(lambda a, b: a * b + 1.0, i.wide, [1, 50]),
    "foldl": lambda i: tf.foldl(lambda a, b: a * 0.5 + b, i.wide),
    "foldr": lambda i: tf.foldr(lambda a, b: a * 0.5 + b, i.wide, initializer=tf.zeros([50])),
    "map": lambda i: tf.map_fn(lambda row: tf.reduce_sum(row) + row, i.wide),
    "scan": lambda i: tf.scan(lambda a, b: tf.maximum(a, b), i.wide),
    "case": lambda i: tf.case([(i.n > 3, lambda: i.x), (i.yes, lambda: i.x * 2.0)], lambda: i.row(i.x)),
}  # fmt: skip


def flat(fetched: Any) -> list[Any]:
    return list(fetched) if isinstance(fetched, (list, tuple)) else [fetched]


@pytest.fixture(scope="module")
def programs() -> tuple[tf.Graph, Inputs, list[tuple[str, Any]]]:
    """All programs in one graph, so that they are compiled in one go."""
    with tf.Graph().as_default() as graph:
        inputs = Inputs()
        fetches = [(name, tensor) for name, program in PROGRAMS.items() for tensor in flat(program(inputs))]
    return graph, inputs, fetches


@pytest.mark.parametrize(("n", "yes"), [(0, True), (1, False), (4, True), (7, False)])
def test_programs(programs: tuple[tf.Graph, Inputs, list[tuple[str, Any]]], n: int, yes: bool) -> None:
    graph, inputs, fetches = programs
    feeds = inputs.values(n, yes)
    expected, _ = run_reference([tensor for _, tensor in fetches], feeds, {})
    with tf.Session(graph=graph) as session:
        actual = session.run([tensor for _, tensor in fetches], feeds)
    for (name, _), got, want in zip(fetches, actual, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6, err_msg=name)


TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "complex64")


def test_loops_in_registers_of_every_type() -> None:
    with tf.Graph().as_default() as graph:
        starts = {t: np.array([1, 2, 3]).astype(t) for t in TYPES}
        loops = [
            tf.while_loop(lambda k, v: k < 5, lambda k, v: [k + 1, v * v - v + 1], [tf.constant(0), tf.constant(x)])[1]
            for x in starts.values()
        ]
        flips = tf.while_loop(
            lambda k, b: k < 5, lambda k, b: [k + 1, tf.logical_not(b)], [tf.constant(0), tf.constant([True, False])]
        )[1]
    with tf.Session(graph=graph) as session:
        actual = session.run([*loops, flips])
    for got, want in zip(actual, run_reference([*loops, flips], {}, {})[0], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3)


def test_a_loop_is_one_native_call_and_a_scalar_one_a_single_kernel() -> None:
    with tf.Graph().as_default() as graph:
        n = tf.placeholder(tf.int32, [])
        scalar = tf.while_loop(lambda i: i < n, lambda i: i + 1, [tf.constant(0)])
    with tf.Session(graph=graph) as session:
        plan = session.plan(scalar, {n: 3}).plan
        assert plan.region_rows == 0
        assert [kernel.name for kernel in plan.kernels if kernel.name.startswith("loop_")]
        assert session.run(scalar, {n: 1_000_000}) == 1_000_000


def test_explanations_show_what_an_iteration_does(capsys: pytest.CaptureFixture[str]) -> None:
    with tf.Graph().as_default() as graph:
        inputs = Inputs()
        loop = times(inputs, inputs.row, inputs.x)
        branch = tf.cond(inputs.yes, lambda: inputs.row(inputs.x), lambda: inputs.x)
    with tf.Session(graph=graph) as session:
        text = session.plan([loop, branch], inputs.values(2, True)).explain()
    assert "a loop\n" in text
    assert "one of two sides\n" in text
    after = text[text.index("an iteration:") :]
    assert any(name in after for name in ("gemm", "gemv", "matmul"))
    assert "if true:" in text
    assert "if false:" in text


# -- by single operations ----------------------------------------------------------------------------------------------


def test_a_loop_made_of_single_operations() -> None:
    with tf.Graph().as_default() as graph:
        limit = tf.placeholder(tf.int32, [])
        start = flow.enter(tf.constant(0), "mine", False)
        bound, step = flow.enter(limit, "mine", True), flow.enter(tf.constant(3), "mine", True)
        merged, _ = flow.merge([start, start])
        going_on = flow.loop_cond(tf.less(merged, bound))
        left, inside = flow.switch(merged, going_on)
        merged.op._update_input(1, flow.next_iteration(tf.add(inside, step)))
        result = flow.exit(left)
        once = flow.exit(flow.enter(limit, "other", False) * 2)
    with tf.Session(graph=graph) as session:
        assert session.run([result, once], {limit: 10}) == [12, 20]


def test_references_pass_through() -> None:
    """ "RefSwitch", "RefMerge", "RefEnter", "RefExit" and "RefNextIteration" stand for the variable's value."""
    with tf.Graph().as_default() as graph:
        yes = tf.placeholder(tf.bool, [])
        v = tf.Variable(5.0)
        sides = flow.switch(v.ref(), yes)
        merged, _ = flow.merge(sides)
        left = flow.exit(flow.enter(v.ref(), "frame"))
        assert [t.op.type for t in (sides[0], merged, left)] == ["RefSwitch", "RefMerge", "RefExit"]
        assert flow.next_iteration(v.ref()).op.type == "RefNextIteration"
        initialize = tf.initialize_all_variables()
    with tf.Session(graph=graph) as session:
        session.run(initialize)
        assert session.run([merged, left], {yes: True}) == [5.0, 5.0]


def test_a_trigger_waits() -> None:
    with tf.Graph().as_default() as graph:
        v = tf.Variable(1.0)
        with tf.control_dependencies([tf.assign(v, 2.0)]):
            done = flow.control_trigger()
        initialize = tf.initialize_all_variables()
    with tf.Session(graph=graph) as session:
        session.run(initialize)
        session.run(done)
        assert session.run(v) == 2.0


def test_rows_put_in_place() -> None:
    with tf.Graph().as_default() as graph:
        x, rows, at = (tf.placeholder(t, s) for t, s in ((tf.float32, [4, 2]), (tf.float32, [2, 2]), (tf.int32, [2])))
        changed = apply("InplaceUpdate", [x, at, rows])
        both = [changed, x + 0.0]
    feeds = {x: np.arange(8.0).reshape(4, 2), rows: -np.ones((2, 2)), at: [3, 1]}
    with tf.Session(graph=graph) as session:
        for got, want in zip(session.run(both, feeds), run_reference(both, feeds, {})[0], strict=True):
            np.testing.assert_equal(got, want)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"not in \[0, 4\)"):
            session.run(changed, {**feeds, at: [3, 4]})


# -- the host's part ---------------------------------------------------------------------------------------------------


def test_loops_whose_variables_grow() -> None:
    with tf.Graph().as_default() as graph:
        n, x = tf.placeholder(tf.int32, []), tf.placeholder(tf.float32, [2, 2])
        tiled = flow.While(lambda i, m: i < 2, lambda i, m: [i + 1, tf.tile(m, [2, 2])], [tf.constant(0), x])[1]
        joined = flow.While(lambda i, m: i < n, lambda i, m: [i + 1, tf.concat(0, [m, x])], [tf.constant(0), x])[1]
        fetches = [tiled, joined, tf.reduce_sum(joined) + tf.reduce_sum(tiled)]
    feeds = {n: 3, x: np.arange(4.0).reshape(2, 2)}
    with tf.Session(graph=graph) as session:
        for got, want in zip(session.run(fetches, feeds), run_reference(fetches, feeds, {})[0], strict=True):
            np.testing.assert_allclose(got, want)
        assert session.run(joined, {**feeds, n: 0}).shape == (2, 2)


def test_branches_of_different_shapes_and_of_strings() -> None:
    with tf.Graph().as_default() as graph:
        yes, x = tf.placeholder(tf.bool, []), tf.placeholder(tf.float32, [2])
        text = tf.cond(yes, lambda: tf.constant("yes"), lambda: tf.constant("no"))
        shapes = tf.cond(yes, lambda: tf.concat(0, [x, x]), lambda: x)
        by_value = tf.cond(tf.reduce_sum(x) > 2.0, lambda: tf.concat(0, [x, x]), lambda: x) * 2.0
    with tf.Session(graph=graph) as session:
        for outcome in (True, False):
            got = session.run([text, shapes, by_value], {yes: outcome, x: [1.0, 1.0 + outcome]})
            assert got[0] == (b"yes" if outcome else b"no")
            assert got[1].shape == got[2].shape == ((4,) if outcome else (2,))


def test_ops_of_the_host_inside() -> None:
    seen: list[int] = []

    def note(i: Any) -> Any:
        seen.append(int(i))
        return i

    with tf.Graph().as_default() as graph:
        n, yes = tf.placeholder(tf.int32, []), tf.placeholder(tf.bool, [])

        def body(i: Any, total: Any) -> list[Any]:
            noted = tf.py_func(note, [i], [tf.int32])[0]
            inner = tf.while_loop(lambda j, t: j < noted, lambda j, t: [j + 1, t + 1.0], [tf.constant(0), total])[1]
            return [noted + 1, inner]

        loop = flow.While(lambda i, t: i < n, body, [tf.constant(0), tf.constant(0.0)])
        branch = tf.cond(yes, lambda: tf.py_func(note, [n * 100], [tf.int32])[0], lambda: n)
        queue = tf.FIFOQueue(10, [tf.int32])

        def enqueue(i: Any) -> Any:
            with tf.control_dependencies([queue.enqueue(i)]):
                return i + 1

        filled = tf.while_loop(lambda i: i < n, enqueue, [tf.constant(0)])
        size = queue.size()
    with tf.Session(graph=graph) as session:
        assert session.run(loop, {n: 4}) == [4, 6.0]
        assert seen == [0, 1, 2, 3]
        assert session.run(branch, {n: 4, yes: False}) == 4
        assert len(seen) == 4
        assert session.run(branch, {n: 4, yes: True}) == 400
        session.run(filled, {n: 3})
        assert session.run(size) == 3


# -- plans -------------------------------------------------------------------------------------------------------------


def test_plans_with_loops_travel(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        inputs = Inputs()
        loop = times(inputs, inputs.row, inputs.x)
        (gradient,) = tf.gradients(loop, [inputs.x])
    feeds = inputs.values(4, True)
    with tf.Session(graph=graph) as session:
        expected = session.run([loop, gradient], {t: feeds[t] for t in (inputs.n, inputs.x, inputs.w)})
    with graph.as_default():
        given = {t: np.asarray(feeds[t]) for t in (inputs.n, inputs.x, inputs.w)}
        tf.compile([loop, gradient], given).save(tmp_path / "loop.flowc")
    loaded = tf.load_plan(tmp_path / "loop.flowc")
    for got, want in zip(loaded(**{t.op.name: v for t, v in given.items()}), expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_threads_have_histories_of_their_own() -> None:
    with tf.Graph().as_default() as graph:
        x, n = tf.placeholder(tf.float64, [50]), tf.placeholder(tf.int32, [])
        y = tf.while_loop(lambda i, v: i < n, lambda i, v: [i + 1, tf.sin(v) + v], [tf.constant(0), x])[1]
        (gradient,) = tf.gradients(y, [x])
    with tf.Session(graph=graph) as session:
        feeds = [{x: np.full(50, 0.1 * k), n: 20 + k} for k in range(4)]
        expected = [session.run(gradient, feed) for feed in feeds]
        wrong = []

        def work(k: int) -> None:
            for _ in range(30):
                if not np.array_equal(session.run(gradient, feeds[k]), expected[k]):
                    wrong.append(k)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
