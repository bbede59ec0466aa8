"""Diagonal matrices, determinants, inverses and decompositions, of one matrix or of each in a stack.

The decompositions run on the host, by LAPACK. Gradients are those of matrix calculus (M. Giles, "An extended collection
of matrix derivative results", 2008; I. Murray, "Differentiation of the Cholesky decomposition", 2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.framework.building import apply
from flowc.framework.convert import constant
from flowc.framework.dtypes import NUMERIC, float32, float64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.framework.shapes import TensorShape
from flowc.ops.array_ops import cast, expand_dims, rank, shape, transpose
from flowc.ops.joining_ops import concat
from flowc.ops.matmul_ops import batch_matmul
from flowc.ops.slicing_ops import slice

__all__ = [
    "batch_cholesky",
    "batch_matrix_determinant",
    "batch_matrix_inverse",
    "batch_self_adjoint_eig",
    "cholesky",
    "diag",
    "diag_part",
    "matrix_determinant",
    "matrix_inverse",
    "self_adjoint_eig",
]

_LAPACK = frozenset((float32, float64))

# -- diagonals ---------------------------------------------------------------------------------------------------------


def _twice(ctx: ShapeContext) -> Shapes:
    return (ctx.shapes[0].concatenate(ctx.shapes[0]),)


define("Diag", shape=_twice, allowed=NUMERIC, inputs="diagonal")


def diag(diagonal: Any, name: str | None = None) -> Tensor:
    """A tensor with `diagonal`, of rank k, on its diagonal and 0 elsewhere: of rank 2k, shape `diagonal.shape` twice.

    `output[i1, …, ik, i1, …, ik] = diagonal[i1, …, ik]`.
    """
    return apply("Diag", [diagonal], name=name)


@gradient("Diag")
def _diag_grad(op: Any, grad: Any) -> Any:
    return diag_part(grad)


def _halved(ctx: ShapeContext) -> Shapes:
    sizes = ctx.shapes[0].tuple
    if sizes is None:
        return (UNKNOWN,)
    if len(sizes) % 2:
        raise ValueError(f"A tensor with a diagonal has an even rank, not {len(sizes)}")
    half = len(sizes) // 2
    return (TensorShape(sizes[:half]).merge_with(sizes[half:]),)


define("DiagPart", shape=_halved, allowed=NUMERIC, inputs="input")


def diag_part(input: Any, name: str | None = None) -> Tensor:
    """The diagonal of `input`, a tensor of rank 2k and of shape `[d1, …, dk, d1, …, dk]`: shape `[d1, …, dk]`."""
    return apply("DiagPart", [input], name=name)


@gradient("DiagPart")
def _diag_part_grad(op: Any, grad: Any) -> Any:
    return diag(grad)


# -- square matrices ---------------------------------------------------------------------------------------------------


def _square(ctx: ShapeContext) -> TensorShape:
    """The shape of the input: a square matrix, or a stack of them for the types that begin with "Batch"."""
    given = ctx.shapes[0]
    if given.tuple is None:
        return UNKNOWN
    given = given.with_rank_at_least(2)
    *batch, rows, columns = given.tuple or ()
    if rows is not None and columns is not None and rows != columns:
        raise ValueError(f"Input matrix must be square, not {rows} by {columns}")
    size = rows if columns is None else columns
    return TensorShape((*batch, size, size))


def _unchanged(ctx: ShapeContext) -> Shapes:
    return (_square(ctx),)


def _one_matrix(ctx: ShapeContext) -> Shapes:
    return (_square(ctx).with_rank(2),)


def _without_matrix(ctx: ShapeContext) -> Shapes:
    sizes = _square(ctx).tuple
    return (UNKNOWN if sizes is None else TensorShape(sizes[:-2]),)


def _no_batch(ctx: ShapeContext) -> Shapes:
    _square(ctx).with_rank(2)
    return (TensorShape(()),)


def _transposed(matrices: Tensor) -> Tensor:
    """Each matrix of a stack transposed."""
    ndims = matrices.get_shape().ndims
    if ndims is not None:
        return transpose(matrices, [*range(ndims - 2), ndims - 1, ndims - 2])
    count = rank(matrices)
    lead, last_two = apply("Range", [0, count - 2, 1]), apply("Range", [count - 1, count - 3, -1])
    return transpose(matrices, concat(0, [lead, last_two]))


# -- determinants ------------------------------------------------------------------------------------------------------

define("MatrixDeterminant", shape=_no_batch, allowed=_LAPACK, inputs="input")


def matrix_determinant(input: Any, name: str | None = None) -> Tensor:
    """The determinant of a square matrix, float32 or float64: a scalar."""
    return apply("MatrixDeterminant", [input], name=name)


define("BatchMatrixDeterminant", shape=_without_matrix, allowed=_LAPACK, inputs="input")


def batch_matrix_determinant(input: Any, name: str | None = None) -> Tensor:
    """The determinants of the square matrices in the last two dimensions: shape […] of […, m, m]."""
    return apply("BatchMatrixDeterminant", [input], name=name)


@gradient("MatrixDeterminant", "BatchMatrixDeterminant")
def _determinant_grad(op: Any, grad: Any) -> Any:
    """det A · A⁻ᵀ."""
    inverse = apply("BatchMatrixInverse", [op.inputs[0]])
    scale = expand_dims(expand_dims(grad * op.outputs[0], -1), -1)
    return scale * _transposed(inverse)


# -- inverses ----------------------------------------------------------------------------------------------------------

define("MatrixInverse", shape=_one_matrix, allowed=_LAPACK, inputs="input")


def matrix_inverse(input: Any, name: str | None = None) -> Tensor:
    """The inverse of a square matrix, float32 or float64, by LU decomposition with partial pivoting.

    A singular matrix fails the run with InvalidArgumentError ("Input is not invertible.") where a pivot is 0; one that
    is nearly singular may give an inverse that is far off.
    """
    return apply("MatrixInverse", [input], name=name)


define("BatchMatrixInverse", shape=_unchanged, allowed=_LAPACK, inputs="input")


def batch_matrix_inverse(input: Any, name: str | None = None) -> Tensor:
    """The inverses of the square matrices in the last two dimensions, as `matrix_inverse`: […, m, m]."""
    return apply("BatchMatrixInverse", [input], name=name)


@gradient("MatrixInverse", "BatchMatrixInverse")
def _inverse_grad(op: Any, grad: Any) -> Any:
    """-A⁻ᵀ G A⁻ᵀ."""
    inverse = op.outputs[0]
    return -batch_matmul(batch_matmul(inverse, grad, adj_x=True), inverse, adj_y=True)


# -- Cholesky's decomposition ------------------------------------------------------------------------------------------

define("Cholesky", shape=_one_matrix, allowed=_LAPACK, inputs="input")


def cholesky(input: Any, name: str | None = None) -> Tensor:
    """The lower triangular L with L·Lᵀ = `input`, a symmetric positive definite matrix, float32 or float64.

    Only the lower triangle of `input` is read. A matrix that is not positive definite fails the run with
    InvalidArgumentError ("LLT decomposition was not successful. …").
    """
    return apply("Cholesky", [input], name=name)


define("BatchCholesky", shape=_unchanged, allowed=_LAPACK, inputs="input")


def batch_cholesky(input: Any, name: str | None = None) -> Tensor:
    """Cholesky's decompositions of the matrices in the last two dimensions, as `cholesky`: […, m, m]."""
    return apply("BatchCholesky", [input], name=name)


