"""cuBLASLt and cuDNN on a real GPU: what they compute is what the CPU computes. Skipped where either is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.runtime.cuda.driver_library import chain_problem
from flowc.runtime.cuda.native_driver import native_gpus
from flowc.runtime.cuda.vendor_libraries import installed
from tests.gpu.running import evaluate
from tests.kernels.test_cuda_libraries import WINDOWS, floats, layers

Array = np.ndarray[Any, Any]


def missing() -> str:
    """Why these tests cannot run; empty if they can."""
    if not native_gpus():
        return f"no GPU that flowc can use: {chain_problem() or 'none found'}"
    return " ".join(filter(None, (installed().no_blas, installed().no_dnn)))


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(missing()), reason=missing() or "none")]


def parity(case: Callable[..., Any], tolerance: float = 2e-5, runs: int = 3, **options: Any) -> list[Any]:
    config = {"gpu_options": tf.GPUOptions(**options)}
    found = evaluate(case, native_gpus(), runs, **config)
    for got, expected in zip(found, evaluate(case, [], runs), strict=True):
        assert got.dtype == expected.dtype
        scale = max(float(np.max(np.abs(expected), initial=0)), 1.0)
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * scale)
    return found


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("size", [1, 7, 64, 257])
def test_products(dtype: str, size: int) -> None:
    def case(feed: Callable[..., Any]) -> list[Any]:
        a, b = (floats(*shape) for shape in ((size, size + 3), (size + 3, 2 * size)))
        a, b = (feed((x + 1j * x if "complex" in dtype else x).astype(dtype)) for x in (a, b))
        turned = tf.matmul(b, a, transpose_a=True, transpose_b=True)
        return [tf.matmul(a, b), turned, tf.matmul(a[:, 1:], b[1:, 1:]), tf.matmul(a[:1], b)]

    parity(case, 1e-2 if dtype == "float16" else 2e-5)


def test_stacks_of_products() -> None:
    parity(lambda feed: [tf.batch_matmul(feed(floats(5, 17, 9)), feed(floats(5, 9, 33)))])


def test_training_with_gradients_in_epilogues() -> None:
    parity(layers)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("channels", [(3, 2), (8, 16), (33, 5)])
def test_convolutions(window: Any, channels: tuple[int, int]) -> None:
    def case(feed: Callable[..., Any]) -> list[Any]:
        size, taps, (down, across), padding = window
        image, filter = feed(floats(2, *size, channels[0])), feed(floats(*taps, *channels))
        result = tf.nn.conv2d(image, filter, [1, down, across, 1], padding)
        return [result, *tf.gradients(tf.reduce_sum(result * result), [image, filter])]

    parity(case, 5e-5)


@pytest.mark.parametrize(
    ("precision", "least", "most"), [("float32", 0, 2e-6), ("tf32", 1e-6, 2e-3), ("bfloat16", 1e-6, 2e-2)]
)
def test_the_precision_is_what_was_asked_for(precision: Any, least: float, most: float) -> None:
    a, b = floats(512, 512), floats(512, 512)[::-1].copy()
    options = {"gpu_options": tf.GPUOptions(float32_precision=precision)}
    (got,) = evaluate(lambda feed: [tf.matmul(feed(a), feed(b))], native_gpus(), **options)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    error = float(np.max(np.abs(got - exact)) / np.max(np.abs(exact)))
    assert least <= error <= most


def test_relu_hands_nan_on() -> None:
    x = floats(4, 4)
    x[1, 2] = np.nan
    (got,) = evaluate(
        lambda feed: [tf.nn.relu(tf.matmul(feed(x), feed(floats(4, 4))) + feed(floats(4)))], native_gpus()
    )
    np.testing.assert_array_equal(np.isnan(got).any(1), [False, True, False, False])


def test_runs_repeat_to_the_bit() -> None:
    first, second = (evaluate(layers, native_gpus(), runs=20) for _ in range(2))
    assert [value.tobytes() for value in first] == [value.tobytes() for value in second]


def test_plans_say_what_the_libraries_took() -> None:
    x = tf.placeholder(tf.float32, [64, 64])
    image = tf.reshape(x, [1, 64, 64, 1])
    with tf.Session() as session:
        assert "library_product (cuBLASLt" in session.plan(tf.matmul(x, x), {x: floats(64, 64)}).explain()
        convolved = tf.nn.conv2d(image, tf.ones([3, 3, 1, 8]), [1, 1, 1, 1], "SAME")
        assert "library_conv" in session.plan(convolved, {x: floats(64, 64)}).explain()
