"""The gradient of a convolution by its filter: `conv2d_filter`, in parts, by tiles of taps × channels in registers.

Arguments: images [batch, height, width, channels] as for `conv2d`, and the gradient of the result [batch, rows,
columns, filters]. Params: `down`, `across`, the windows, and `division`, a `Division`. The result is the sums of each
part of the work, for every chunk of channels and panel of filters: [parts, chunks, panels, window rows, runs, taps,
columns of a tile]. A run is one column of a window, and its taps are the channels of a chunk; or, where channels are
few, all columns are one run, and its taps are (column, channel). Taps are padded to whole tiles, and the last panel may
hold less filters than it has columns; what lies there has no meaning.

A part goes over its strips of the images (`flowc.codegen.kernels.strips`) one after the other. It copies the pixels of
a chunk of the channels with zeros around them, and the gradients of a panel of filters, and adds to each tile the
products of all results of the strip, in order, but for rows that would meet only zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from flowc.codegen.ir import Node, access
from flowc.codegen.kernels.source import element_type, kernel
from flowc.codegen.kernels.strips import (
    CACHE_LINE,
    SLACK_BYTES,
    STRIP_BYTES,
    copy_strip,
    named_words,
    pixels_met,
    strip_depth,
    strip_fits,
    strip_width,
)
from flowc.codegen.kernels.tiling import Tile, padded, tile_for
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import Launch, Pointer, params_of, template
from flowc.framework.dtypes import DType
from flowc.framework.windows import Windows

_PANEL_BYTES: Final = 28 << 10  # memory for the gradients of a strip: most of the first cache
_FEW_CHANNELS: Final = 24
_CHANNELS: Final = 64  # of a chunk, at most
_GROUP: Final = 4  # panels, at most: more would no longer share the second cache with the strip
_UNITS: Final = 16  # so that all threads have work to the end
_CHUNK_PRODUCTS: Final = 1 << 20  # multiplications that are worth a thread of their own

# Unit: a part, a chunk of channels and a group of panels.
CONV2D_FILTER: Final = """
def conv2d_filter_{NAME}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    gradient = ptr_{T}(w[1], 1)
    result = ptr_{T}(w[2], 2)
    strip = ptr_{T}(scratch({STRIP}), 3)
    sheet = ptr_{T}(scratch({SHEET}), 4)
{NAMES}
    for unit in range(lo, hi):
        section = idiv(unit, groups)
        first_panel = (unit - section * groups) * group
        part = idiv(section, chunks)
        channel = (section - part * chunks) * chunk
        kept = imin(chunk, image_pixel - channel)
        for number in range(part * share, imin((part + 1) * share, all_strips)):
            band = idiv(number, pieces)
            column = (number - band * pieces) * piece
            width = imin(piece, all_columns - column)
            n = idiv(band, strips)
            row = (band - n * strips) * depth
            height = imin(depth, all_rows - row)
            image = advance(ptr_{T}(w[0], 0), n * image_step + channel)
            first = row * down - above
            start = column * across - aside
            count = (height - 1) * down + taps
            pixels = (width - 1) * across + window
{COPY}
            last = advance(strip, (count - 1) * line_step + pixels * pitch)
            for r in range({R}):
                last[r] = 0
            for panel in range(first_panel, imin(first_panel + group, panels)):
                columns = imin({C}, filters - panel * {C})
                for i in range(height):
                    for j in range(width):
                        place = (n * all_rows + row + i) * all_columns + column + j
                        g = advance(gradient, place * filters + panel * {C})
                        s = advance(sheet, (i * width + j) * {C})
                        memory_copy(address(s), address(g), columns * {SIZE})
                        memory_fill(address(s) + columns * {SIZE}, 0, ({C} - columns) * {SIZE})
                z = advance(result, (section * panels + panel) * taps * runs * run * {C})
                for k in range(taps):
                    low = imax(idiv(imax(above - k + down - 1, 0), down) - row, 0)
                    high = imin(idiv(imax(image_height + above - k + down - 1, 0), down) - row, height)
                    for p in range(runs):
                        for tile in range(tiles):
                            c = tile_{T}({R}, {C})
                            if number > part * share:
                                c = tile_load(c, z, {C})
                            x = advance(strip, (k + low * down) * line_step + p * pitch + tile * {R})
                            s = advance(sheet, low * width * {C})
                            for i in range(low, high):
                                for j in range(width):
                                    c = tile_fma(c, advance(x, j * step), 1, s)
                                    s = advance(s, {C})
                                x = advance(x, down * line_step)
                            tile_store(c, z, {C})
                            z = advance(z, {R} * {C})
