"""Pooling and its gradients against their NumPy definition and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.feed_spec import FeedSpec
from flowc.codegen.fuse import live_nodes
from flowc.codegen.pipeline import compile_stages
from flowc.framework.building import apply_list
from tests.kernels.batch import REAL, Array, Batch, values
from tests.kernels.numeric_gradients import Case, case, check_gradients, positive, smooth

# image, window, strides
GEOMETRIES = [
    ((2, 6, 8, 3), (2, 2), (2, 2)),  # tiles the image
    ((2, 7, 5, 3), (2, 2), (2, 2)),
    ((1, 5, 7, 1), (3, 3), (2, 2)),
    ((2, 9, 4, 5), (3, 2), (1, 1)),
    ((1, 7, 7, 33), (3, 3), (3, 2)),
    ((1, 6, 6, 2), (5, 5), (2, 3)),  # too large to be unrolled
    ((3, 4, 4, 2), (4, 4), (4, 4)),  # one window an image
    ((1, 1, 1, 4), (1, 1), (1, 1)),
    ((1, 3, 5, 300), (3, 3), (2, 2)),  # more channels than a block
    ((0, 4, 4, 2), (2, 2), (2, 2)),
    ((2, 4, 4, 0), (2, 2), (2, 2)),
]


def pooling(window: tuple[int, int], strides: tuple[int, int], padding: str) -> dict[str, Any]:
    return {"ksize": [1, *window, 1], "strides": [1, *strides, 1], "padding": padding}


def pooled_size(image: tuple[int, ...], attrs: dict[str, Any]) -> tuple[int, ...]:
    with tf.Graph().as_default():
        return tuple(apply_list("MaxPool", [tf.zeros(image)], attrs)[0].get_shape().as_list())


def pools(batch: Batch, x: Array, attrs: dict[str, Any]) -> None:
    """All pooling ops on an image, in a batch."""
    image = batch.feed(x)
    pooled = batch.op("MaxPool", image, **attrs)
    grad = batch.feed(values(pooled.get_shape().as_list(), x.dtype.name, seed=1))
    batch.op("MaxPoolGrad", image, pooled, grad, **attrs)
    batch.op("MaxPoolWithArgmax", image, **attrs, Targmax=tf.int64)
    argmax = batch.op("MaxPoolWithArgmax", image, **attrs, Targmax=tf.int32).op.outputs[1]
    batch.op("MaxPoolGradWithArgmax", image, grad, argmax, **attrs)
    batch.op("AvgPool", image, **attrs)
    batch.op("AvgPoolGrad", np.array(x.shape, np.int32), grad, **attrs)


@pytest.mark.parametrize("dtype", REAL)
def test_pooling(dtype: str) -> None:
    batch = Batch()
    for image, window, strides in GEOMETRIES if dtype == "float32" else GEOMETRIES[:5]:
        for padding in ("SAME", "VALID"):
            pools(batch, values(image, dtype), pooling(window, strides, padding))
    batch.check()


def test_equal_elements_and_special_values() -> None:
    """Of equal ones the first gets the gradient; NaN is the greatest; images of few different values."""
    rng = np.random.default_rng(3)
    batch = Batch()
    for window, strides in (((2, 2), (2, 2)), ((3, 3), (1, 1)), ((5, 5), (1, 2))):
        for choices in ([0.0, -0.0, 1.0], [np.nan, 1.0, 2.0], [-np.inf, np.inf], [-np.inf]):
            x = rng.choice(np.array(choices, np.float32), (2, 6, 6, 3))
            pools(batch, x, pooling(window, strides, "SAME"))
    batch.check()


def test_ties_by_hand() -> None:
    image = np.ones((1, 3, 3, 1), np.float32)
    attrs = pooling((2, 2), (1, 1), "VALID")
    grad = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1)
    with tf.Graph().as_default(), tf.Session() as session:
        pooled, argmax = tf.nn.max_pool_with_argmax(image, **attrs)
        (spread,) = apply_list("MaxPoolGrad", [image, pooled, grad], attrs)
        shares = tf.gradients(tf.nn.avg_pool(image, **attrs), [])
        got, where = session.run([spread, argmax])
    assert not shares
    assert got.reshape(3, 3).tolist() == [[1, 2, 0], [3, 4, 0], [0, 0, 0]]
    assert where.reshape(-1).tolist() == [0, 1, 3, 4]
    assert where.dtype == np.int64


@pytest.mark.parametrize("dtype", REAL)
def test_max_pool_across_depth(dtype: str) -> None:
    batch = Batch()
    for shape, size in (((2, 3, 2, 6), 2), ((1, 2, 2, 6), 6), ((0, 2, 2, 4), 2)):
        attrs = {"ksize": [1, 1, 1, size], "strides": [1, 1, 1, size], "padding": "SAME"}
        image = batch.feed(values(shape, dtype))
        pooled = batch.op("MaxPool", image, **attrs)
        batch.op("MaxPoolGrad", image, pooled, batch.feed(values(pooled.get_shape().as_list(), dtype)), **attrs)
    batch.check()


def test_argmax_of_a_batch_or_of_an_image() -> None:
    """Indices that count from the image's start are taken, too."""
    batch = Batch()
    x, grad = values((2, 4, 4, 1), "float32"), values((2, 2, 2, 1), "float32", seed=1)
    attrs = pooling((2, 2), (2, 2), "VALID")
    for offset in (0, 16):
        argmax = np.array([0, 3, 9, 15, 0, 3, 9, 15]).reshape(2, 2, 2, 1)
        argmax[1] += offset
        batch.op("MaxPoolGradWithArgmax", batch.feed(x), batch.feed(grad), batch.feed(argmax), **attrs)
    batch.check()


