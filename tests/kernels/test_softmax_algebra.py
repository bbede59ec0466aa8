"""The logarithm of a softmax, and the gradient of that, where the softmax is 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import REAL, Array, values

LABELS = np.eye(4)[[0, 1, 2, 3, 0]]
LOGITS = np.array([[0, 1, 2, 3], [500, -500, 0, 1], [0, 0, -300, 0], [1e4, 0, 0, -1e4], [-200, -100, 0, -400]])


def log_softmax(x: Array) -> Array:
    shifted = x - x.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def run(loss_of: Any, logits: Array) -> tuple[Array, Array]:
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(logits.dtype, [None, 4])
        y = tf.nn.softmax(x)
        loss = loss_of(y)
        result: tuple[Array, Array] = tuple(session.run([loss, tf.gradients(loss, x)[0]], {x: logits}))
        return result


@pytest.mark.parametrize("dtype", REAL)
def test_the_loss_of_an_unlikely_class_is_finite(dtype: str) -> None:
    logits, labels = LOGITS.astype(dtype), LABELS.astype(dtype)
    loss, gradient = run(lambda y: -tf.reduce_sum(labels * tf.log(y), 1), logits)
    scores = log_softmax(logits.astype(np.float64))
    tolerance = 10 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(loss, -(LABELS * scores).sum(1), tolerance)
    np.testing.assert_allclose(gradient, np.exp(scores) - LABELS, tolerance, atol=tolerance)


def test_other_uses_of_the_softmax() -> None:
    """A second loss on the same softmax adds its gradient; the softmax itself is what it was."""
    logits = LOGITS.astype(np.float32)
    target = values((5, 4), "float32")

    def loss_of(y: Any) -> Any:
        return -tf.reduce_sum(LABELS.astype(np.float32) * tf.log(y)) + tf.reduce_sum(tf.square(y - target))

    loss, gradient = run(loss_of, logits)
    scores = log_softmax(LOGITS)
    y = np.exp(scores)
    residual = 2 * (y - target)
    expected = y - LABELS + (residual - (residual * y).sum(1, keepdims=True)) * y
    np.testing.assert_allclose(loss, -(LABELS * scores).sum() + np.square(y - target).sum(), 1e-5)
    np.testing.assert_allclose(gradient, expected, 1e-5, atol=1e-6)


def test_what_is_no_softmax_keeps_its_zeros() -> None:
    logits = LOGITS.astype(np.float32)
    with np.errstate(all="ignore"):
        powers = np.exp(logits / 1e4)
        expected = np.log(powers * np.float32(0))
    loss, _ = run(lambda y: tf.log(tf.exp(tf.constant(logits) / 1e4) * 0.0) + 0 * y, logits)
    np.testing.assert_array_equal(loss, expected)


def test_the_softmax_fed_in_its_place_is_taken_as_it_is() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        y = tf.nn.softmax(tf.placeholder(tf.float32, [1, 2]))
        loss = tf.reduce_sum(tf.log(y))
        gradient = tf.gradients(loss, y)[0]
        value, by_y = session.run([loss, gradient], {y: [[0.0, 1.0]]})
    assert value == -np.inf
    np.testing.assert_array_equal(by_y, [[np.inf, 1.0]])
