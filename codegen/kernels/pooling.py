"""Pooling: `max_pool`, `average_pool`, and `argmax_pool`, which finds where the greatest elements stand.

Images are [batch, height, width, channels]; params `rows` and `columns` are the `Windows` along height and width. Inner
loops run over channels. Windows of few elements, whose sizes are then constants of a kernel, are unrolled; others are
walked element by element, with what they add up to in memory of the nearest cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import element_type, grain, kernel
from flowc.codegen.kernels.strips import indented, named_words
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import Launch, Pointer, Word, params_of, template
from flowc.framework.windows import Windows

UNROLLED: Final = 16  # elements of a window that are unrolled

GEOMETRY: Final = (
    *("height", "width", "channels"),  # of an image
    *("rows", "row_size", "down", "above"),  # of windows: how many, their size, the step, what lies before the image
    *("columns", "column_size", "across", "left"),
)

# The part of window (i, j) that lies in the image: rows top … bottom, columns start … stop.
ROWS_INSIDE: Final = """
top = imax(i * down - above, 0)
bottom = imin(i * down - above + row_size, height)
"""
COLUMNS_INSIDE: Final = """
start = imax(j * across - left, 0)
stop = imin(j * across - left + column_size, width)
"""

# Unit: one row of windows. Every window is cut at the border by taking the border's elements more than once, which
# changes no maximum.
MAX_SMALL: Final = """
def max_pool_{SIZE}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    image = ptr_{T}(w[0], 0)
    result = ptr_{T}(w[1], 1)
{GEOMETRY}
    for u in range(lo, hi):
        n = idiv(u, rows)
        first = (u - n * rows) * down - above
{ROWS}
        for j in range(columns):
            at = j * across - left
{COLUMNS}
            y = advance(result, (u * columns + j) * channels)
            for c in range(channels):
{MAXIMUM}
                y[c] = v
"""

# Unit: one row of windows. COMBINE: `total` and the next element `v`; FINISH: what is left to do with the total.
WALK: Final = """
def {NAME}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    image = ptr_{T}(w[0], 0)
    result = ptr_{T}(w[1], 1)
{GEOMETRY}
    for u in range(lo, hi):
        n = idiv(u, rows)
        i = u - n * rows
{ROWS_INSIDE}
        for j in range(columns):
{COLUMNS_INSIDE}
            y = advance(result, (u * columns + j) * channels)
            x = advance(image, ((n * height + top) * width + start) * channels)
            for c in range(channels):
                y[c] = x[c]
            for k in range(1, (bottom - top) * (stop - start)):
                row = idiv(k, stop - start)
                x = advance(image, ((n * height + top + row) * width + start + k - row * (stop - start)) * channels)
                for c in range(channels):
                    y[c] = {COMBINE}
{FINISH}
"""
_AVERAGE: Final = """
scale = 1.0 / {T}((bottom - top) * (stop - start))
for c in range(channels):
    y[c] = y[c] * scale
"""

# Unit: one row of windows. Walked backwards, so that the first of equal elements stays.
ARGMAX: Final = """
def argmax_pool_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    image = ptr_{T}(w[0], 0)
    pooled = ptr_{T}(w[1], 1)
    result = ptr_i64(w[2], 2)
{GEOMETRY}
    for u in range(lo, hi):
        n = idiv(u, rows)
        i = u - n * rows
{ROWS_INSIDE}
        for j in range(columns):
{COLUMNS_INSIDE}
            p = advance(pooled, (u * columns + j) * channels)
            y = advance(result, (u * columns + j) * channels)
            for k in range((bottom - top) * (stop - start) - 1, -1, -1):
                row = idiv(k, stop - start)
                at = ((n * height + top + row) * width + start + k - row * (stop - start)) * channels
                x = advance(image, at)
                for c in range(channels):
                    found = (x[c] == p[c]) | ((x[c] != x[c]) & (p[c] != p[c]))
                    y[c] = select(found, at + c, y[c])
