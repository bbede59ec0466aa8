"""Products of matrices on CUDA: `gemm` and `gemm_add` by a kernel of squares of the result.

A block of 256 threads takes a square of 64 by 64, each thread 4 by 4 of it, in steps of 16 terms that lie in shared
memory. Factors may be any views. Sums are in the order of the terms, in the type of the elements, so that runs repeat.

Source: NVIDIA, CUDA C++ Programming Guide, "Shared Memory"; V. Volkov 2010, "Better performance at lower occupancy".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from flowc.codegen.cuda.geometry import heading
from flowc.codegen.ir import Node, access
from flowc.codegen.kernels.matmul import bits_of, sizes_of
from flowc.codegen.kernels.source import components, kernel
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import Launch, Pointer, params_of

SIDE: Final = 64  # of the squares
STEP: Final = 16  # terms
EACH: Final = 4  # rows and columns of a thread
THREADS: Final = (SIDE // EACH) ** 2
PITCH: Final = SIDE + EACH  # so that threads of a warp meet in no memory bank, and rows stay aligned

# Unit: a square. Words: a, b, result, m, n, k, squares down and across, strides of a and b (batch, row, column), alpha.
PRODUCT: Final = """
def gemm_cuda_{NAME}(args, lo, hi):
    w = ptr_i64(args, -1)
    left = shared_{T}({SHARED}, 1000)
    right = shared_{T}({SHARED}, 1001)
    m = w[3]
    n = w[4]
    k = w[5]
    ty = thread() >> 4
    tx = thread() & 15
    for u in range(lo + block(), hi, blocks()):
        rest = idiv(u, w[7])
        start = (u - rest * w[7]) * {SIDE}
        batch = idiv(rest, w[6])
        top = (rest - batch * w[6]) * {SIDE}
        a = advance(ptr_{T}(w[0], 0), batch * w[8])
        b = advance(ptr_{T}(w[1], 1), batch * w[11])
        c = advance(ptr_{T}(w[2], 2), batch * m * n)
{ZEROS}
        for first in range(0, k, {STEP}):
            barrier()
            for e in unrolled_range({LOADS}):
                at = thread() + e * {THREADS}
                r = {LEFT_ROW}
                t = {LEFT_TERM}
                x = {T}(0)
                if top + r < m and first + t < k:
                    x = a[(top + r) * w[9] + (first + t) * w[10]]
                left[t * {PITCH} + r] = x
                s = {RIGHT_COLUMN}
                p = {RIGHT_TERM}
                y = {T}(0)
                if start + s < n and first + p < k:
                    y = b[(first + p) * w[12] + (start + s) * w[13]]
                right[p * {PITCH} + s] = y
            barrier()
            for t in unrolled_range({STEP}):
{MULTIPLY}
{STORE}
"""

# Unit: an element. For complex numbers, which are pairs; the same words.
COMPLEX: Final = """
def gemm_cuda_complex_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    m = w[3]
    n = w[4]
    for u in range(lo, hi):
        row = idiv(u, n)
        column = u - row * n
        batch = idiv(row, m)
        row = row - batch * m
        x = advance(ptr_{T}(w[0], 0), 2 * (batch * w[8] + row * w[9]))
        y = advance(ptr_{T}(w[1], 1), 2 * (batch * w[11] + column * w[13]))
        real = {T}(0)
        imaginary = {T}(0)
        for t in range(w[5]):
            i = 2 * t * w[10]
            j = 2 * t * w[12]
            real = fma(x[i], y[j], fma(-x[i + 1], y[j + 1], real))
            imaginary = fma(x[i], y[j + 1], fma(x[i + 1], y[j], imaginary))
        c = ptr_{T}(w[2], 2)
        c[2 * u] = real
        c[2 * u + 1] = imaginary
"""


def product_launches(call: Node) -> Sequence[Launch]:
    """One launch: the product of the last two arguments, added to the first if there are three."""
    kind, parts = components(call.dtype, "MatMul")
    a, b = call.args[-2:]
    batch, m, n = sizes_of(call)
    squares = -(-m // SIDE), -(-n // SIDE)
    first = len(call.args) - 2
    strides = (*_strides(a), *_strides(b))
    words = (Pointer(first), Pointer(first + 1), Pointer(-1), m, n, a.shape[-1], *squares, *strides)
    moved = (call.size + a.size + b.size) * call.dtype.size
    if parts == 2:
        return [Launch(kernel(COMPLEX, T=kind), words, call.size, 1, moved)]
    alpha = (bits_of(params_of(call)["alpha"], call.dtype),) if first else ()
    code = product_kernel(kind, strides[2] != 1, strides[5] != 1, bool(first))
    return [Launch(code, (*words, *alpha), batch * squares[0] * squares[1], 1, moved)]


def _strides(node: Node) -> tuple[int, int, int]:
    """Elements from product to product of a stack (0 for one matrix), from row to row, from column to column."""
    strides = access(node)[2]
    return (strides[0] if len(strides) == 3 else 0, *strides[-2:])  # type: ignore[return-value]


@cache
def product_kernel(kind: str, left_turned: bool, right_turned: bool, added: bool) -> Kernel:
    """The kernel for elements of `kind`. `turned`: columns lie side by side in memory, and are read so."""
    places = [(i, j) for i in range(EACH) for j in range(EACH)]
    by_term, by_line = f"at & {STEP - 1}", f"at >> {STEP.bit_length() - 1}"
    across, down = f"at & {SIDE - 1}", f"at >> {SIDE.bit_length() - 1}"
    made = kernel(
        PRODUCT,
        NAME=f"{'t' if left_turned else 'n'}{'t' if right_turned else 'n'}{'_add' if added else ''}_{kind}",
        T=kind,
        SHARED=str(STEP * PITCH),
        SIDE=str(SIDE),
        STEP=str(STEP),
        PITCH=str(PITCH),
        THREADS=str(THREADS),
        LOADS=str(SIDE * STEP // THREADS),
        LEFT_ROW=across if left_turned else by_line,
        LEFT_TERM=down if left_turned else by_term,
        RIGHT_COLUMN=by_line if right_turned else across,
        RIGHT_TERM=by_term if right_turned else down,
        ZEROS="\n".join(f"        c{i}{j} = {kind}(0)" for i, j in places),
        MULTIPLY="\n".join(_multiplied(places)),
        STORE="\n".join(_stored(places, kind, added)),
    )
    return Kernel(made.name, heading(THREADS) + made.source)


def _multiplied(places: list[tuple[int, int]]) -> list[str]:
    margin = " " * 16
    lines = [f"{margin}x{i} = left[t * {PITCH} + ty * {EACH} + {i}]" for i in range(EACH)]
    lines += [f"{margin}y{j} = right[t * {PITCH} + tx * {EACH} + {j}]" for j in range(EACH)]
    return lines + [f"{margin}c{i}{j} = fma(x{i}, y{j}, c{i}{j})" for i, j in places]


def _stored(places: list[tuple[int, int]], kind: str, added: bool) -> list[str]:
    margin = " " * 8
    lines = [f"{margin}alpha = ptr_{kind}(args + {8 * 14}, -1)[0]"] if added else []
    lines += [f"{margin}row = top + ty * {EACH}", f"{margin}column = start + tx * {EACH}"]
    for i, j in places:
        place = f"c[(row + {i}) * n + column + {j}]"
        value = f"fma(alpha, c{i}{j}, {place})" if added else f"c{i}{j}"
        lines += [f"{margin}if row + {i} < m and column + {j} < n:", f"{margin}    {place} = {value}"]
    return lines
