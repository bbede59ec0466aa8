"""Products of a matrix and a vector, by BLAS: `gemv`(a, b), where a has one row or b has one column.

Such a product reads its matrix once and is as fast as memory. It is split over flowc's own threads along its results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flowc.codegen.ir import Node, access
from flowc.codegen.kernels.matmul import NO_TRANSPOSE, TRANSPOSE, blas_of, matrix_layout
from flowc.codegen.kernels.source import kernel
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, Symbol, template

# Unit: a block of the results. Words: gemv, matrix, vector, result, transpose, results, terms, results a block, stride
# of the matrix, step of the vector, bytes a block in the matrix and in the result.
GEMV: Final = """
def gemv_{NAME}(args, lo, hi):
    w = ptr_i64(args, -1)
    count = imin(hi * w[7], w[5]) - lo * w[7]
    m = count
    n = w[6]
    if w[4] == {TRANSPOSE}:
        m = w[6]
        n = count
    call_gemv_{CALL}(w[0], 101, w[4], m, n, 1.0, w[1] + lo * w[10], w[8], w[2], w[9], 0.0, w[3] + lo * w[11], 1)
"""

_BLOCK: Final = 128  # results: of so many columns, memory is read fast
_CHUNK_BYTES: Final = 1 << 17  # of the matrix, that are worth a thread of their own


@dataclass(frozen=True)
class _Parts:
    """Which argument is the matrix and which the vector; how BLAS reads them; and how many results and terms."""

    matrix: int
    transposed: bool  # the terms of a result lie a stride apart
    stride: int
    step: int
    results: int
    terms: int


def is_matrix_by_vector(a: Node, b: Node) -> bool:
    """Whether one factor of a product is a vector, so that `gemv` can do it."""
    one = a.shape[-2] == 1 or b.shape[-1] == 1
    return one and not a.dtype.is_complex and len(a.shape) == 2


@template("gemv", strided=EVERY_ARGUMENT)
def gemv(call: Node) -> Sequence[Launch]:
    """One launch."""
    parts = _parts(call)
    blas = blas_of(call.dtype)
    code = kernel(GEMV, NAME=blas.name, CALL=blas.call, TRANSPOSE=str(TRANSPOSE))
    size = call.dtype.size
    pointers = (Pointer(parts.matrix), Pointer(1 - parts.matrix), Pointer(-1))
    sizes = (parts.results, parts.terms, _BLOCK, parts.stride, parts.step)
    bytes_a_block = _BLOCK * (1 if parts.transposed else parts.stride) * size, _BLOCK * size
    turn = TRANSPOSE if parts.transposed else NO_TRANSPOSE
    units = -(-parts.results // _BLOCK)
    moved = parts.results * parts.terms * size
    words = (Symbol(blas.symbol.replace("gemm", "gemv")), *pointers, turn, *sizes, *bytes_a_block)
    return [Launch(code, words, units, max(1, _CHUNK_BYTES * units // moved), moved)]


def _parts(call: Node) -> _Parts:
    a, b = call.args
    matrix = 1 if a.shape[0] == 1 else 0
    layout = matrix_layout(call.args[matrix])
    assert layout is not None, f"gemv cannot read {call.args[matrix]}: its lowering must copy it"
    vector_step = access(a)[2][1] if matrix else access(b)[2][0]
    along_rows = bool(matrix) == layout.transposed  # of the matrix as it lies in memory, a result is a row's sum
    return _Parts(matrix, not along_rows, layout.stride, max(vector_step, 1), call.size, a.shape[1])
