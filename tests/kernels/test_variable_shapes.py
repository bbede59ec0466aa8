"""Variables whose shapes the graph does not tell, or tells no longer: plans go by the shapes they have at present."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.framework.building import apply
from flowc.runtime.session import Session

pytestmark = pytest.mark.usefixtures("session")


def of_any_shape() -> tuple[tf.Variable, Any]:
    """A variable, and the placeholder that it starts with."""
    start = tf.placeholder(tf.float32)
    return tf.Variable(start, validate_shape=False), start


def test_a_variable_takes_the_shape_of_its_initial_value(session: Session) -> None:
    v, start = of_any_shape()
    doubled, total = v * 2.0, tf.reduce_sum(v)
    assert v.get_shape().ndims is None
    for shape in [(3,), (2, 2), (), (3,), (0, 4)]:
        value = np.random.default_rng(0).random(shape).astype(np.float32)
        session.run(v.initializer, {start: value})
        for _ in range(2):
            np.testing.assert_array_equal(session.run(v), value)
            np.testing.assert_array_equal(session.run(doubled), 2 * value)
            np.testing.assert_allclose(session.run(total), value.sum(), rtol=1e-6)


def test_a_read_before_the_first_value_fails(session: Session) -> None:
    v, _ = of_any_shape()
    for fetch in (v, v + 1.0, tf.assign_add(v, [1.0])):
        with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized value Variable"):
            session.run(fetch)


def test_a_value_that_grows(session: Session) -> None:
    v, start = of_any_shape()
    grown = tf.assign(v, tf.concat(0, [v, v + 1.0]), validate_shape=False)
    session.run(v.initializer, {start: [0.0]})
    for expected in ([0, 1], [0, 1, 1, 2], [0, 1, 1, 2, 1, 2, 2, 3]):
        assert session.run(grown).tolist() == expected
        assert session.run(v).tolist() == expected
    session.run(v.initializer, {start: [5.0]})
    assert session.run([grown, v * 1.0])[0].tolist() == [5, 6]


def test_a_fixed_shape_that_an_assignment_changes(session: Session) -> None:
    v = tf.Variable([1, 2])
    larger, smaller = (tf.assign(v, tf.fill(n, 7), validate_shape=False) for n in ([3, 4], [1]))
    session.run(v.initializer)
    plus_one = v + 1
    for assign, shape in ((larger, (3, 4)), (smaller, (1,)), (larger, (3, 4)), (v.initializer, (2,))):
        session.run(assign)
        assert session.run(v).shape == shape
        assert session.run(plus_one).shape == shape
    with pytest.raises(tf.errors.InvalidArgumentError):
        session.run([larger, tf.assign(v, [1, 2])])


def test_shapes_must_match_where_they_are_validated(session: Session) -> None:
    v, start = of_any_shape()
    new = tf.placeholder(tf.float32)
    session.run(v.initializer, {start: [1.0, 2.0]})
    for update in (v.assign(new), v.assign_add(new), v.assign_sub(new)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\(2,\) and \(2, 2\)"):
            session.run(update, {new: [[1.0, 2.0]] * 2})
    assert session.run(v.assign_add(new), {new: [1.0, 1.0]}).tolist() == [2, 3]


def test_updates_and_gradients(session: Session) -> None:
    v, start = of_any_shape()
    loss = tf.reduce_sum(tf.square(v - 1.0))
    step = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
    for value in ([5.0, 6.0], [[2.0], [3.0], [4.0]]):
        session.run(v.initializer, {start: value})
        for _ in range(60):
            session.run(step)
        np.testing.assert_allclose(session.run(v), np.ones(np.shape(value)), atol=1e-4)
    session.run(v.initializer, {start: np.zeros((4, 2))})
    assert session.run(tf.scatter_add(v, [3, 3], np.ones((2, 2)))).tolist() == [[0, 0]] * 3 + [[2, 2]]


def test_with_ops_of_the_host(session: Session) -> None:
    v, start = of_any_shape()
    inverse = apply("BatchMatrixInverse", [v])
    kept = tf.assign(v, inverse + 0.0, validate_shape=False)
    for value in (np.eye(2) * 2, np.eye(3) * 4, np.stack([np.eye(2)] * 3)):
        session.run(v.initializer, {start: value})
        np.testing.assert_allclose(session.run(inverse), np.linalg.inv(value), rtol=1e-6)
        np.testing.assert_allclose(session.run(kept), np.linalg.inv(value), rtol=1e-6)
    found = tf.assign(v, tf.cast(tf.where(v > 0.0), tf.float32), validate_shape=False)
    session.run(v.initializer, {start: [1.0, -1.0, 2.0]})
    assert session.run(found).tolist() == [[0], [2]]
    assert session.run(v).tolist() == [[0], [2]]


def test_sessions_have_shapes_of_their_own(session: Session) -> None:
    v, start = of_any_shape()
    doubled = v * 2.0
    with tf.Session() as other:
        session.run(v.initializer, {start: [1.0]})
        other.run(v.initializer, {start: [1.0, 2.0]})
        assert session.run(doubled).tolist() == [2]
        assert other.run(doubled).tolist() == [2, 4]


def test_a_plan_file_keeps_the_shape(session: Session, tmp_path: Path) -> None:
    v, start = of_any_shape()
    session.run(v.initializer, {start: [1.0, 2.0]})
    tf.compile(v * 3.0, []).save(tmp_path / "plan.flowc")
    assert tf.load_plan(tmp_path / "plan.flowc")().tolist() == [3, 6]


def test_reads_after_an_assignment_in_the_same_run(session: Session) -> None:
    v, start = of_any_shape()
    with tf.control_dependencies([v.initializer]):
        after, sizes = tf.identity(v.ref()) * 2.0, tf.shape(v.ref())
    for value in ([1.0], [1.0, 2.0], [[3.0]]):
        result, shape = session.run([after, sizes], {start: value})
        assert result.tolist() == (2 * np.array(value)).tolist()
        assert shape.tolist() == list(np.shape(value))
    assert session.run(v.initialized_value() + 1.0, {start: [7.0]}).tolist() == [8]
