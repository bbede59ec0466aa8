"""Gradients through branches and loops, by the central differences of `numeric_gradients`.

They go through "Switch", "RefSwitch", "Merge", "RefMerge", and by whole loops through "Enter", "RefEnter", "Exit",
"RefExit", "NextIteration" and "RefNextIteration".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.ops import control_flow_ops as flow
from tests.kernels.numeric_gradients import Case, case, check_gradients, smooth

X, W = smooth((3,)), smooth((3, 3), 1) * 0.4


def row(x: Any, w: Any) -> Any:
    return tf.reshape(tf.matmul(tf.reshape(x, [1, 3]), w), [3])


def program(function: Callable[..., Any], *inputs: Any) -> Case:
    """A function of x and w; `inputs`: what else it takes, without gradients, as values that only a run knows."""
    arrays = (X, W, *map(np.asarray, inputs))

    def of(x: Any, w: Any, *rest: Any) -> list[Any]:
        later = tf.reduce_sum(x) > -1e6
        known = [tf.logical_and(y, later) if y.dtype is tf.bool else y + tf.cast(later, tf.int32) - 1 for y in rest]
        return [function(x, w, *known)]

    return Case(function.__name__, arrays, of, frozenset(range(2, len(arrays))))


def times(n: Any, step: Callable[[Any], Any], start: Any) -> Any:
    return tf.while_loop(lambda k, _: k < n, lambda k, v: [k + 1, step(v)], [tf.constant(0), start])[1]


def branch(x: Any, w: Any, yes: Any) -> Any:
    return tf.cond(yes, lambda: tf.sin(x) * x, lambda: row(x, w))


def branch_with_constants(x: Any, w: Any, yes: Any) -> Any:
    return tf.cond(yes, lambda: x * 2.0 + 1.0, lambda: x * 3.0)


def branch_that_uses_one_input(x: Any, w: Any, yes: Any) -> Any:
    return tf.cond(yes, lambda: tf.reduce_sum(w) * tf.ones([3], tf.float64), lambda: tf.zeros([3], tf.float64)) * x


def branch_in_branch(x: Any, w: Any, yes: Any) -> Any:
    def inner() -> Any:
        return tf.cond(tf.reduce_sum(x) > 0.0, lambda: row(x, w), lambda: x * x)

    return tf.square(tf.cond(yes, inner, lambda: row(tf.exp(x), w)))


def branches_in_a_row(x: Any, w: Any, yes: Any) -> Any:
    first = tf.cond(yes, lambda: row(x, w), lambda: tf.tanh(x))
    return tf.cond(yes, lambda: first * x, lambda: row(first, w))


def loop(x: Any, w: Any, n: Any) -> Any:
    return times(n, lambda v: v * v * 0.5 + tf.sin(x), x)


def recurrence(x: Any, w: Any, n: Any) -> Any:
    return times(n, lambda v: tf.tanh(row(v, w)) + 0.1 * x, x)


def loop_of_several(x: Any, w: Any, n: Any) -> Any:
    def body(k: Any, a: Any, b: Any, c: Any) -> list[Any]:
        return [k + 1, b, a * tf.cos(b), c + tf.cast(k, tf.float64) * a]

    _, a, b, c = tf.while_loop(lambda k, *_: k < n, body, [tf.constant(0), x, x * 2.0, tf.zeros([3], tf.float64)])
    return a + 2.0 * b + 3.0 * c


def branch_in_loop(x: Any, w: Any, n: Any) -> Any:
    def body(k: Any, v: Any) -> list[Any]:
        return [k + 1, tf.cond(tf.equal(k % 2, 0), lambda: row(v, w) * 2.0, lambda: tf.sin(v) + x * 0.5)]

    return tf.while_loop(lambda k, _: k < n, body, [tf.constant(0), x])[1]


def loop_in_branch(x: Any, w: Any, yes: Any) -> Any:
    return tf.cond(yes, lambda: times(3, lambda v: row(v, w) + x, x), lambda: x * 3.0)


def loop_in_loop(x: Any, w: Any, n: Any) -> Any:
    def body(k: Any, v: Any) -> list[Any]:
        inner = tf.while_loop(
            lambda j, _: j < k + 1, lambda j, u: [j + 1, tf.sin(row(u, w)) + v * 0.2], [tf.constant(0), v]
        )
        return [k + 1, inner[1]]

    return tf.while_loop(lambda k, _: k < n, body, [tf.constant(0), x])[1]


def rows_picked_in_a_loop(x: Any, w: Any, n: Any) -> Any:
    return tf.while_loop(lambda k, _: k < n, lambda k, v: [k + 1, v * tf.gather(w, k)], [tf.constant(0), x])[1]


def over_rows(x: Any, w: Any) -> Any:
    total = tf.foldl(lambda a, b: a * b + tf.sin(a), w)
    scanned = tf.scan(lambda a, b: a * b + 0.5 * b, w)
    mapped = tf.map_fn(lambda r: r * x, w)
    return total + tf.reduce_sum(scanned * mapped, 0) + tf.foldr(lambda a, b: a * 0.5 + b, w) * x


def folded(x: Any, w: Any) -> Any:
    return tf.reshape(flow.fold(lambda a, b: a * b, w, [1, 3]), [3]) * x


CASES = {
    "branches": [
        program(function, yes)
        for function in (
            branch,
            branch_with_constants,
            branch_that_uses_one_input,
            branch_in_branch,
            branches_in_a_row,
            loop_in_branch,
        )
        for yes in (True, False)
    ],
    "loops": [
        *(program(function, np.int32(n)) for function in (loop, recurrence, loop_of_several) for n in (0, 1, 4)),
        *(program(function, np.int32(3)) for function in (branch_in_loop, loop_in_loop, rows_picked_in_a_loop)),
        program(branch_in_loop, np.int32(0)),
    ],
    "rows": [
        program(over_rows),
        program(folded),
        case("InplaceUpdate", (4, 2), np.array([2, 0], np.int32), (2, 2)),
        case("CheckNumerics", (2, 3), message="bad"),
        case("Print", (2, 3), np.zeros(0), fixed=(1,), message="", first_n=0, summarize=3),
    ],
}


@pytest.mark.parametrize("family", CASES)
def test_gradients(family: str) -> None:
    check_gradients(CASES[family], sizes_known=True)


def test_random_numbers_are_those_of_the_iteration() -> None:
    """A loop's gradient uses the masks that the loop drew, not others."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float64, [1000])

        def body(k: Any, v: Any) -> list[Any]:
            return [k + 1, v * tf.random_uniform([1000], 0.5, 1.5, tf.float64)]

        y = tf.while_loop(lambda k, _: k < 3, body, [tf.constant(0), x])[1]
        (gradient,) = tf.gradients(y, [x])
    with tf.Session(graph=graph) as session:
        value, slope = session.run([y, gradient], {x: np.full(1000, 2.0)})
    np.testing.assert_allclose(value, 2.0 * slope)
    assert len(np.unique(slope)) > 900


