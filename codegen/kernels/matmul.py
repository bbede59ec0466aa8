"""Products of matrices: `gemm` (floats and complex numbers, by BLAS), `gemm_add` and `matmul_integer`.

All multiply a [m, k] by b [k, n], or stacks of them: [batch, m, k] by [batch, k, n]. A matrix may be a view that BLAS
can read (`matrix_layout`): transposed, or some rows or columns of another. The work is split over flowc's own threads;
each call of BLAS runs on one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from flowc.codegen.ir import Node, access
from flowc.codegen.kernels.source import element_type, grain, kernel, no_kernel
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, Symbol, Word, params_of, template
from flowc.framework.dtypes import DType, complex64, complex128, float32, float64

NO_TRANSPOSE: Final = 111  # CBLAS_TRANSPOSE; the order is always 101, row-major
TRANSPOSE: Final = 112

# Unit: a block of rows of the result (or of columns). Words: gemm, a, b, result, transpose a, transpose b, m, n, k, row
# strides of a, b and the result, rows a block (0: columns), columns a block, bytes a block in a, b and the result; for
# complex numbers, the values 1 and 0.
_BLOCK: Final = """
    m = w[6]
    n = w[7]
    if w[12] != 0:
        m = imin(hi * w[12], m) - lo * w[12]
    else:
        n = imin(hi * w[13], n) - lo * w[13]
    x = w[1] + lo * w[14]
    y = w[2] + lo * w[15]
    z = w[3] + lo * w[16]
"""
GEMM: Final = f"""
def gemm_{{NAME}}(args, lo, hi):
    w = ptr_i64(args, -1){_BLOCK.rstrip()}
    call_gemm_{{CALL}}(w[0], 101, w[4], w[5], m, n, w[8], {{ONE}}, x, w[9], y, w[10], {{ZERO}}, z, w[11])
"""

# The same, but added to what the result's memory holds, times a word after the others: z += alpha·x·y.
GEMM_ADD: Final = f"""
def gemm_add_{{NAME}}(args, lo, hi):
    w = ptr_i64(args, -1)
    alpha = ptr_{{NAME}}(args + 136, -1)[0]{_BLOCK.rstrip()}
    call_gemm_{{CALL}}(w[0], 101, w[4], w[5], m, n, w[8], alpha, x, w[9], y, w[10], {{ONE}}, z, w[11])
"""

# Unit: one product. Words as above, those of blocks unused; bytes a block are the bytes between products.
GEMM_BATCH: Final = """
def gemm_batch_{NAME}(args, lo, hi):
    w = ptr_i64(args, -1)
    for i in range(lo, hi):
        x = w[1] + i * w[14]
        y = w[2] + i * w[15]
        z = w[3] + i * w[16]
        call_gemm_{CALL}(w[0], 101, w[4], w[5], w[6], w[7], w[8], {ONE}, x, w[9], y, w[10], {ZERO}, z, w[11])
"""

# Unit: one row of the result. Words: a, b, result, m, n, k, strides of a (batch, row, column) and of b (batch, row);
# the columns of b lie side by side.
MATMUL_INTEGER: Final = """
def matmul_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    a = ptr_{T}(w[0], 0)
    b = ptr_{T}(w[1], 1)
    c = ptr_{T}(w[2], 2)
    n = w[4]
    k = w[5]
    for row in range(lo, hi):
        batch = idiv(row, w[3])
        x = advance(a, batch * w[6] + (row - batch * w[3]) * w[7])
        z = advance(c, row * n)
        for j in range(n):
            z[j] = 0
        for p in range(k):
            factor = x[p * w[8]]
            y = advance(b, batch * w[9] + p * w[10])
            for j in range(n):
                z[j] = z[j] + factor * y[j]
"""


@dataclass(frozen=True)
class Blas:
    """BLAS's routines for one type."""

    name: str  # of the element type, in kernels' names
    symbol: str
    call: str  # the dialect's call_gemm_…
    flop_ns: int  # operations that one thread does in a ns, about
    scalars: tuple[int, ...] = ()  # words that hold 1 and 0, where they are passed by address


