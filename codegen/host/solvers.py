"""Systems of linear equations, by LAPACK through NumPy."""

from __future__ import annotations

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.errors import InvalidArgumentError


@host("MatrixSolve", "BatchMatrixSolve", "MatrixTriangularSolve", "BatchMatrixTriangularSolve")
def solution(op: HostOp, matrix: Array, rhs: Array) -> Array:
    """The solution of one system, or of each in the stack."""
    if matrix.shape[-1] != matrix.shape[-2] or matrix.shape[:-1] != rhs.shape[:-1]:
        message = f"Input matrix {list(matrix.shape)} must be square, with as many rows as rhs {list(rhs.shape)}."
        raise InvalidArgumentError(None, None, message)
    if "Triangular" in op.type:
        matrix = np.tril(matrix) if op.attrs["lower"] else np.triu(matrix)
    if op.attrs["adjoint"]:
        matrix = np.swapaxes(matrix, -1, -2)
    try:
        return np.asarray(np.linalg.solve(matrix, rhs), op.dtype)
    except np.linalg.LinAlgError:
        raise InvalidArgumentError(None, None, "Input matrix is not invertible.") from None
