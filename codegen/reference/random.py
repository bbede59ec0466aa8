"""What the random ops mean: their distributions. Values differ from a compiled run's, which has its own generator."""

from __future__ import annotations

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference


@reference("RandomUniform", random=True)
def _uniform(op: ReferenceOp, shape: Array) -> Array:
    """Uniform in [0, 1)."""
    bits = 24 if op.dtype == np.float32 else 10 if op.dtype == np.float16 else 52
    return op.generator.integers(0, 1 << bits, tuple(shape)) / np.float64(1 << bits)


@reference("RandomUniformInt", random=True)
def _uniform_int(op: ReferenceOp, shape: Array, low: Array, high: Array) -> Array:
    """Uniform in low … high - 1."""
    if low >= high:
        invalid(f"Need minval < maxval, got {low} >= {high}")
    return op.generator.integers(low, high, tuple(shape))


@reference("RandomStandardNormal", random=True)
def _normal(op: ReferenceOp, shape: Array) -> Array:
    """Normal, of mean 0 and standard deviation 1."""
    return op.generator.standard_normal(tuple(shape))


@reference("TruncatedNormal", random=True)
def _truncated_normal(op: ReferenceOp, shape: Array) -> Array:
    """Normal, of mean 0 and standard deviation 1 before values beyond 2 are drawn again."""
    result = op.generator.standard_normal(tuple(shape))
    while (outside := np.abs(result) > 2).any():
        result[outside] = op.generator.standard_normal(int(outside.sum()))
    return result


@reference("RandomShuffle", random=True)
def _shuffle(op: ReferenceOp, value: Array) -> Array:
    """The rows in a random order."""
    return op.generator.permutation(value, axis=0) if value.ndim else value
