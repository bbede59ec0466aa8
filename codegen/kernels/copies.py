"""Blocks of memory put together or taken out: concat, pad, slice.

`concat` (axis): its arguments, joined along an axis. `pad` (before): its argument inside a larger array of zeros, at
the index `before`. `slice`: the block of its first argument that starts at the index in the second, a vector. The
arrays that are copied may be any views.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Final

from flowc.codegen.ir import Node, Shape, access, row_major
from flowc.codegen.kernels.source import element_type, grain, kernel, moved_access, moved_type
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, StatusWord, Word, params_of, template

# Unit: one row of the source. Words: source, result, dimensions of rows, elements a row, the source's step inside a
# row; then for each dimension, innermost first: size, source stride, result stride.
COPY_ROWS: Final = """
def copy_rows_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    source = ptr_{T}(a[0], 0)
    result = ptr_{T}(a[1], 1)
    dimensions = a[2]
    n = a[3]
    step = a[4]
    for row in range(lo, hi):
        rest = row
        start = i64(0)
        at = i64(0)
        for k in range(5, 5 + 3 * dimensions, 3):
            quotient = i64(0)
            if k < 2 + 3 * dimensions:
                quotient = idiv(rest, a[k])
            index = rest - quotient * a[k]
            rest = quotient
            start += index * a[k + 1]
            at += index * a[k + 2]
        x = advance(source, start)
        y = advance(result, at)
        if step == 1:
            for j in range(n):
                y[j] = x[j]
        else:
            for j in range(n):
                y[j] = x[j * step]
"""

# Unit: one element.
COPY_SPAN: Final = """
def copy_span_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    source = ptr_{T}(a[0], 0)
    result = ptr_{T}(a[1], 1)
    for i in range(lo, hi):
        result[i] = source[i]
"""

# Unit: one row of the result. Words: source, result, outer dimensions, elements a row of the result, where the source
# starts in it, elements a row of the source, the source's step inside a row; then for each outer dimension, innermost
# first: size in the result, where the source starts, size of the source, its stride.
PAD: Final = """
def pad_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    source = ptr_{T}(a[0], 0)
    result = ptr_{T}(a[1], 1)
    dimensions = a[2]
    n = a[3]
    before = a[4]
    filled = a[5]
    step = a[6]
    for row in range(lo, hi):
        rest = row
        start = i64(0)
        inside = True
        for k in range(7, 7 + 4 * dimensions, 4):
            quotient = i64(0)
            if k < 3 + 4 * dimensions:
                quotient = idiv(rest, a[k])
            index = rest - quotient * a[k] - a[k + 1]
            rest = quotient
            inside = inside & (index >= 0) & (index < a[k + 2])
            start += index * a[k + 3]
        y = advance(result, row * n)
        if inside:
            x = advance(source, start)
            for j in range(before):
                y[j] = 0
            z = advance(y, before)
            if step == 1:
                for j in range(filled):
                    z[j] = x[j]
            else:
                for j in range(filled):
                    z[j] = x[j * step]
            for j in range(before + filled, n):
                y[j] = 0
        else:
            for j in range(n):
                y[j] = 0
"""

# Unit: one row of the result. Words: source, begin, result, dimensions, status, error, each; then for each
# dimension, innermost first: size of the result, of the source, source stride (in values, which are `each` elements).
SLICE: Final = """
def slice_{T}_{I}(args, lo, hi):
    a = ptr_i64(args, -1)
    source = ptr_{T}(a[0], 0)
    begin = ptr_{I}(a[1], 1)
    result = ptr_{T}(a[2], 2)
    dimensions = a[3]
    corner = i64(0)
    for d in range(dimensions):
        first = i64(begin[dimensions - 1 - d])
        if first < 0 or first + a[7 + 3 * d] > a[8 + 3 * d]:
            if atomic_cas(a[4], 0, a[5]) == 0:
                record = ptr_i64(a[4], -1)
                record[1] = first
                record[2] = a[7 + 3 * d]
                record[3] = a[8 + 3 * d]
            return
        corner += first * a[9 + 3 * d]
    each = a[6]
    n = a[7] * each
    step = a[9]
    for row in range(lo, hi):
        rest = row
        start = corner
        for d in range(1, dimensions):
            quotient = idiv(rest, a[7 + 3 * d])
            start += (rest - quotient * a[7 + 3 * d]) * a[9 + 3 * d]
            rest = quotient
        x = advance(source, start)
        y = advance(result, row * n)
        if step == each:
            for j in range(n):
                y[j] = x[j]
        else:
            for j in range(a[7]):
                for part in range(each):
                    y[j * each + part] = x[j * step + part]
"""

# A bfloat16 is the upper half of a float32. Unit: one element. Words: source, result.
TRUNCATE_BFLOAT16: Final = """
def truncate_bfloat16(args, lo, hi):
    a = ptr_i64(args, -1)
    source = ptr_u32(a[0], 0)
    result = ptr_u16(a[1], 1)
    for i in range(lo, hi):
        result[i] = u16(shr(source[i], 16))