_WORDS: Final = 17  # before the scalars
_BLAS: Final = {
    float32: Blas("f32", "cblas_sgemm", "f32", 64),
    float64: Blas("f64", "cblas_dgemm", "f64", 32),
    complex64: Blas("c64", "cblas_cgemm", "ptr", 16, struct.unpack("<2q", struct.pack("<4f", 1, 0, 0, 0))),
    complex128: Blas("c128", "cblas_zgemm", "ptr", 8, struct.unpack("<4q", struct.pack("<4d", 1, 0, 0, 0))),
}
_CHUNK_NS: Final = 6000  # work that is worth a thread of its own
_LEAST_BLOCK: Final = 32  # rows or columns
_PACKING_NS_BYTE: Final = 0.1  # BLAS packs what it multiplies: every block packs all of the other matrix again
_WORTH: Final = 3  # times its packing, that a block's work must be
_MOST_BLOCKS: Final = 64
_FEW_PRODUCTS: Final = 8  # of a batch: fewer are split one by one


@dataclass(frozen=True)
class MatrixLayout:
    """How BLAS reads the last two dimensions of an array: `transposed`, and `stride` elements from row to row (or, if
    transposed, from column to column)."""

    transposed: bool
    stride: int


def matrix_layout(node: Node) -> MatrixLayout | None:
    """The layout of a matrix or of a stack of them, or None if BLAS cannot read it."""
    rows, columns = node.shape[-2:]
    down, across = access(node)[2][-2:]
    if (across == 1 or columns == 1) and (rows == 1 or down >= max(columns, 1)):
        return MatrixLayout(False, down if rows > 1 else max(columns, 1))
    if (down == 1 or rows == 1) and (columns == 1 or across >= max(rows, 1)):
        return MatrixLayout(True, across if columns > 1 else max(rows, 1))
    return None


def sizes_of(call: Node) -> tuple[int, int, int]:
    """(batch, m, n) of a product."""
    m, n = call.shape[-2:]
    return (call.shape[0] if len(call.shape) == 3 else 1), m, n


