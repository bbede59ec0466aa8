"""Corners of the documented behaviour that scripts rely on."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.Session() as session:
        yield session


def test_a_variable_used_after_an_assignment_has_the_new_value(session: tf.Session) -> None:
    v = tf.Variable([1.0, 2.0])
    assignment = v.assign([3.0, 4.0])
    with tf.control_dependencies([assignment]):
        after = [tf.identity(v), v + 1.0, v.value() * 2.0]
    before = v + 0.0
    session.run(tf.initialize_all_variables())
    got = session.run([*after, before])
    np.testing.assert_array_equal(got, [[3, 4], [4, 5], [6, 8], [1, 2]])


def test_a_moving_average_after_a_step_takes_the_new_values(session: tf.Session) -> None:
    v = tf.Variable(10.0)
    average = tf.train.ExponentialMovingAverage(0.5)
    with tf.control_dependencies([v.assign(20.0)]):
        update = average.apply([v])
    session.run(tf.initialize_all_variables())
    session.run(update)
    assert session.run(average.average(v)) == 15.0


def test_an_index_into_a_tensor_of_unknown_rank(session: tf.Session) -> None:
    x = tf.placeholder(tf.float32)
    for value in (np.arange(3.0), np.arange(6.0).reshape(3, 2), np.zeros((2, 0))):
        np.testing.assert_array_equal(session.run(x[1], {x: value}), value[1])
        np.testing.assert_array_equal(session.run(x[1:], {x: value}), value[1:])


def test_the_gradient_of_sigmoid_cross_entropy_at_zero(session: tf.Session) -> None:
    x = tf.constant([0.0, -0.0, 0.0])
    loss = tf.nn.sigmoid_cross_entropy_with_logits(x, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(session.run(tf.gradients(loss, x)[0]), [0.5, 0.0, -0.5], atol=1e-7)
    np.testing.assert_allclose(session.run(loss), [np.log(2)] * 3, rtol=1e-6)


def test_views_with_nothing_to_do(session: tf.Session) -> None:
    one = np.float32(1)
    assert session.run(tf.pad(one, np.zeros((0, 2), np.int32))) == 1
    assert session.run(tf.squeeze(np.zeros((1, 2, 1)), [0, 0])).shape == (2, 1)
    assert session.run(tf.expand_dims(np.zeros((2, 3)), [0])).shape == (1, 2, 3)
    assert session.run(tf.pack(np.zeros((2, 0)))).shape == (2, 0)
    assert tf.ones_like(tf.placeholder(tf.float32, [None, 3])).get_shape().as_list() == [None, 3]


def test_the_errors_of_wrong_types() -> None:
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match="same dtype and shape"):
            tf.accumulate_n([tf.constant(1), tf.constant(1.0)])
        with pytest.raises(TypeError, match="do not match expected type int32"):
            tf.dynamic_stitch([tf.constant([0], tf.int64)], [[1.0]])
        with pytest.raises(ValueError, match="at least one tensor"):
            tf.nn.embedding_lookup([], [0])


def test_sizes_from_the_right() -> None:
    size = tf.Dimension(2)
    assert [(3 + size).value, (7 - size).value, (3 * size).value] == [5, 5, 6]
