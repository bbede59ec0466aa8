"""Systems of linear equations, one or each in a stack; on the host, by LAPACK."""

from __future__ import annotations

from typing import Any

from flowc.framework.building import apply
from flowc.framework.dtypes import float32, float64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.framework.shapes import TensorShape
from flowc.ops.array_ops import cast, expand_dims
from flowc.ops.linear_algebra_ops import matrix_indices
from flowc.ops.matmul_ops import batch_matmul

__all__ = ["batch_matrix_solve", "batch_matrix_triangular_solve", "matrix_solve", "matrix_triangular_solve"]

_LAPACK = frozenset((float32, float64))


def _solutions(ctx: ShapeContext) -> Shapes:
    """The right-hand sides' shape, whose rows are the matrix's."""
    matrix, rhs = (given.with_rank_at_least(2).tuple for given in ctx.shapes)
    if matrix is None or rhs is None:
        return (UNKNOWN,)
    TensorShape(matrix[-1:]).assert_is_compatible_with(matrix[-2:-1])  # square
    lead = TensorShape(matrix[:-1]).merge_with(rhs[:-1])
    return (lead.concatenate(rhs[-1:]),)


def _solution(ctx: ShapeContext) -> Shapes:
    for given in ctx.shapes:
        given.with_rank(2)
    return (_solutions(ctx)[0].with_rank(2),)


_INPUTS, _ATTRS = "matrix rhs", {"adjoint": False}
define("MatrixSolve", shape=_solution, allowed=_LAPACK, inputs=_INPUTS, attrs=_ATTRS)
define("BatchMatrixSolve", shape=_solutions, allowed=_LAPACK, inputs=_INPUTS, attrs=_ATTRS)
define("MatrixTriangularSolve", shape=_solution, allowed=_LAPACK, inputs=_INPUTS, attrs={"lower": True, **_ATTRS})
define("BatchMatrixTriangularSolve", shape=_solutions, allowed=_LAPACK, inputs=_INPUTS, attrs={"lower": True, **_ATTRS})


def matrix_solve(matrix: Any, rhs: Any, adjoint: bool | None = None, name: str | None = None) -> Tensor:
    """The X with `matrix` · X = `rhs`, or with matrixᵀ · X = `rhs` if `adjoint`: shape [m, k] of [m, m] and [m, k].

    float32 or float64. A singular matrix fails the run with InvalidArgumentError ("Input matrix is not invertible.").
    """
    return apply("MatrixSolve", [matrix, rhs], {"adjoint": bool(adjoint)}, name)


def batch_matrix_solve(matrix: Any, rhs: Any, adjoint: bool | None = None, name: str | None = None) -> Tensor:
    """`matrix_solve` of the matrices in the last two dimensions: […, m, k] of […, m, m] and […, m, k]."""
    return apply("BatchMatrixSolve", [matrix, rhs], {"adjoint": bool(adjoint)}, name)


def matrix_triangular_solve(
    matrix: Any, rhs: Any, lower: bool | None = None, adjoint: bool | None = None, name: str | None = None
) -> Tensor:
    """As `matrix_solve`, for a triangular matrix, of which only the lower triangle (or the upper) is read."""
    attrs = {"lower": lower is None or bool(lower), "adjoint": bool(adjoint)}
    return apply("MatrixTriangularSolve", [matrix, rhs], attrs, name)


def batch_matrix_triangular_solve(
    matrix: Any, rhs: Any, lower: bool | None = None, adjoint: bool | None = None, name: str | None = None
) -> Tensor:
    """`matrix_triangular_solve` of the matrices in the last two dimensions."""
    attrs = {"lower": lower is None or bool(lower), "adjoint": bool(adjoint)}
    return apply("BatchMatrixTriangularSolve", [matrix, rhs], attrs, name)


@gradient("MatrixSolve", "BatchMatrixSolve", "MatrixTriangularSolve", "BatchMatrixTriangularSolve")
def _solve_grad(op: Any, grad: Any) -> Any:
    """With A X = B: the gradient of B is G' = A⁻ᵀ G, and that of A is -G' Xᵀ, in the triangle that was read."""
    matrix, solution = op.inputs[0], op.outputs[0]
    attrs = {"adjoint": not op.get_attr("adjoint")}
    is_triangular = "Triangular" in op.type
    if is_triangular:
        attrs["lower"] = op.get_attr("lower")
    of_rhs = apply(op.type, [matrix, grad], attrs)
    left, right = (solution, of_rhs) if op.get_attr("adjoint") else (of_rhs, solution)
    of_matrix = -batch_matmul(left, right, adj_y=True)
    return of_matrix * _triangle(matrix, attrs["lower"]) if is_triangular else of_matrix, of_rhs


def _triangle(like: Tensor, lower: bool) -> Tensor:
    """1 in the lower triangle (or the upper) and 0 elsewhere, of the size of the matrices in `like`."""
    indices = matrix_indices(like)
    rows, columns = expand_dims(indices, 1), expand_dims(indices, 0)
    return cast(apply("GreaterEqual", [rows, columns] if lower else [columns, rows]), like.dtype)