@gradient("Cholesky", "BatchCholesky")
def _cholesky_grad(op: Any, grad: Any) -> Any:
    """L⁻ᵀ Φ(Lᵀ G) L⁻¹, symmetrised, where Φ takes the lower triangle and half of the diagonal."""
    lower = op.outputs[0]
    inverse = apply("BatchMatrixInverse", [lower])
    middle = batch_matmul(lower, grad, adj_x=True) * _halved_triangle(lower)
    return _symmetrised(batch_matmul(batch_matmul(inverse, middle, adj_x=True), inverse))


def _symmetrised(matrices: Tensor) -> Tensor:
    return 0.5 * (matrices + _transposed(matrices))


def _halved_triangle(like: Tensor) -> Tensor:
    """1 below the diagonal, 1/2 on it and 0 above, of the size of the matrices in `like`."""
    indices = matrix_indices(like)
    above = expand_dims(indices, 1) - expand_dims(indices, 0)
    return cast(apply("Sign", [above]) + 1, like.dtype) * 0.5


def matrix_indices(like: Tensor) -> Tensor:
    """0 … m-1, int32, for matrices of size m."""
    sizes = like.get_shape().tuple
    if sizes is not None and sizes[-1] is not None:
        return constant(np.arange(sizes[-1], dtype=np.int32))
    last = slice(shape(like), expand_dims(rank(like) - 1, 0), [1])
    return apply("Range", [0, apply("Squeeze", [last], {"squeeze_dims": []}), 1])