"""


@dataclass(frozen=True)
class Division:
    """How the work is divided: the tile, channels a chunk, elements from pixel to pixel of a strip (as many as channels
    where all columns of a window are one run), panels a group, windows of a strip, and the number of parts."""

    tile: Tile
    chunk: int
    pitch: int
    group: int
    depth: int
    width: int
    parts: int


def division(image: Sequence[int], filters: int, dtype: DType, down: Windows, across: Windows) -> Division | None:
    """The division of the gradient for images and filters of these sizes; None if windows are larger than memory."""
    chunk = _chunk(image[3], dtype, down, across)
    if chunk is None:
        return None
    pitch = _pitch(chunk, dtype)
    tile = tile_for(chunk if pitch > chunk else chunk * across.size, filters, dtype)
    gradients = _PANEL_BYTES // (tile.columns * dtype.size)
    width = min(strip_width(down, across, pitch * dtype.size), gradients)
    depth = min(strip_depth(down, pixels_met(across, width) * pitch * dtype.size), gradients // width)
    strips = image[0] * -(-down.count // depth) * -(-across.count // width)
    chunks, panels = -(-image[3] // chunk), -(-filters // tile.columns)
    group = max(1, min(_GROUP, panels, chunks * panels // _UNITS))
    parts = max(1, min(strips, _UNITS // (chunks * -(-panels // group))))
    return Division(tile, chunk, pitch, group, depth, width, -(-strips // -(-strips // parts)))


def _chunk(channels: int, dtype: DType, down: Windows, across: Windows) -> int | None:
    """The largest chunk, of about equal ones, such that a row of windows fits in a strip, or at least one window."""
    for width in (across.count, 1):
        chunks = -(-channels // _CHANNELS)
        while chunks <= channels:
            chunk = -(-channels // chunks)
            if strip_fits(down, across, width, _pitch(chunk, dtype) * dtype.size):
                return chunk
            chunks *= 2
    return None


def _pitch(chunk: int, dtype: DType) -> int:
    """Elements from pixel to pixel: an odd number of cache lines, as an even one would have many pixels compete for a
    few places in the cache. Few channels lie side by side."""
    if chunk < _FEW_CHANNELS:
        return chunk
    line = CACHE_LINE // dtype.size
    return (padded(chunk, line) // line | 1) * line


def sums_shape(image: Sequence[int], filters: int, down: Windows, across: Windows, by: Division) -> tuple[int, ...]:
    """The shape of the sums of all parts."""
    runs, run = (across.size, by.chunk) if by.pitch > by.chunk else (1, across.size * by.chunk)
    taps = padded(run, by.tile.rows)
    chunks, panels = -(-image[3] // by.chunk), -(-filters // by.tile.columns)
    return by.parts, chunks, panels, down.size, runs, taps, by.tile.columns


@template("conv2d_filter", strided=frozenset({0}))
def conv2d_filter(call: Node) -> Sequence[Launch]:
    """One launch."""
    words = _words(call)
    parts, chunks = call.shape[:2]
    units = parts * chunks * words["groups"]
    gradient = call.args[1]
    products = gradient.size * prod(call.shape[3:6]) * call.shape[1]
    moved = (call.args[0].size + gradient.size + call.size) * call.dtype.size
    grain = max(1, _CHUNK_PRODUCTS * units // max(products, 1))
    return [Launch(_code(call, words), (Pointer(0), Pointer(1), Pointer(-1), *words.values()), units, grain, moved)]


def _words(call: Node) -> dict[str, int]:
    """The kernel's argument words by their names in it."""
    image, gradient = call.args
    params = params_of(call)
    by: Division = params["division"]
    down, across = params["down"], params["across"]
    strips, pieces = -(-down.count // by.depth), -(-across.count // by.width)
    _, _, (image_step, image_row, *_) = access(image)
    all_strips = image.shape[0] * strips * pieces
    return {
        "chunk": by.chunk,
        "pitch": by.pitch,
        "chunks": call.shape[1],
        "panels": call.shape[2],
        "group": by.group,
        "groups": -(-call.shape[2] // by.group),
        "share": -(-all_strips // by.parts),
        "all_strips": all_strips,
        "strips": strips,
        "depth": by.depth,
        "pieces": pieces,
        "piece": by.width,
        "runs": call.shape[4],
        "run": call.shape[5],
        "tiles": call.shape[5] // by.tile.rows,
        "taps": down.size,
        "window": across.size,
        "filters": gradient.shape[3],
        "all_rows": down.count,
        "all_columns": across.count,
        "down": down.stride,
        "across": across.stride,
        "above": down.before,
        "aside": across.before,
        "step": across.stride * by.pitch,
        "line_step": pixels_met(across, by.width) * by.pitch,
        "image_height": image.shape[1],
        "image_width": image.shape[2],
        "image_step": image_step,
        "image_row": image_row,
        "image_pixel": image.shape[3],
    }


def _code(call: Node, words: dict[str, int]) -> Kernel:
    tile: Tile = params_of(call)["division"].tile
    return kernel(
        CONV2D_FILTER,
        NAME=f"{tile.rows}x{tile.columns}",
        T=element_type(call.dtype, "Conv2DBackpropFilter"),
        R=str(tile.rows),
        C=str(tile.columns),
        STRIP=str(STRIP_BYTES + SLACK_BYTES),
        SHEET=str(_PANEL_BYTES),
        NAMES=named_words(words, 3),
        COPY=copy_strip(3, call.dtype.size),
        SIZE=str(call.dtype.size),
    )
