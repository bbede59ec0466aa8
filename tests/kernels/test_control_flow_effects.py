"""What loops and branches do beside computing: what they assign, sides that are not taken, errors that end them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.reference import run_reference
from flowc.ops import control_flow_ops as flow

# -- variables ---------------------------------------------------------------------------------------------------------


class Counting:
    """A graph with a variable `v` of 1 and programs that change it."""

    def __init__(self) -> None:
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.n, self.yes = tf.placeholder(tf.int32, []), tf.placeholder(tf.bool, [])
            self.v = tf.Variable(1.0, name="v")
            self.table = tf.Variable(tf.zeros([4, 2]), name="table")

    def check(self, fetches: Any, n: int, yes: bool = True) -> dict[str, Any]:
        """Runs natively and by the reference; the variables after it."""
        before = {"v": np.float32(1), "table": np.zeros((4, 2), np.float32)}
        expected, after = run_reference(fetches, {self.n: n, self.yes: yes}, before)
        with tf.Session(graph=self.graph) as session:
            with self.graph.as_default():
                session.run(tf.initialize_all_variables())
            actual = session.run(fetches, {self.n: n, self.yes: yes})
            for got, want in zip(actual, expected, strict=True):
                np.testing.assert_allclose(got, want)
            for name, variable in (("v", self.v), ("table", self.table)):
                np.testing.assert_allclose(session.run(variable), after[name])
        return after


@pytest.mark.parametrize("yes", [True, False])
def test_only_the_branch_that_is_taken_assigns(yes: bool) -> None:
    c = Counting()
    with c.graph.as_default():
        either = tf.cond(c.yes, lambda: tf.assign_add(c.v, 5.0), lambda: tf.constant(0.0))
        rows = tf.cond(
            c.yes,
            lambda: tf.scatter_add(c.table, [1], [[1.0, 2.0]]),
            lambda: tf.scatter_update(c.table, [2], [[3.0, 4.0]]),
        )
    after = c.check([either, rows], 0, yes)
    assert after["v"] == (6.0 if yes else 1.0)


def test_operations_count_as_results_of_branches() -> None:
    c = Counting()
    with c.graph.as_default():
        done = tf.cond(c.yes, lambda: tf.assign(c.v, 7.0).op, lambda: tf.no_op())
    assert c.check([done], 0, True)["v"] == 7.0
    assert c.check([done], 0, False)["v"] == 1.0


def test_a_body_that_assigns_sees_what_the_iteration_before_left() -> None:
    c = Counting()
    with c.graph.as_default():

        def body(i: Any, seen: Any) -> list[Any]:
            doubled = tf.assign(c.v, c.v.ref() * 2.0)
            row = tf.scatter_add(c.table, tf.reshape(i, [1]) % 4, tf.reshape(tf.pack([doubled, 1.0]), [1, 2]))
            with tf.control_dependencies([row]):
                return [i + 1, seen + doubled]

        results = tf.while_loop(lambda i, s: i < c.n, body, [tf.constant(0), tf.constant(0.0)])
    assert c.check(results, 5)["v"] == 32.0
    assert c.check(results, 0)["v"] == 1.0


def test_what_follows_a_loop_sees_what_it_assigned() -> None:
    c = Counting()
    with c.graph.as_default():

        def body(i: Any) -> Any:
            with tf.control_dependencies([tf.assign_add(c.v, 2.0)]):
                return i + 1

        loop = tf.while_loop(lambda i: i < c.n, body, [tf.constant(0)])
        with tf.control_dependencies([loop]):
            after = c.v.ref() + 0.0
        unrelated = c.v + 0.0
    c.check([after, unrelated], 3)


# -- sides that are not taken ------------------------------------------------------------------------------------------


def test_a_tensor_of_the_other_side_has_no_value() -> None:
    with tf.Graph().as_default() as graph:
        x, yes = tf.placeholder(tf.float32, [3]), tf.placeholder(tf.bool, [])
        no_side, yes_side = flow.switch(x, yes)
        deeper = tf.identity(no_side) * 2.0
        product = tf.matmul(tf.reshape(no_side, [3, 1]), tf.reshape(no_side, [1, 3]))
        known, _ = flow.switch(x, tf.constant(True))
    with tf.Session(graph=graph) as session:
        np.testing.assert_equal(session.run(yes_side, {x: [1, 2, 3], yes: True}), [1, 2, 3])
        for tensor in (no_side, deeper, product, known):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"The tensor returned for .* was not valid"):
                session.run(tensor, {x: [1, 2, 3], yes: True})
        np.testing.assert_equal(session.run(deeper, {x: [1, 2, 3], yes: False}), [2, 4, 6])


def test_merge_says_which_input_came() -> None:
    with tf.Graph().as_default() as graph:
        x, yes = tf.placeholder(tf.float32, [3]), tf.placeholder(tf.bool, [])
        no_side, yes_side = flow.switch(x, yes)
        merged = flow.merge([no_side * 2.0, yes_side + 1.0])
        slices = tf.IndexedSlices(x, tf.constant([0, 2, 4]))
        sides = flow.switch(slices, yes)
        rows, _ = flow.merge(sides)
    with tf.Session(graph=graph) as session:
        for outcome, expected in ((True, [2, 3, 4]), (False, [2, 4, 6])):
            value, index, found = session.run([*merged, rows], {x: [1, 2, 3], yes: outcome})
            np.testing.assert_equal(value, expected)
            assert index == outcome
            np.testing.assert_equal(found.values, [1, 2, 3])
            np.testing.assert_equal(found.indices, [0, 2, 4])


def test_checks_in_the_other_side_do_not_fail_the_run() -> None:
    with tf.Graph().as_default() as graph:
        x, yes = tf.placeholder(tf.float32, [2]), tf.placeholder(tf.bool, [])
        checked = tf.cond(yes, lambda: tf.check_numerics(x, "bad"), lambda: x)
        row = tf.cond(yes, lambda: tf.gather(x, tf.constant([5])), lambda: tf.zeros([1]))
    with tf.Session(graph=graph) as session:
        assert np.isnan(session.run([checked, row], {x: [np.nan, 1.0], yes: False})[0][0])
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(checked, {x: [np.nan, 1.0], yes: True})
        with pytest.raises(tf.errors.InvalidArgumentError, match="not in"):
            session.run(row, {x: [0.0, 1.0], yes: True})


# -- errors in loops ---------------------------------------------------------------------------------------------------


def test_an_error_ends_the_loop_and_leaves_variables_as_they_were() -> None:
    with tf.Graph().as_default() as graph:
        n = tf.placeholder(tf.int32, [])
        v = tf.Variable(tf.zeros([4]))

        def body(i: Any, total: Any) -> list[Any]:
            picked = tf.gather(tf.constant([1.0, 2.0, 3.0]), i)
            with tf.control_dependencies([tf.assign_add(v, tf.ones([4]) * picked)]):
                return [i + 1, total + picked]

        loop = tf.while_loop(lambda i, _: i < n, body, [tf.constant(0), tf.constant(0.0)])
        initialize = tf.initialize_all_variables()
    with tf.Session(graph=graph) as session:
        session.run(initialize)
        assert session.run(loop, {n: 3})[1] == 6.0
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"= 3 is not in \[0, 3\)"):
            session.run(loop, {n: 2_000_000_000})
        np.testing.assert_equal(session.run(v), [6.0] * 4)
        assert session.run(loop, {n: 2})[1] == 3.0


def test_a_tensor_inside_a_loop_cannot_be_fetched() -> None:
    inner = []
    with tf.Graph().as_default() as graph:

        def body(i: Any) -> Any:
            inner.append(i * 2)
            return i + 1

        tf.while_loop(lambda i: i < 3, body, [tf.constant(0)])
    with tf.Session(graph=graph) as session, pytest.raises(tf.errors.InvalidArgumentError, match="inside a loop"):
        session.run(inner[0])
