"""What normalisation means."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, reference, wide


def _neighbours(x: Array, radius: int) -> Array:
    """The sum over the channels c - radius … c + radius."""
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(radius, radius)])
    return np.asarray(sum(padded[..., k : k + x.shape[-1]] for k in range(2 * radius + 1)))


def _norm(op: ReferenceOp, x: Array) -> Array:
    return np.asarray(op.attrs["bias"] + op.attrs["alpha"] * _neighbours(x * x, op.attrs["depth_radius"]))


@reference("LRN")
def _lrn(op: ReferenceOp, x: Array) -> Array:
    """x / (bias + alpha · Σ x²)^beta."""
    x = wide(x)
    return np.asarray(x * np.power(_norm(op, x), -op.attrs["beta"]))


@reference("LRNGrad")
def _lrn_grad(op: ReferenceOp, grad: Array, x: Array, y: Array) -> Array:
    grad, x, y = wide(grad), wide(x), wide(y)
    alpha, beta = op.attrs["alpha"], op.attrs["beta"]
    norm = _norm(op, x)
    shares = _neighbours(grad * y / norm, op.attrs["depth_radius"])
    return np.asarray(grad * np.power(norm, -beta) - 2 * alpha * beta * x * shares)


@reference("BatchNormWithGlobalNormalization")
def _batch_norm(op: ReferenceOp, t: Array, m: Array, v: Array, beta: Array, gamma: Array) -> Array:
    """(t - m) / √(v + ε), times gamma if it is to be scaled, plus beta."""
    return np.asarray((wide(t) - wide(m)) * _scale(op, v, gamma) + wide(beta))


def _scale(op: ReferenceOp, v: Array, gamma: Array) -> Any:
    inverse = 1 / np.sqrt(wide(v) + op.attrs["variance_epsilon"])
    return inverse * wide(gamma) if op.attrs["scale_after_normalization"] else inverse


@reference("BatchNormWithGlobalNormalizationGrad")
def _batch_norm_grad(op: ReferenceOp, t: Array, m: Array, v: Array, gamma: Array, grad: Array) -> list[Any]:
    """The gradients by t, m, v, beta and gamma."""
    grad, deviation = wide(grad), wide(t) - wide(m)
    scale = _scale(op, v, gamma)
    variance = wide(v) + op.attrs["variance_epsilon"]
    total, along = grad.sum((0, 1, 2)), (grad * deviation).sum((0, 1, 2))
    by_gamma = along / np.sqrt(variance) if op.attrs["scale_after_normalization"] else np.zeros_like(total)
    return [grad * scale, -total * scale, along * scale * -0.5 / variance, total, by_gamma]