"""
WIDEN_BFLOAT16: Final = """
def widen_bfloat16(args, lo, hi):
    a = ptr_i64(args, -1)
    source = ptr_u16(a[0], 0)
    result = ptr_u32(a[1], 1)
    for i in range(lo, hi):
        result[i] = shl(u32(source[i]), 16)
"""

_Dimension = tuple[int, int, int]  # size, source stride, result stride


def _merged(sizes: Sequence[int], source: Sequence[int], result: Sequence[int]) -> list[_Dimension]:
    """The dimensions of a copy, outermost first, neighbours merged where both strides allow; at least one."""
    merged: list[_Dimension] = []
    for size, s, r in zip(sizes, source, result, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == s * size and merged[-1][2] == r * size:
            merged[-1] = (merged[-1][0] * size, s, r)
        else:
            merged.append((size, s, r))
    return merged or [(1, 1, 1)]


def copy_block(call: Node, index: int, at: int, result_strides: Sequence[int]) -> Launch:
    """Copies argument `index` into the result from element `at` on, by the given strides (those of its dimensions)."""
    arg = call.args[index]
    kind, shape, strides = moved_access(arg, call.attr[0])
    each = moved_type(arg.dtype, call.attr[0])[1]
    into = [s * each for s in result_strides] + [1] * (each - 1)
    dims = _merged(shape, strides, into)
    pointers = (Pointer(index), Pointer(-1, at * arg.dtype.size))
    moved = 2 * arg.size * arg.dtype.size
    n, step, inner = dims[-1]
    if len(dims) == 1 and step == 1 and inner == 1:
        return Launch(kernel(COPY_SPAN, T=kind), pointers, n, grain(1), moved)
    if inner != 1:  # the result's rows are single elements
        dims.append((1, 1, 1))
        n, step = 1, 1
    outer = [word for dim in reversed(dims[:-1]) for word in dim]
    words: tuple[Word, ...] = (*pointers, len(dims) - 1, n, step, *outer)
    return Launch(kernel(COPY_ROWS, T=kind), words, prod(d[0] for d in dims[:-1]), grain(n), moved)


@template("concat", strided=EVERY_ARGUMENT)
def concat(call: Node) -> Sequence[Launch]:
    """One launch an argument."""
    return list(_concat_launches(call, params_of(call)["axis"]))


def _concat_launches(call: Node, axis: int) -> Iterator[Launch]:
    strides = row_major(call.shape)
    at = 0
    for index, arg in enumerate(call.args):
        if arg.size:
            yield copy_block(call, index, at, strides)
        at += arg.shape[axis] * strides[axis]


@template("pad", strided=frozenset({0}))
def pad(call: Node) -> Sequence[Launch]:
    """One launch: every row of the result is zeros, or zeros around a row of the argument."""
    arg = call.args[0]
    kind, shape, strides = moved_access(arg, "Pad")
    each = moved_type(arg.dtype, "Pad")[1]
    before, padded = _with_elements(params_of(call)["before"], call.shape, each)
    outer = [word for dim in reversed(list(zip(padded, before, shape, strides, strict=True))[:-1]) for word in dim]
    pointers = (Pointer(0), Pointer(-1))
    words: tuple[Word, ...] = (*pointers, len(shape) - 1, padded[-1], before[-1], shape[-1], strides[-1], *outer)
    moved = (arg.size + call.size) * arg.dtype.size
    return [Launch(kernel(PAD, T=kind), words, prod(padded[:-1]), grain(padded[-1]), moved)]


@template("slice", may_fail=True, strided=frozenset({0}))
def slice_(call: Node) -> Sequence[Launch]:
    """One launch. A block that does not lie within the array is an InvalidArgumentError."""
    source, begin = call.args
    kind, each = moved_type(source.dtype, "Slice")
    error = StatusWord("InvalidArgumentError", "The slice from {0} of size {1} ends outside a dimension of size {2}")
    strides = access(source)[2]
    dims = [w for d in reversed(range(len(source.shape))) for w in (call.shape[d], source.shape[d], strides[d] * each)]
    words: tuple[Word, ...] = (Pointer(0), Pointer(1), Pointer(-1), len(source.shape), error, each, *dims)
    code = kernel(SLICE, T=kind, I=element_type(begin.dtype, "Slice"))
    return [Launch(code, words, prod(call.shape[:-1]), grain(call.shape[-1] * each), 2 * call.size * call.dtype.size)]


@template("truncate_bfloat16", strided=EVERY_ARGUMENT)
def truncate_bfloat16(call: Node) -> Sequence[Launch]:
    """The upper halves of float32 values."""
    return [Launch(kernel(TRUNCATE_BFLOAT16), (Pointer(0), Pointer(-1)), call.size, grain(1), 6 * call.size)]


@template("widen_bfloat16", strided=EVERY_ARGUMENT)
def widen_bfloat16(call: Node) -> Sequence[Launch]:
    """The float32 values whose upper halves these are."""
    return [Launch(kernel(WIDEN_BFLOAT16), (Pointer(0), Pointer(-1)), call.size, grain(1), 6 * call.size)]


def _with_elements(before: Shape, shape: Shape, each: int) -> tuple[Shape, Shape]:
    return ((*before, 0), (*shape, each)) if each > 1 else (before, shape)
