"""Convolutions and their gradients against their NumPy definition in float64 and finite differences."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.cpu.target import host_target
from flowc.codegen.kernels.depthwise import depthwise_fits
from flowc.codegen.kernels.strips import STRIP_BYTES
from flowc.framework.building import apply_list
from flowc.framework.windows import Windows
from tests.kernels.batch import REAL, Array, Batch, values
from tests.kernels.numeric_gradients import Case, case, check_gradients, smooth

I32 = np.int32
Geometry = tuple[tuple[int, ...], tuple[int, int], tuple[int, int]]

# image, window, strides
GEOMETRIES: list[Geometry] = [
    ((2, 5, 6, 3), (3, 2), (1, 1)),
    ((2, 5, 6, 3), (3, 2), (2, 2)),
    ((1, 7, 7, 1), (1, 1), (1, 1)),
    ((1, 9, 7, 2), (1, 1), (2, 3)),  # strides larger than windows
    ((2, 4, 3, 2), (5, 5), (1, 1)),  # windows larger than the image
    ((1, 3, 17, 5), (3, 4), (1, 3)),
    ((1, 6, 13, 37), (2, 2), (1, 1)),  # a prime number of channels
    ((3, 11, 14, 16), (5, 5), (1, 1)),
    ((1, 1, 40, 4), (1, 7), (1, 1)),  # one row
    ((1, 40, 1, 4), (7, 1), (1, 1)),  # one column
    ((0, 4, 5, 2), (3, 3), (1, 1)),
    ((2, 4, 5, 0), (3, 3), (1, 1)),
]
FILTERS = (1, 10, 33, 64)  # channels of results, in turn


def attributes(strides: tuple[int, int], padding: str) -> dict[str, Any]:
    return {"strides": [1, *strides, 1], "padding": padding}


def fits(image: tuple[int, ...], window: tuple[int, int], padding: str) -> bool:
    return padding == "SAME" or (window[0] <= image[1] and window[1] <= image[2])


def add_all(
    batch: Batch, op_type: str, image: tuple[int, ...], filter: tuple[int, ...], dtype: str, **attrs: Any
) -> None:
    """The convolution and both of its gradients."""
    x, f = batch.feed(values(image, dtype)), batch.feed(values(filter, dtype, seed=1))
    y = batch.op(op_type, x, f, **attrs)
    grad = batch.feed(values(y.get_shape().as_list(), dtype, seed=2))
    batch.op(f"{op_type}BackpropInput", np.array(image, I32), f, grad, **attrs)
    batch.op(f"{op_type}BackpropFilter", x, np.array(filter, I32), grad, **attrs)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_convolutions(padding: str, dtype: str) -> None:
    batch = Batch()
    for i, (image, window, strides) in enumerate(GEOMETRIES):
        if fits(image, window, padding):
            filter = (*window, image[3], FILTERS[i % len(FILTERS)])
            add_all(batch, "Conv2D", image, filter, dtype, **attributes(strides, padding))
    batch.check()


@pytest.mark.parametrize("dtype", REAL)
def test_depthwise_convolutions(dtype: str) -> None:
    batch = Batch()
    for image, window, strides in GEOMETRIES:
        for multiplier in (1, 3):
            for padding in ("SAME", "VALID"):
                if fits(image, window, padding):
                    filter = (*window, image[3], multiplier)
                    add_all(batch, "DepthwiseConv2dNative", image, filter, dtype, **attributes(strides, padding))
    batch.check()


def test_what_does_not_fit_in_a_kernel_s_memory() -> None:
    """Rows in pieces, channels in chunks, and windows that are larger than a strip."""
    batch = Batch()
    add_all(batch, "Conv2D", (1, 2, 3000, 16), (2, 3, 16, 4), "float32", **attributes((1, 1), "SAME"))
    add_all(batch, "Conv2D", (1, 6, 6, 300), (3, 3, 300, 5), "float32", **attributes((1, 1), "SAME"))
    add_all(batch, "Conv2D", (1, 30, 30, 200), (24, 24, 200, 1), "float32", **attributes((1, 1), "VALID"))
    add_all(batch, "DepthwiseConv2dNative", (1, 50, 47, 2), (50, 45, 2, 2), "float32", **attributes((1, 1), "SAME"))
    add_all(batch, "DepthwiseConv2dNative", (1, 2, 3000, 40), (2, 3, 40, 1), "float32", **attributes((1, 1), "SAME"))
    assert STRIP_BYTES < 24 * 24 * 200 * 4
    assert not depthwise_fits(Windows(50, 50, 1, 25), Windows(47, 45, 1, 22), tf.float32)
    batch.check()


def test_pixels_that_would_compete_in_the_cache() -> None:
    batch = Batch()
    add_all(batch, "Conv2D", (1, 4, 6, 512), (2, 3, 512, 8), "float32", **attributes((1, 1), "SAME"))
    batch.check()


def test_views_of_images() -> None:
    """Kernels read slices as they lie; turned images are copied first."""
    rng = np.random.default_rng(0)
    image, filter = rng.standard_normal((2, 8, 9, 10, 4)), rng.standard_normal((3, 3, 4, 6))
    with tf.Graph().as_default(), tf.Session() as session:
        x, f = tf.constant(image), tf.placeholder(tf.float64, filter.shape)
        part = x[1, 1:7, :, 2:, :]
        turned = tf.transpose(part, [0, 2, 1, 3])
        got = session.run([tf.nn.conv2d(v, f, [1, 1, 1, 1], "VALID") for v in (part, turned)], {f: filter})
        for result, view in zip(got, (image[1, 1:7, :, 2:], image[1, 1:7, :, 2:].transpose(0, 2, 1, 3)), strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(view, (3, 3), (1, 2))
            np.testing.assert_allclose(result, np.einsum("bhwcij,ijco->bhwo", windows, filter), atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_values_stay_in_their_windows(bad: float) -> None:
    image = values((2, 9, 11, 20), "float32")
    image[1, 4, 10, 3] = bad
    batch = Batch()
    x = batch.feed(image)
    batch.op("Conv2D", x, batch.feed(values((3, 3, 20, 7), "float32")), **attributes((1, 1), "SAME"))
    batch.op("Conv2DBackpropFilter", x, np.array([3, 3, 20, 7], I32), batch.feed(values((2, 9, 11, 7), "float32")),
             **attributes((1, 1), "SAME"))  # fmt: skip
    batch.check()


# -- gradients ---------------------------------------------------------------------------------------------------------


def conv(op_type: str, image: tuple[int, ...], filter: tuple[int, ...], **attrs: Any) -> list[Case]:
    """Cases of a convolution and its gradients, each of which is differentiated."""
    with tf.Graph().as_default():
        result = tuple(apply_list(op_type, [tf.zeros(image), tf.zeros(filter)], attrs)[0].get_shape().as_list())
    return [
        case(op_type, image, filter, **attrs),
        case(f"{op_type}BackpropInput", np.array(image, I32), filter, result, **attrs),
        case(f"{op_type}BackpropFilter", image, np.array(filter, I32), result, **attrs),
    ]


@pytest.mark.parametrize("sizes_known", [True, False])
def test_gradients(sizes_known: bool) -> None:
    """Of "Conv2D", "Conv2DBackpropInput" and "Conv2DBackpropFilter", and those of
    "DepthwiseConv2dNative", "DepthwiseConv2dNativeBackpropInput" and "DepthwiseConv2dNativeBackpropFilter"."""
    cases: list[Case] = []
    for padding in ("SAME", "VALID"):
        cases += conv("Conv2D", (2, 4, 5, 2), (3, 2, 2, 3), **attributes((1, 2), padding))
        cases += conv("DepthwiseConv2dNative", (1, 4, 5, 2), (3, 2, 2, 2), **attributes((2, 1), padding))
    check_gradients(cases, sizes_known)


def test_gradients_of_the_other_functions() -> None:
    def transposed(value: Any, filter: Any) -> Any:
        return tf.nn.conv2d_transpose(value, filter, [1, 5, 6, 2], [1, 2, 2, 1])

    def separable(image: Any, depthwise: Any, pointwise: Any) -> Any:
        return tf.nn.separable_conv2d(image, depthwise, pointwise, [1, 1, 1, 1], "SAME")

    check_gradients(
        [
            Case("conv2d_transpose", (smooth((1, 3, 3, 2)), smooth((3, 3, 2, 2), 1)), transposed),
            Case(
                "separable_conv2d",
                (smooth((1, 4, 3, 2)), smooth((2, 2, 2, 2), 1), smooth((1, 1, 4, 4), 2)),
                separable,
            ),
        ]
    )


# -- what is done on the way -------------------------------------------------------------------------------------------


def convolved(transposed: bool, channels: int) -> tuple[tf.Tensor, dict[tf.Tensor, Array]]:
    """A convolution, or the transpose of one with strides, that results in `channels`; and what to feed."""
    x = tf.placeholder(tf.float32, [2, 6, 8, 5])
    feeds = {x: values((2, 6, 8, 5), "float32")}
    if not transposed:
        return tf.nn.conv2d(x, tf.constant(values((3, 3, 5, channels), "float32")), [1, 1, 1, 1], "SAME"), feeds
    filter = tf.constant(values((3, 3, channels, 5), "float32"))
    return tf.nn.conv2d_transpose(x, filter, [2, 11, 15, channels], [1, 2, 2, 1]), feeds


def kernels_of(fetches: Any, feeds: dict[tf.Tensor, Array], session: tf.Session) -> list[str]:
    return [kernel.name for kernel in session.plan(fetches, feeds).plan.kernels]


@pytest.mark.parametrize("channels", [64, 10])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_kernel_adds_the_bias_and_takes_relu(transposed: bool, channels: int) -> None:
    bias = values((channels,), "float32", seed=3)
    with tf.Graph().as_default(), tf.Session() as session:
        alone, feeds = convolved(transposed, channels)
        plain = session.run(alone, feeds)
    with tf.Graph().as_default(), tf.Session() as session:
        alone, feeds = convolved(transposed, channels)
        biased = tf.nn.bias_add(alone, tf.constant(bias))
        rectified = tf.nn.relu(biased)
        np.testing.assert_allclose(session.run(biased, feeds), plain + bias, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(session.run(rectified, feeds), np.maximum(plain + bias, 0), rtol=1e-5, atol=1e-5)
        names = kernels_of(rectified, feeds, session)
        assert any("bias_relu" in name for name in names)
        assert not any(name.startswith(("add", "maximum")) for name in names)


def test_a_convolution_that_is_read_twice_is_stored_once() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        y, feeds = convolved(False, 10)
        fetches = [tf.nn.relu(y), tf.tanh(y)]
        names = kernels_of(fetches, feeds, session)
        assert sum(name.startswith("conv2d") for name in names) == 1
        assert not any("relu" in name for name in names)
        first, second = session.run(fetches, feeds)
        np.testing.assert_allclose(np.tanh(first[first > 0]), second[first > 0], rtol=1e-5)


def test_relu_keeps_nan() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        y, feeds = convolved(False, 64)
        (image,) = feeds.values()
        image[0, 0, 0, 0] = np.nan
        result = session.run(tf.nn.relu(y), feeds)
        assert np.isnan(result[0, :2, :2]).all()
        assert not np.isnan(result[0, 2:]).any()


def test_runs_repeat_bit_for_bit() -> None:
    image, filter = values((20, 14, 14, 8), "float32"), values((5, 5, 8, 32), "float32")
    grad = values((20, 14, 14, 32), "float32")
    with tf.Graph().as_default(), tf.Session() as session:
        x, f, g = (tf.placeholder(tf.float32, a.shape) for a in (image, filter, grad))
        y = tf.nn.conv2d(x, f, [1, 1, 1, 1], "SAME")
        fetches, feeds = [y, *tf.gradients(y, [x, f], g)], {x: image, f: filter, g: grad}
        first = session.run(fetches, feeds)
        for _ in range(5):
            for a, b in zip(first, session.run(fetches, feeds), strict=True):
                np.testing.assert_array_equal(a, b)


def test_the_explanation_says_why() -> None:
    def explained(image: list[int], filter: list[int]) -> str:
        with tf.Graph().as_default(), tf.Session() as session:
            x = tf.placeholder(tf.float32, image)
            f = tf.Variable(tf.zeros(filter))
            y = tf.nn.conv2d(x, f, [1, 1, 1, 1], "SAME")
            return session.plan(y, {x: np.zeros(image, "f")}).explain()

    assert "computes conv2d\n" in explained([2, 8, 8, 3], [3, 3, 3, 8])
    assert "gemm (windows of one pixel; BLAS: " in explained([2, 8, 8, 3], [1, 1, 3, 8])
    assert "matmul (fewer than 4 windows in a row)" in explained([90, 3, 3, 32], [3, 3, 32, 64])


@pytest.mark.skipif(not host_target().triple.startswith("x86_64"), reason="names x86-64 processors")
@pytest.mark.parametrize("cpu", ["x86-64-v2", "x86-64-v3"])
def test_narrower_vectors(cpu: str) -> None:
    script = """
from tests.kernels.test_conv import *
batch = Batch()
add_all(batch, "Conv2D", (2, 7, 13, 5), (3, 3, 5, 37), "float32", **attributes((1, 1), "SAME"))
add_all(batch, "Conv2D", (2, 7, 13, 5), (3, 3, 5, 37), "float64", **attributes((2, 1), "VALID"))
a, b = batch.feed(values((70, 300), "float32")), batch.feed(values((300, 100), "float32"))
batch.op("MatMul", a, b, transpose_a=False, transpose_b=False)
batch.op("MatMul", b, a, transpose_a=True, transpose_b=True)
batch.check()
"""
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"FLOWC_CPU": cpu})
