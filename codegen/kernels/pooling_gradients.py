"""Gradients of pooling: `max_pool_grad`, `scatter_argmax`, `average_pool_grad`. See `pooling`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.pooling import (
    COLUMNS_INSIDE,
    GEOMETRY,
    ROWS_INSIDE,
    UNROLLED,
    bytes_of,
    lines,
    row_work,
    windows_of,
    words,
)
from flowc.codegen.kernels.source import element_type, grain, kernel
from flowc.codegen.kernels.strips import indented, named_words
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import Launch, Pointer, StatusWord, Word, template
from flowc.framework.windows import Windows

CHANNEL_BLOCK: Final = 256  # whose pending gradients a window keeps on the stack

# Unit: one image, or, where windows do not overlap, one row of them with the rows of the image that are its own.
MAX_GRAD: Final = """
def max_pool_grad_{NAME}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    image = ptr_{T}(w[0], 0)
    pooled = ptr_{T}(w[1], 1)
    gradient = ptr_{T}(w[2], 2)
    result = ptr_{T}(w[3], 3)
{GEOMETRY}
    pending = ptr_{T}(scratch({PENDING_BYTES}), 4)
    for u in range(lo, hi):
{OWN_ROWS}
        z = advance(result, (n * height + own_top) * width * channels)
        for k in range((own_bottom - own_top) * width * channels):
            z[k] = 0
        for window in range(first * columns, last * columns):
            i = idiv(window, columns)
            j = window - i * columns
{WINDOW}
            for block in range(0, channels, {BLOCK}):
                count = imin(channels - block, {BLOCK})
                p = advance(pooled, (n * rows * columns + window) * channels + block)
                g = advance(gradient, (n * rows * columns + window) * channels + block)
                for c in range(count):
                    pending[c] = g[c]
                for k in range((bottom - top) * (stop - start)):
                    row = idiv(k, stop - start)
                    at = ((n * height + top + row) * width + start + k - row * (stop - start)) * channels + block
                    x = advance(image, at)
                    d = advance(result, at)
                    for c in range(count):
                        found = (x[c] == p[c]) | ((x[c] != x[c]) & (p[c] != p[c]))
                        d[c] = d[c] + select(found, pending[c], 0.0)
                        pending[c] = select(found, 0.0, pending[c])
"""
_IMAGE_ROWS: Final = """
n = u
first = i64(0)
last = rows
own_top = i64(0)
own_bottom = height
"""
_BAND_ROWS: Final = """
n = idiv(u, rows)
first = u - n * rows
last = first + 1
own_top = imax(first * down - above, 0)
own_bottom = last * down - above
if last == rows:
    own_bottom = height
"""

# The same where windows tile the image: every element is in one window, and is written once.
MAX_GRAD_TILES: Final = """
def max_pool_grad_tiles_{SIZE}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    image = ptr_{T}(w[0], 0)
    pooled = ptr_{T}(w[1], 1)
    gradient = ptr_{T}(w[2], 2)
    width = w[5]
    channels = w[6]
    columns = w[11]
    for u in range(lo, hi):
        for j in range(columns):
            p = advance(pooled, (u * columns + j) * channels)
            g = advance(gradient, (u * columns + j) * channels)
{POINTERS}
            for c in range(channels):
                pending = g[c]
                greatest = p[c]
                unordered = greatest != greatest
{CHOICES}
"""

# Unit: one image. Words: gradient, indices, result; elements an image in the gradient and in the result, elements of
# the result, status, error. An index counts from the batch's start or from the image's: both are the same modulo its
# size.
SCATTER_ARGMAX: Final = """
def scatter_argmax_{T}_{I}(args, lo, hi):
    w = ptr_i64(args, -1)
    gradient = ptr_{T}(w[0], 0)
    indices = ptr_{I}(w[1], 1)
    result = ptr_{T}(w[2], 2)
    windows = w[3]
    size = w[4]
    for n in range(lo, hi):
        z = advance(result, n * size)
        for k in range(size):
            z[k] = 0
        g = advance(gradient, n * windows)
        index = advance(indices, n * windows)
        for k in range(windows):
            at = i64(index[k])
            if at >= 0 and at < w[5]:
                at = imod(at, size)
                z[at] = z[at] + g[k]
            elif atomic_cas(w[6], 0, w[7]) == 0:
                record = ptr_i64(w[6], -1)
                record[1] = at
                record[2] = w[5]
"""

# Unit: one row of the image, to which every window that covers it adds.
AVERAGE_GRAD: Final = """
def average_pool_grad_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    gradient = ptr_{T}(w[0], 0)
    result = ptr_{T}(w[1], 1)
{GEOMETRY}
    for u in range(lo, hi):
        n = idiv(u, height)
        place = u - n * height + above
        z = advance(result, u * width * channels)
        for k in range(width * channels):
            z[k] = 0
        for i in range(imax(idiv(place - row_size + down, down), 0), imin(idiv(place, down) + 1, rows)):
{ROWS_INSIDE}
            for j in range(columns):
{COLUMNS_INSIDE}
                scale = 1.0 / {T}((bottom - top) * (stop - start))
                g = advance(gradient, ((n * rows + i) * columns + j) * channels)
                for k in range(start, stop):
                    d = advance(z, k * channels)
                    for c in range(channels):
                        d[c] = d[c] + g[c] * scale
