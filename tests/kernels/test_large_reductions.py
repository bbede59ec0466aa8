"""Reductions large enough to run in blocks, over every combination of axes, several in one run; against float64."""

import itertools

import numpy as np
import pytest

import flowc as tf

SHAPES = [(100000,), (70000, 3), (3, 70000), (300, 2, 200), (1, 100000), (100000, 1), (8193, 9), (5, 41, 37, 29)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_combination_of_axes(shape: tuple[int, ...]) -> None:
    data = np.random.RandomState(0).randn(*shape).astype(np.float32)
    wide = data.astype(np.float64)
    fetches, expected = [], []
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None] * len(shape))
        for count in range(1, len(shape) + 1):
            for axes in itertools.combinations(range(len(shape)), count):
                fetches += [
                    tf.reduce_sum(x * x, list(axes)),
                    tf.reduce_max(x, list(axes)),
                    tf.reduce_mean(tf.exp(x), list(axes), keep_dims=True),
                    tf.reduce_any(x > 3.5, list(axes)),
                ]
                expected += [
                    (wide**2).sum(axes),
                    data.max(axes),
                    np.exp(wide).mean(axes, keepdims=True),
                    (data > 3.5).any(axes),
                ]
        fetches += [tf.argmax(x, axis) for axis in range(len(shape))]
        expected += [data.argmax(axis) for axis in range(len(shape))]
        with tf.Session(graph=graph) as session:
            results = session.run(fetches, {x: data})
    for result, right in zip(results, expected, strict=True):
        assert np.shape(result) == np.shape(right)
        np.testing.assert_allclose(result, right, rtol=2e-6, atol=1e-6)


def test_a_sum_of_many_is_as_good_as_one_of_few() -> None:
    data = np.random.RandomState(1).rand(1 << 22).astype(np.float32)
    x = tf.placeholder(tf.float32, [None])
    with tf.Session() as session:
        total = session.run(tf.reduce_sum(x), {x: data})
    np.testing.assert_allclose(total, data.sum(dtype=np.float64), rtol=3e-7)
