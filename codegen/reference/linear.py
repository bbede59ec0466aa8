"""What the matrix ops mean. Products of narrow floats are taken in float64."""

from __future__ import annotations

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference, wide


@reference("MatMul", "SparseMatMul")
def _matmul(op: ReferenceOp, a: Array, b: Array) -> Array:
    left = a.T if op.attrs.get("transpose_a") else a
    right = b.T if op.attrs.get("transpose_b") else b
    return np.asarray(_product(left, right))


@reference("BatchMatMul")
def _batch_matmul(op: ReferenceOp, x: Array, y: Array) -> Array:
    """The product of the matrices in the last two dimensions; `adj_x`, `adj_y` take their conjugate transposes."""
    left = np.conj(np.swapaxes(x, -1, -2)) if op.attrs.get("adj_x") else x
    right = np.conj(np.swapaxes(y, -1, -2)) if op.attrs.get("adj_y") else y
    return np.asarray(_product(left, right))


def _product(left: Array, right: Array) -> Array:
    if left.shape[-1] != right.shape[-2]:
        invalid(f"Matrix size-incompatible: {list(left.shape)} and {list(right.shape)}")
    return np.asarray(np.matmul(wide(left), wide(right)))


@reference("Diag")
def _diag(op: ReferenceOp, x: Array) -> Array:
    return np.diag(x.reshape(-1)).reshape(x.shape + x.shape)


@reference("DiagPart")
def _diag_part(op: ReferenceOp, x: Array) -> Array:
    shape = x.shape[: x.ndim // 2]
    size = int(np.prod(shape))
    return np.diag(x.reshape(size, size)).reshape(shape)