"""


@template("max_pool_grad")
def max_pool_grad(call: Node) -> Sequence[Launch]:
    """Arguments: image, its `max_pool`, the gradient of that. It goes to the first of the greatest elements."""
    image, pooled, _ = call.args
    rows, columns = windows_of(call)
    kind = element_type(call.dtype, "MaxPoolGrad")
    argument_words = words(call, image, 3)
    moved = bytes_of(image, pooled, pooled, call)
    by_row = rows.size <= rows.stride
    if rows.size * columns.size <= UNROLLED and _tiles(rows, image.shape[1]) and _tiles(columns, image.shape[2]):
        code = _tiles_kernel(kind, rows.size, columns.size)
    else:
        code = _max_grad_kernel(kind, by_row)
    units = image.shape[0] * (rows.count if by_row else 1)
    work = row_work(call, image) * (1 if by_row else rows.count)
    return [Launch(code, argument_words, units, grain(work), moved)]


def _tiles(windows: Windows, length: int) -> bool:
    """Whether every element is in one window."""
    return windows.size == windows.stride and windows.before == 0 and windows.count * windows.size == length


def _max_grad_kernel(kind: str, by_row: bool) -> Kernel:
    return kernel(
        MAX_GRAD,
        T=kind,
        NAME="rows" if by_row else "images",
        BLOCK=str(CHANNEL_BLOCK),
        PENDING_BYTES=str(CHANNEL_BLOCK * 8),
        GEOMETRY=named_words(GEOMETRY, 4),
        OWN_ROWS=indented(_BAND_ROWS if by_row else _IMAGE_ROWS, 2),
        WINDOW=indented(ROWS_INSIDE, 3) + "\n" + indented(COLUMNS_INSIDE, 3),
    )


def _tiles_kernel(kind: str, height: int, width: int) -> Kernel:
    """The gradient for windows of height × width elements that tile the image. Each element of a window is told to have
    memory of its own, which it has: the loop over channels needs no checks of that."""
    pointers, choices = [], []
    for k in range(height * width):
        row, column = divmod(k, width)
        pointers += [
            f"k{k} = ((u * {height} + {row}) * width + j * {width} + {column}) * channels",
            f"x{k} = advance(image, k{k})",
            f"d{k} = advance(ptr_{kind}(w[3], {3 + k}), k{k})",
        ]
        choices += [
            f"found = (x{k}[c] == greatest) | (unordered & (x{k}[c] != x{k}[c]))",
            f"d{k}[c] = select(found, pending, 0.0)",
            "pending = select(found, 0.0, pending)",
        ]
    return kernel(
        MAX_GRAD_TILES, T=kind, SIZE=f"{height}x{width}", POINTERS=lines(pointers, 3), CHOICES=lines(choices, 4)
    )


@template("scatter_argmax", may_fail=True)
def scatter_argmax(call: Node) -> Sequence[Launch]:
    """Arguments: gradients of windows, indices in the image. Their sums by index."""
    grad, indices = call.args
    images = call.shape[0]
    if not images or not call.size:
        return []
    code = kernel(
        SCATTER_ARGMAX,
        T=element_type(call.dtype, "MaxPoolGradWithArgmax"),
        I=element_type(indices.dtype, "MaxPoolGradWithArgmax"),
    )
    error = StatusWord("InvalidArgumentError", "argmax holds {0}, which is not in [0, {1})")
    sizes = (grad.size // images, call.size // images, call.size)
    work = grain((grad.size + call.size) // images)
    all_words: tuple[Word, ...] = (Pointer(0), Pointer(1), Pointer(-1), *sizes, error)
    return [Launch(code, all_words, images, work, bytes_of(grad, indices, call))]


@template("average_pool_grad")
def average_pool_grad(call: Node) -> Sequence[Launch]:
    """Every element's share of the gradients of the windows that it is in."""
    (grad,) = call.args
    kind = element_type(call.dtype, "AvgPoolGrad")
    code = kernel(
        AVERAGE_GRAD,
        T=kind,
        GEOMETRY=named_words(GEOMETRY, 2),
        ROWS_INSIDE=indented(ROWS_INSIDE, 3),
        COLUMNS_INSIDE=indented(COLUMNS_INSIDE, 4),
    )
    batch, height = call.shape[:2]
    work = row_work(call, call) // max(windows_of(call)[0].stride, 1)
    return [Launch(code, words(call, call, 1), batch * height, grain(work), bytes_of(grad, call))]