def test_a_variable_is_trained_through_a_loop() -> None:
    with tf.Graph().as_default() as graph:
        w = tf.Variable(tf.fill([4, 4], 0.1))
        x = tf.constant(np.eye(4, dtype=np.float32))
        y = tf.while_loop(lambda k, _: k < 3, lambda k, v: [k + 1, tf.tanh(tf.matmul(v, w))], [tf.constant(0), x])[1]
        loss = tf.reduce_mean(tf.square(y - 0.5))
        step = tf.train.GradientDescentOptimizer(0.5).minimize(loss)
        initialize = tf.initialize_all_variables()
    with tf.Session(graph=graph) as session:
        session.run(initialize)
        before = session.run(loss)
        for _ in range(100):
            session.run(step)
        assert session.run(loss) < 0.5 * before


def test_what_no_gradient_goes_through() -> None:
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [])
        apart = tf.while_loop(lambda v: v < 9.0, lambda v: v * v, [x], back_prop=False)
        assert tf.gradients(apart, [x]) == [None]
        y = tf.while_loop(lambda v: v < 9.0, lambda v: v * v, [x])
        (first,) = tf.gradients(y, [x])
        with pytest.raises(tf.errors.UnimplementedError, match="no second derivatives through loops"):
            tf.gradients(first, [x])
        inside = flow.enter(x, "frame")
        with pytest.raises(tf.errors.UnimplementedError, match="middle of a loop"):
            tf.gradients(inside * 2.0, [x])


def test_the_loop_itself_stays_as_it_was() -> None:
    """What a gradient adds to a loop runs only where the gradient does."""
    with tf.Graph().as_default() as graph:
        x, n = tf.placeholder(tf.float32, []), tf.placeholder(tf.int32, [])
        y = tf.while_loop(lambda k, _: k < n, lambda k, v: [k + 1, tf.sin(v)], [tf.constant(0), x])[1]
        with tf.Session(graph=graph) as session:
            alone = session.plan(y, {x: 1.0, n: 3}).plan
            (gradient,) = tf.gradients(y, [x])
            assert [k.name for k in session.plan(y, {x: 1.0, n: 3}).plan.kernels] == [k.name for k in alone.kernels]
            assert session.plan(gradient, {x: 1.0, n: 3}).plan.region_rows