@pytest.mark.parametrize("index", [-1, 32, 2**40])
def test_argmax_outside_fails(index: int) -> None:
    attrs = pooling((2, 2), (2, 2), "VALID")
    with tf.Graph().as_default(), tf.Session() as session:
        argmax = tf.placeholder(tf.int64, [2, 2, 2, 1])
        (y,) = apply_list("MaxPoolGradWithArgmax", [tf.zeros([2, 4, 4, 1]), tf.ones([2, 2, 2, 1]), argmax], attrs)
        with pytest.raises(tf.errors.InvalidArgumentError, match="argmax holds"):
            session.run(y, {argmax: np.full((2, 2, 2, 1), index)})


# -- gradients ---------------------------------------------------------------------------------------------------------

SMALL = [((2, 4, 4, 2), (2, 2), (2, 2)), ((1, 5, 4, 1), (3, 3), (2, 1)), ((1, 5, 5, 1), (5, 4), (1, 2))]


def gradient_cases() -> list[Case]:
    cases = []
    for image, window, strides in SMALL:
        for padding in ("SAME", "VALID"):
            attrs = pooling(window, strides, padding)
            size = pooled_size(image, attrs)
            x = positive(image)
            cases += [
                case("MaxPool", x, **attrs),
                case("MaxPoolWithArgmax", x, **attrs, Targmax=tf.int64),
                case("AvgPool", x, **attrs),
                case("AvgPoolGrad", np.array(image, np.int32), size, **attrs),
            ]
    attrs = pooling((2, 2), (2, 2), "SAME")
    x = positive((1, 3, 3, 2))
    pooled = np.stack([np.maximum.reduceat(np.maximum.reduceat(x, [0, 2], 1), [0, 2], 2)])[0]
    argmax = np.array([[[0, 1], [4, 5]], [[12, 13], [16, 17]]]).reshape(1, 2, 2, 2)
    return [
        *(c for c in cases if c.op_type != "MaxPoolWithArgmax"),
        case("MaxPoolGrad", x, pooled, smooth((1, 2, 2, 2)), fixed=(0, 1), **attrs),
        case("MaxPoolGradWithArgmax", x, smooth((1, 2, 2, 2)), argmax, fixed=(0,), **attrs),
        case("MaxPool", (1, 2, 2, 6), ksize=[1, 1, 1, 3], strides=[1, 1, 1, 3], padding="VALID"),
    ]


@pytest.mark.parametrize("sizes_known", [True, False])
def test_gradients(sizes_known: bool) -> None:
    check_gradients(gradient_cases(), sizes_known)


def test_gradient_with_argmax() -> None:
    """By way of the indices, it is the gradient of `max_pool`."""
    x = values((2, 5, 6, 3), "float64")
    attrs = pooling((3, 2), (2, 2), "SAME")
    with tf.Graph().as_default(), tf.Session() as session:
        image = tf.constant(x)
        weights = values(pooled_size(x.shape, attrs), "float64", seed=1)
        losses = [tf.reduce_sum(y * weights) for y in (tf.nn.max_pool_with_argmax(image, **attrs)[0],)]
        losses.append(tf.reduce_sum(tf.nn.max_pool(image, **attrs) * weights))
        by_index, direct = session.run([tf.gradients(loss, image)[0] for loss in losses])
    np.testing.assert_array_equal(by_index, direct)


