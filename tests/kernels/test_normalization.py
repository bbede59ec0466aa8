"""Normalisation across channels and across batches, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import REAL, Batch, values
from tests.kernels.numeric_gradients import case, check_gradients, positive

LRN = [
    {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5},
    {"depth_radius": 2, "bias": 2.0, "alpha": 1e-2, "beta": 0.75},
    {"depth_radius": 0, "bias": 1.0, "alpha": 0.5, "beta": 1.0},
    {"depth_radius": 2, "bias": 1.0, "alpha": 0.3, "beta": 0.6},
]
BATCH_NORM = [{"variance_epsilon": 0.1, "scale_after_normalization": scale} for scale in (True, False)]


@pytest.mark.parametrize("dtype", REAL)
def test_local_response_normalization(dtype: str) -> None:
    """Fewer channels than a window, and more than a block; none; one."""
    batch = Batch()
    for shape, attrs in (
        ((2, 3, 2, 7), LRN[0]), ((1, 2, 2, 600), LRN[0]), ((2, 3, 2, 7), LRN[1]), ((1, 1, 2, 1), LRN[1]),
        ((1, 2, 3, 5), LRN[2]), ((2, 1, 2, 16), LRN[3]), ((0, 2, 2, 3), LRN[1]), ((2, 2, 2, 0), LRN[1]),
    ):  # fmt: skip
        image = batch.feed(values(shape, dtype))
        normalised = batch.op("LRN", image, **attrs)
        batch.op("LRNGrad", batch.feed(values(shape, dtype, seed=1)), image, normalised, **attrs)
    batch.check()


def test_local_response_normalization_of_special_values() -> None:
    """What is not finite spoils its neighbours only."""
    x = values((1, 1, 2, 9), "float32")
    x[0, 0, :, 4] = np.inf, np.nan
    batch = Batch()
    for attrs in LRN[1:]:
        batch.op("LRN", batch.feed(x), **attrs)
    batch.check()


def batch_norm_inputs(shape: tuple[int, ...], dtype: str) -> list[Any]:
    """t, m, v, beta, gamma; variances are positive."""
    vectors = [values(shape[3:], dtype, seed=i) for i in range(4)]
    vectors[1] = np.abs(vectors[1])
    return [values(shape, dtype), *vectors]


@pytest.mark.parametrize("dtype", REAL)
def test_batch_norm(dtype: str) -> None:
    batch = Batch()
    for shape in ((3, 4, 2, 5), (1, 1, 1, 1), (2, 3, 3, 40), (0, 2, 2, 3)):
        t, m, v, beta, gamma = (batch.feed(x) for x in batch_norm_inputs(shape, dtype))
        grad = batch.feed(values(shape, dtype, seed=9))
        for attrs in BATCH_NORM:
            batch.op("BatchNormWithGlobalNormalization", t, m, v, beta, gamma, **attrs)
            batch.op("BatchNormWithGlobalNormalizationGrad", t, m, v, gamma, grad, **attrs)
    batch.check()


@pytest.mark.parametrize("sizes_known", [True, False])
def test_gradients(sizes_known: bool) -> None:
    t, m, v, beta, gamma = batch_norm_inputs((2, 2, 1, 3), "float64")
    check_gradients(
        [
            *(case("LRN", (1, 2, 1, 5), **attrs) for attrs in LRN),
            *(case("BatchNormWithGlobalNormalization", t, m, v + 0.5, beta, gamma, **attrs) for attrs in BATCH_NORM),
        ],
        sizes_known,
    )


def test_gradients_of_gradients_say_that_there_are_none() -> None:
    with tf.Graph().as_default():
        x = tf.constant(positive((1, 1, 1, 4)))
        (grad,) = tf.gradients(tf.nn.lrn(x), x)
        with pytest.raises(LookupError, match="no gradient of the gradient op LRNGrad"):
            tf.gradients(grad, x)


def test_with_moments_a_batch_has_mean_0_and_variance_1() -> None:
    x = values((8, 5, 5, 3), "float64") * [1.0, 10.0, 0.1] + [0.0, 5.0, -3.0]
    with tf.Graph().as_default(), tf.Session() as session:
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        zeros, ones = np.zeros(3), np.ones(3)
        y = session.run(tf.nn.batch_norm_with_global_normalization(x, mean, variance, zeros, ones, 1e-9, True))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var((0, 1, 2)), 1, rtol=1e-6)


def test_defaults_and_errors() -> None:
    with tf.Graph().as_default():
        y = tf.nn.local_response_normalization(tf.zeros([1, 2, 2, 8]))
        attrs = y.op.node_def.attr
        assert y.op.type == "LRN"
        assert set(attrs) >= {"depth_radius", "bias", "alpha", "beta"}
        assert tf.nn.lrn is tf.nn.local_response_normalization
        with pytest.raises(ValueError, match="rank"):
            tf.nn.lrn(tf.zeros([2, 3]))
        with pytest.raises(ValueError, match="negative"):
            tf.nn.lrn(tf.zeros([1, 2, 2, 8]), depth_radius=-1)
        vector = tf.zeros([3])
        with pytest.raises(ValueError, match="not compatible"):
            tf.nn.batch_norm_with_global_normalization(tf.zeros([1, 2, 2, 4]), *[vector] * 4, 0.1, True)
