"""Determinants, inverses and decompositions of square matrices, by LAPACK through NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.errors import InvalidArgumentError


def _eigen(x: Array) -> Array:
    """The eigenvalues as a row above the eigenvectors."""
    values, vectors = np.linalg.eigh(x)
    return np.concatenate([values[..., np.newaxis, :], vectors], axis=-2)


_FUNCTIONS: Final[dict[str, Callable[[Array], Any]]] = {
    "Cholesky": np.linalg.cholesky,
    "MatrixDeterminant": np.linalg.det,
    "MatrixInverse": np.linalg.inv,
    "SelfAdjointEig": _eigen,
}
_FAILURES: Final = {
    "Cholesky": "LLT decomposition was not successful. The input might not be valid.",
    "MatrixDeterminant": "The determinant could not be computed.",
    "MatrixInverse": "Input is not invertible.",
    "SelfAdjointEig": "Self Adjoint Eigen decomposition was not successful. The input might not be valid.",
}


@host(*_FUNCTIONS, *(f"Batch{op_type}" for op_type in _FUNCTIONS))
def decomposition(op: HostOp, x: Array) -> Array:
    """NumPy's function, of the matrix or of each in the stack."""
    op_type = op.type.removeprefix("Batch")
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise InvalidArgumentError(None, None, f"Input matrix must be square, not of shape {list(x.shape)}")
    try:
        result = _FUNCTIONS[op_type](x)
    except np.linalg.LinAlgError:
        raise InvalidArgumentError(None, None, _FAILURES[op_type]) from None
    return np.asarray(result, op.dtype)
