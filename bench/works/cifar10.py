"""A training step of the guide's CIFAR-10 model: 128 crops of 24×24, fed from NumPy; and what NumPy makes of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bench.cifar10 import (
    ALPHA,
    BETA,
    CHECKED_STEPS,
    DECAY,
    RADIUS,
    RATE,
    batches,
    in_flowc,
    in_jax,
    in_tensorflow,
    in_tensorflow_function,
    in_torch,
    in_torch_compile,
    initial,
    named,
)
from bench.deep_mnist_numpy import convolved, filter_gradient, input_gradient
from bench.work import Arrays, Target, Work


def _windows(x: Any) -> Any:
    """[n, rows, columns, channels, 9]: the elements of each 3×3 window, by 2; outside is 0, as relu's least."""
    padded = np.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)])
    view = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    return view.reshape(*view.shape[:4], 9)


def _unpooled(x: Any, error: Any) -> Any:
    """The gradient of the windows' maxima: each to the first of its greatest elements."""
    n, height, width, channels = x.shape
    row, column = np.divmod(_windows(x).argmax(-1), 3)
    i, j = np.arange(height // 2)[:, None, None], np.arange(width // 2)[:, None]
    result = np.zeros((n, height + 1, width + 1, channels))
    np.add.at(result, (np.arange(n)[:, None, None, None], 2 * i + row, 2 * j + column, np.arange(channels)), error)
    return result[:, :height, :width]


def _neighbours(x: Any) -> Any:
    """The sum over the channels c - RADIUS … c + RADIUS."""
    padded = np.pad(x, [(0, 0)] * 3 + [(RADIUS, RADIUS)])
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * RADIUS + 1, 3).sum(-1)


def _normalised(x: Any) -> tuple[Any, Any]:
    """The normalised array, and what it was divided by to the power BETA."""
    norm = 1 + ALPHA * _neighbours(x * x)
    return x * norm**-BETA, norm


def _normalisation_gradient(x: Any, norm: Any, error: Any) -> Any:
    return error * norm**-BETA - 2 * ALPHA * BETA * x * _neighbours(error * x * norm ** (-BETA - 1))


def _gradients(parameters: list[Any], x: Any, y: Any) -> list[Any]:
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = parameters
    h1 = np.maximum(convolved(x, w1) + b1, 0)
    p1 = _windows(h1).max(-1)
    n1, norm1 = _normalised(p1)
    h2 = np.maximum(convolved(n1, w2) + b2, 0)
    n2, norm2 = _normalised(h2)
    flat = _windows(n2).max(-1).reshape(len(x), -1)
    h3 = np.maximum(flat @ w3 + b3, 0)
    h4 = np.maximum(h3 @ w4 + b4, 0)
    powers = np.exp(h4 @ w5 + b5)
    e5 = (powers / powers.sum(1, keepdims=True) - y) / len(x)
    e4 = (e5 @ w5.T) * (h4 > 0)
    e3 = (e4 @ w4.T) * (h3 > 0)
    e2 = _normalisation_gradient(h2, norm2, _unpooled(n2, (e3 @ w3.T).reshape(-1, 6, 6, 64))) * (h2 > 0)
    e1 = _unpooled(h1, _normalisation_gradient(p1, norm1, input_gradient(w2, e2))) * (h1 > 0)
    return [
        *(filter_gradient(x, e1), e1.sum((0, 1, 2)), filter_gradient(n1, e2), e2.sum((0, 1, 2))),
        *(flat.T @ e3 + DECAY * w3, e3.sum(0), h3.T @ e4 + DECAY * w4, e4.sum(0), h4.T @ e5, e5.sum(0)),
    ]


@cache
def expected() -> Arrays:
    parameters: list[Any] = [value.astype(np.float64) for value in initial()]
    for x, y in batches()[:CHECKED_STEPS]:
        gradients = _gradients(parameters, x.astype(np.float64), y)
        parameters = [p - RATE * g for p, g in zip(parameters, gradients, strict=True)]
    return named(parameters)


WORK = Work(
    name="cifar10",
    title="CIFAR-10 model training step, batch 128",
    targets=(Target(0.8),),
    systems={
        "flowc": in_flowc,
        "tf": in_tensorflow,
        "tf.function": in_tensorflow_function,
        "jax": in_jax,
        "torch": in_torch,
        "torch.compile": in_torch_compile,
    },
    expected=expected,
    check_steps=CHECKED_STEPS,
    rtol=1e-3,
)