@template("gemm", strided=EVERY_ARGUMENT)
def gemm(call: Node) -> Sequence[Launch]:
    """One launch, or for a small batch one a product."""
    blas = blas_of(call.dtype)
    batch, m, n = sizes_of(call)
    work_ns = 2 * m * n * call.args[0].shape[-1] // blas.flop_ns
    if batch == 1 or (batch < _FEW_PRODUCTS and work_ns > _CHUNK_NS):
        return [_split_product(call, blas, i, work_ns) for i in range(batch)]
    steps = (_batch_bytes(call.args[0]), _batch_bytes(call.args[1]), m * n * call.dtype.size)
    words = _words(call, blas, 0, (0, 0, *steps))
    return [Launch(_code(GEMM_BATCH, blas), words, batch, max(1, _CHUNK_NS // max(work_ns, 1)), _moved(call))]


@template("gemm_add", in_place=0, strided=frozenset({1, 2}))
def gemm_add(call: Node) -> Sequence[Launch]:
    """A matrix plus `alpha` times the product of two others, in the first one's memory; real numbers only."""
    blas = blas_of(call.dtype)
    _, m, n = sizes_of(call)
    launch = _split_product(call, blas, 0, 2 * m * n * call.args[1].shape[-1] // blas.flop_ns)
    return [replace(launch, words=(*launch.words, bits_of(params_of(call)["alpha"], call.dtype)))]


def bits_of(value: float, dtype: DType) -> int:
    """A number as the argument word that a kernel reads it from."""
    data = np.asarray(value, dtype.as_numpy_dtype).tobytes().ljust(8, b"\0")
    return int(struct.unpack("<q", data)[0])


def _split_product(call: Node, blas: Blas, index: int, work_ns: int) -> Launch:
    """Product `index` of the batch, in blocks of rows or, if there are more of them, columns."""
    a, b = call.args[-2:]
    batch, m, n = sizes_of(call)
    size = call.dtype.size
    packing_ns = int(min(m, n) * a.shape[-1] * size * _PACKING_NS_BYTE)  # of the matrix that every block reads all of
    block = _block(max(m, n), work_ns, max(_CHUNK_NS, _WORTH * packing_ns))
    if m >= n:
        blocks = (block, 0, _bytes(a, -2, block), 0, block * n * size)
    else:
        blocks = (0, block, 0, _bytes(b, -1, block), block * size)
    units = -(-max(m, n) // block)
    words = _words(call, blas, index, blocks)
    code = _code(GEMM if len(call.args) == 2 else GEMM_ADD, blas)
    return Launch(code, words, units, max(1, _CHUNK_NS * units // max(work_ns, 1)), _moved(call) // batch)


def _block(size: int, work_ns: int, least_ns: int) -> int:
    """Rows or columns a block: 2^j blocks of about the same size, each with `least_ns` of work; a multiple of 4."""
    blocks = 1
    while blocks < _MOST_BLOCKS and size // (2 * blocks) >= _LEAST_BLOCK and work_ns // (2 * blocks) >= least_ns:
        blocks *= 2
    return (-(-size // blocks) + 3) // 4 * 4 if blocks > 1 else size


def _words(call: Node, blas: Blas, index: int, blocks: tuple[int, ...]) -> tuple[Word, ...]:
    _, m, n = sizes_of(call)
    factors = call.args[-2:]
    k = factors[0].shape[-1]
    layouts = [_layout(arg) for arg in factors]
    first = len(call.args) - 2
    pointers = [Pointer(first + i, index * _batch_bytes(arg)) for i, arg in enumerate(factors)]
    result = Pointer(-1, index * m * n * call.dtype.size)
    transposes = [TRANSPOSE if layout.transposed else NO_TRANSPOSE for layout in layouts]
    strides = [layout.stride for layout in layouts]
    return (Symbol(blas.symbol), *pointers, result, *transposes, m, n, k, *strides, n, *blocks, *blas.scalars)


def _layout(matrix: Node) -> MatrixLayout:
    layout = matrix_layout(matrix)
    assert layout is not None, f"gemm cannot read {matrix}: its lowering must copy it"
    return layout


def _code(text: str, blas: Blas) -> Kernel:
    one, zero = "1.0", "0.0"
    if blas.scalars:
        one, zero = f"args + {8 * _WORDS}", f"args + {8 * (_WORDS + len(blas.scalars) // 2)}"
    return kernel(text, NAME=blas.name, CALL=blas.call, ONE=one, ZERO=zero)


def blas_of(dtype: DType) -> Blas:
    """The routines of BLAS for a type; UnimplementedError if it has none."""
    if dtype not in _BLAS:
        raise no_kernel("MatMul", dtype)
    return _BLAS[dtype]


def _bytes(node: Node, dimension: int, count: int) -> int:
    """Bytes between elements that lie `count` apart along a dimension."""
    return _stride(node, dimension) * count * node.dtype.size


def _stride(node: Node, dimension: int) -> int:
    """The stride of a dimension, counted from the last; that of stacks is 0 for a single matrix."""
    strides = access(node)[2]
    return strides[dimension] if -dimension <= len(strides) else 0


def _batch_bytes(node: Node) -> int:
    return _bytes(node, -3, 1)


def _moved(call: Node) -> int:
    return (call.size + call.args[0].size + call.args[1].size) * call.dtype.size


@template("matmul_integer", strided=EVERY_ARGUMENT)
def matmul_integer(call: Node) -> Sequence[Launch]:
    """Sums wrap around. The columns of b must lie side by side; a may be any view."""
    a, b = call.args
    batch, m, n = sizes_of(call)
    k = a.shape[-1]
    strides = (_stride(a, -3), _stride(a, -2), _stride(a, -1), _stride(b, -3), _stride(b, -2))
    code = kernel(MATMUL_INTEGER, T=element_type(call.dtype, "MatMul"))
    words = (Pointer(0), Pointer(1), Pointer(-1), m, n, k, *strides)
    return [Launch(code, words, batch * m, grain(n * k), _moved(call))]