def test_relu_and_bias_before_a_pool() -> None:
    """Their gradients are taken on the pooled array, and are what they are without that."""
    x, b = values((3, 6, 6, 4), "float64"), values((4,), "float64")
    with tf.Graph().as_default() as graph:
        image, bias = tf.placeholder(tf.float64, x.shape), tf.placeholder(tf.float64, b.shape)
        hidden = tf.nn.relu(image + bias)
        pooled = tf.nn.max_pool(hidden, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        gradients = tf.gradients(tf.reduce_sum(pooled * pooled), [image, bias])
    features = np.maximum(x + b, 0).reshape(3, 3, 2, 3, 2, 4)
    greatest = features.max((2, 4), keepdims=True)
    expected = np.where((features == greatest) & (greatest > 0), 2 * greatest, 0).reshape(x.shape)
    with tf.Session(graph=graph) as session:
        by_image, by_bias = session.run(gradients, {image: x, bias: b})
    np.testing.assert_allclose(by_image, expected)
    np.testing.assert_allclose(by_bias, expected.sum((0, 1, 2)))


def test_what_is_spread_is_neither_masked_nor_summed() -> None:
    """relu's gradient is taken, and the bias's sum is made, before a gradient is spread over the image."""
    with tf.Graph().as_default():
        image, bias = tf.placeholder(tf.float32, [2, 8, 8, 4]), tf.placeholder(tf.float32, [4])
        pooled = tf.nn.max_pool(tf.nn.relu(image + bias), [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        gradients = tf.gradients(pooled, [image, bias])
        feeds = [FeedSpec(t, tuple(t.get_shape().as_list()), None) for t in (image, bias)]
        program = compile_stages(gradients, [], feeds, stop_after="specialise").program
    nodes = live_nodes(program)
    (spread,) = [n for n in nodes if n.op == "call" and n.attr[0] == "max_pool_grad"]
    assert not [n for n in nodes if spread in n.args and n.attr != "copy"]
    assert [n.args[0].shape for n in nodes if n.op == "reduce"] == [(2, 4, 4, 4)]


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "shape", "ksize", "strides", "message"),
    [
        (tf.nn.max_pool, [1, 3], [1, 1, 1, 1], [1, 1, 1, 1], "rank 4"),
        (tf.nn.max_pool, [4, 4, 4, 4], [1, 2, 2], [1, 1, 1, 1], "ksize must have 4"),
        (tf.nn.max_pool, [4, 4, 4, 4], [1, 2, 2, 1], [1, 0, 1, 1], "must be positive"),
        (tf.nn.max_pool, [4, 4, 4, 4], [2, 2, 2, 1], [1, 1, 1, 1], "pooling in the batch"),
        (tf.nn.max_pool, [4, 4, 4, 4], [1, 1, 1, 1], [2, 1, 1, 1], "strides in the batch"),
        (tf.nn.avg_pool, [4, 4, 4, 4], [1, 1, 1, 1], [1, 1, 1, 2], "strides in the batch and depth"),
        (tf.nn.avg_pool, [4, 4, 4, 4], [1, 1, 1, 2], [1, 1, 1, 1], "pooling in the batch and depth"),
        (tf.nn.max_pool, [32, 20, 20, 3], [1, 20, 21, 1], [1, 1, 1, 1], "filter must not be larger than the input"),
        (tf.nn.avg_pool, [32, 20, 20, 3], [1, 5, 3, 1], [1, 5, 5, 1], "stride must be less than or equal to filter"),
        (tf.nn.max_pool, [1, 2, 2, 4], [1, 2, 2, 2], [1, 1, 1, 2], "exactly one of pooling across depth"),
        (tf.nn.max_pool, [1, 2, 2, 4], [1, 1, 1, 2], [1, 1, 1, 1], "depth window to equal the depth stride"),
        (tf.nn.max_pool, [1, 2, 2, 4], [1, 1, 1, 3], [1, 1, 1, 3], "evenly divide"),
        (tf.nn.max_pool_with_argmax, [1, 2, 2, 4], [1, 1, 1, 2], [1, 1, 1, 2], "across depth"),
    ],
)
def test_bad_windows(function: Any, shape: list[int], ksize: list[int], strides: list[int], message: str) -> None:
    with tf.Graph().as_default(), pytest.raises(ValueError, match=message):
        function(tf.placeholder(tf.float32, shape), ksize, strides, "SAME")


def test_unknown_sizes() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        image = tf.placeholder(tf.float32, [None, None, 5, 3])
        pooled = tf.nn.max_pool(image, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        assert pooled.get_shape().as_list() == [None, None, 3, 3]
        assert session.run(pooled, {image: values((2, 7, 5, 3), "float32")}).shape == (2, 4, 3, 3)
        with pytest.raises(tf.errors.InvalidArgumentError, match="larger than the input"):
            session.run(pooled, {image: values((2, 1, 5, 3), "float32")})