"""


def windows_of(call: Node) -> tuple[Windows, Windows]:
    """The windows along height and width."""
    params = params_of(call)
    return params["rows"], params["columns"]


def words(call: Node, image: Node, pointers: int) -> tuple[Word, ...]:
    """The addresses of `pointers` arguments and of the result, and the geometry."""
    _, *sizes = image.shape
    geometry = [word for w in windows_of(call) for word in (w.count, w.size, w.stride, w.before)]
    return (*(Pointer(i) for i in range(pointers)), Pointer(-1), *sizes, *geometry)


def bytes_of(*nodes: Node) -> int:
    """What all these arrays take."""
    return sum(node.size * node.dtype.size for node in nodes)


def row_work(call: Node, image: Node) -> int:
    """About how many elements one row of windows moves."""
    rows, columns = windows_of(call)
    return rows.size * columns.size * columns.count * image.shape[3]


def lines(texts: Sequence[str], levels: int) -> str:
    """These lines of kernel text, so many levels deep."""
    return indented("\n".join(texts), levels)


# -- the greatest of a window ------------------------------------------------------------------------------------------


def _small_kernel(kind: str, height: int, width: int) -> Kernel:
    """`max_pool` for windows of height × width elements."""
    rows = [
        f"r{k} = advance(image, (n * height + imin(imax(first + {k}, 0), height - 1)) * width * channels)"
        for k in range(height)
    ]
    columns = [f"c{k} = imin(imax(at + {k}, 0), width - 1) * channels" for k in range(width)]
    columns += [f"x{i}_{j} = advance(r{i}, c{j})" for i in range(height) for j in range(width)]
    first, *others = [f"x{i}_{j}[c]" for i in range(height) for j in range(width)]
    return kernel(
        MAX_SMALL,
        T=kind,
        SIZE=f"{height}x{width}",
        GEOMETRY=named_words(GEOMETRY, 2),
        ROWS=lines(rows, 2),
        COLUMNS=lines(columns, 3),
        MAXIMUM=lines([f"v = {first}", *(f"v = maximum(v, {x})" for x in others)], 4),
    )


def _walk_kernel(kind: str, name: str, combine: str, finish: str) -> Kernel:
    return kernel(
        WALK,
        T=kind,
        NAME=name,
        GEOMETRY=named_words(GEOMETRY, 2),
        ROWS_INSIDE=indented(ROWS_INSIDE, 2),
        COLUMNS_INSIDE=indented(COLUMNS_INSIDE, 3),
        COMBINE=combine,
        FINISH=indented(finish, 3),
    )


def _pool(call: Node, code: Kernel) -> Sequence[Launch]:
    (image,) = call.args
    units = image.shape[0] * windows_of(call)[0].count
    return [Launch(code, words(call, image, 1), units, grain(row_work(call, image)), bytes_of(image, call))]


@template("max_pool")
def max_pool(call: Node) -> Sequence[Launch]:
    """The greatest element of every window; NaN if it has one."""
    rows, columns = windows_of(call)
    kind = element_type(call.dtype, "MaxPool")
    if rows.size * columns.size <= UNROLLED:
        return _pool(call, _small_kernel(kind, rows.size, columns.size))
    return _pool(call, _walk_kernel(kind, "max_pool", "maximum(y[c], x[c])", ""))


@template("average_pool")
def average_pool(call: Node) -> Sequence[Launch]:
    """The mean of every window's elements that lie in the image."""
    kind = element_type(call.dtype, "AvgPool")
    return _pool(call, _walk_kernel(kind, "average_pool", "y[c] + x[c]", _AVERAGE.format(T=kind)))


@template("argmax_pool")
def argmax_pool(call: Node) -> Sequence[Launch]:
    """Arguments: image, its `max_pool`. The index in the image of the first of the greatest elements, int64."""
    image, pooled = call.args
    code = kernel(
        ARGMAX,
        T=element_type(image.dtype, "MaxPoolWithArgmax"),
        GEOMETRY=named_words(GEOMETRY, 3),
        ROWS_INSIDE=indented(ROWS_INSIDE, 2),
        COLUMNS_INSIDE=indented(COLUMNS_INSIDE, 3),
    )
    units = image.shape[0] * windows_of(call)[0].count
    work = grain(2 * row_work(call, image))
    return [Launch(code, words(call, image, 2), units, work, bytes_of(image, pooled, call))]