# -- eigenvalues -------------------------------------------------------------------------------------------------------


def _one_row_more(ctx: ShapeContext) -> Shapes:
    sizes = _square(ctx).tuple
    if sizes is None:
        return (UNKNOWN,)
    *batch, rows, columns = sizes
    return (TensorShape((*batch, None if rows is None else rows + 1, columns)),)


def _one_row_more_of_one(ctx: ShapeContext) -> Shapes:
    return (_one_row_more(ctx)[0].with_rank(2),)


define("SelfAdjointEig", shape=_one_row_more_of_one, allowed=_LAPACK, inputs="input")


def self_adjoint_eig(input: Any, name: str | None = None) -> Tensor:
    """The eigenvalues and eigenvectors of a symmetric matrix [m, m], float32 or float64: shape [m+1, m].

    The first row holds the eigenvalues, in increasing order; below them, each column is the eigenvector of the
    eigenvalue above it, of length 1. Only the lower triangle of `input` is read.
    """
    return apply("SelfAdjointEig", [input], name=name)


define("BatchSelfAdjointEig", shape=_one_row_more, allowed=_LAPACK, inputs="input")


def batch_self_adjoint_eig(input: Any, name: str | None = None) -> Tensor:
    """The eigenvalues and eigenvectors of the matrices in the last two dimensions, as `self_adjoint_eig`."""
    return apply("BatchSelfAdjointEig", [input], name=name)


@gradient("SelfAdjointEig", "BatchSelfAdjointEig")
def _eigen_grad(op: Any, grad: Any) -> Any:
    """V (diag(g) + F ∘ (Vᵀ Gᵥ)) Vᵀ, symmetrised; F[i, j] = 1 / (λ[j] - λ[i]), 0 on the diagonal.

    It has a meaning only where the eigenvalues differ.
    """
    values, vectors = _eigen_parts(op.outputs[0])
    grad_values, grad_vectors = _eigen_parts(grad)
    indices = matrix_indices(vectors)
    same = cast(apply("Equal", [expand_dims(indices, 1), expand_dims(indices, 0)]), vectors.dtype)
    gaps = values - _transposed(values)
    middle = batch_matmul(vectors, grad_vectors, adj_x=True) * (1.0 - same) / (gaps + same) + same * grad_values
    return _symmetrised(batch_matmul(batch_matmul(vectors, middle), vectors, adj_y=True))


def _eigen_parts(both: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvalues as one row […, 1, m], and the eigenvectors […, m, m]."""
    ndims = both.get_shape().ndims
    if ndims is None:
        raise ValueError("The gradient of batch_self_adjoint_eig needs an input of known rank")
    lead, rest = [0] * (ndims - 2), [-1] * (ndims - 2)
    return slice(both, [0] * ndims, [*rest, 1, -1]), slice(both, [*lead, 1, 0], [-1] * ndims)
