"""The guide's deep MNIST model in NumPy, in float64: what every system's result is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.deep_mnist import BETA1, BETA2, CHECKED_STEPS, EPSILON, RATE, batches, initial
from bench.work import Arrays, Floats


def _patches(x: Any) -> Any:
    """[n, height, width, channels, 5, 5]: what a 5×5 filter sees."""
    padded = np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)])
    return np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (1, 2))


def convolved(x: Any, w: Any) -> Any:
    return np.tensordot(_patches(x), w, ([3, 4, 5], [2, 0, 1]))


def filter_gradient(x: Any, error: Any) -> Any:
    return np.tensordot(_patches(x), error, ([0, 1, 2], [0, 1, 2])).transpose(1, 2, 0, 3)


def input_gradient(w: Any, error: Any) -> Any:
    return convolved(error, w[::-1, ::-1].transpose(0, 1, 3, 2))


def _windows(x: Any) -> Any:
    """[n, height / 2, width / 2, channels, 4]: the elements of each 2×2 window."""
    n, height, width, channels = x.shape
    split = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    return split.transpose(0, 1, 3, 5, 2, 4).reshape(n, height // 2, width // 2, channels, 4)


def _unpooled(x: Any, error: Any) -> Any:
    """The gradient of the windows' maxima."""
    windows = _windows(x)
    n, rows, columns, channels, _ = windows.shape
    spread = np.zeros_like(windows)
    np.put_along_axis(spread, windows.argmax(-1)[..., None], error[..., None], -1)
    return spread.reshape(n, rows, columns, channels, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(x.shape)


def _forward(parameters: list[Any], x: Any) -> tuple[Any, ...]:
    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    image = x.reshape(-1, 28, 28, 1)
    h1 = np.maximum(convolved(image, w1) + b1, 0)
    p1 = _windows(h1).max(-1)
    h2 = np.maximum(convolved(p1, w2) + b2, 0)
    p2 = _windows(h2).max(-1)
    h3 = np.maximum(p2.reshape(len(x), -1) @ w3 + b3, 0)
    return image, h1, p1, h2, p2, h3, h3 @ w4 + b4


def _log_softmax(logits: Any) -> Any:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _gradients(parameters: list[Any], x: Any, y: Any) -> list[Any]:
    _, _, w2, _, w3, _, w4, _ = parameters
    image, h1, p1, h2, p2, h3, logits = _forward(parameters, x)
    error = np.exp(_log_softmax(logits)) - y
    error3 = (error @ w4.T) * (h3 > 0)
    error2 = _unpooled(h2, (error3 @ w3.T).reshape(p2.shape)) * (h2 > 0)
    error1 = _unpooled(h1, input_gradient(w2, error2)) * (h1 > 0)
    dense = p2.reshape(len(x), -1)
    return [
        *(filter_gradient(image, error1), error1.sum((0, 1, 2))),
        *(filter_gradient(p1, error2), error2.sum((0, 1, 2))),
        *(dense.T @ error3, error3.sum(0)),
        *(h3.T @ error, error.sum(0)),
    ]


def trained_loss() -> Arrays:
    """The loss on the first batch after the steps that are checked."""
    parameters: list[Any] = [value.astype(np.float64) for value in initial()]
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    for step, (x, y) in enumerate(batches()[:CHECKED_STEPS], 1):
        rate = RATE * np.sqrt(1 - BETA2**step) / (1 - BETA1**step)
        for i, g in enumerate(_gradients(parameters, x.astype(np.float64), y)):
            means[i] = BETA1 * means[i] + (1 - BETA1) * g
            squares[i] = BETA2 * squares[i] + (1 - BETA2) * g * g
            parameters[i] = parameters[i] - rate * means[i] / (np.sqrt(squares[i]) + EPSILON)
    x, y = batches()[0]
    scores = _log_softmax(_forward(parameters, x.astype(np.float64))[-1])
    return {"loss": np.asarray(-np.sum(y * scores))}


def probabilities(images: Floats) -> Arrays:
    """Of the classes of `images`, before any training."""
    parameters = [value.astype(np.float64) for value in initial()]
    return {"probabilities": np.exp(_log_softmax(_forward(parameters, images.astype(np.float64))[-1]))}
