"""Convolution of every channel by itself: `depthwise` and the gradient of its filter, `depthwise_filter`.

The work goes through chunks of channels, as many as a tile has columns, and strips of the images
(`flowc.codegen.kernels.strips`), which are copied with zeros around them to memory of the kernel's own.

`depthwise`(images, filters…): images as for `conv2d`, one filter for each phase: [chunks, rows, columns, channels of a
chunk]. Param `phases`, as those of `conv2d`. A tile is neighbours in a row of the result, by a chunk's channels.

`depthwise_filter`(images, gradient of the result): params `down`, `across`, the windows, and `parts`, into which the
strips are divided. The result is the sums of each part: [parts, chunks, rows, columns, channels of a chunk]. A tile is
the taps of a window's row, by a chunk's channels. Channels beyond the images' have no meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flowc.codegen.cpu.target import host_target
from flowc.codegen.ir import Node, access, row_major
from flowc.codegen.kernels.conv import Phase
from flowc.codegen.kernels.source import element_type, kernel
from flowc.codegen.kernels.strips import (
    COPY_ELEMENTS,
    SLACK_BYTES,
    STRIP_BYTES,
    copy_strip,
    indented,
    named_words,
    pixels_met,
    strip_depth,
    strip_fits,
    strip_width,
)
from flowc.codegen.kernels.tiling import padded
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import Launch, Pointer, params_of, template
from flowc.framework.dtypes import DType
from flowc.framework.windows import Windows

_VECTORS: Final = 2  # of a chunk's channels
_ROWS: Final = 6  # results a tile
_SHEET_BYTES: Final = 1 << 16  # memory for the gradients of a strip
_UNITS: Final = 16  # so that all threads have work to the end
_CHUNK_PRODUCTS: Final = 1 << 18  # multiplications that are worth a thread of their own

# Which strip, and what of it: for both kernels. Names it needs: place, channel.
_STRIP: Final = """
band = idiv(place, pieces)
column = imin((place - band * pieces) * piece, all_columns - {LEAST})
width = imin(piece, all_columns - column)
n = idiv(band, strips)
row = (band - n * strips) * depth
height = imin(depth, all_rows - row)
image = advance(ptr_{T}(w[0], 0), n * image_step + channel)
first = row * down - above
start = column * across - aside
count = (height - 1) * down + taps
pixels = (width - 1) * across + window
"""

# Copies a chunk of a pixel's channels; at once, where the chunk is whole.
COPY_CHUNK: Final = """
if kept == {C}:
    tile_store(tile_load(tile_{T}(1, {C}), source, 0), target, 0)
else:
{ELEMENTS}
"""

# Unit: a chunk of channels of a strip.
DEPTHWISE: Final = """
def depthwise_{NAME}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    filter = ptr_{T}(w[1], 1)
    result = ptr_{T}(w[2], 2)
    strip = ptr_{T}(scratch({STRIP}), 3)
    edge = ptr_{T}(scratch({EDGE}), 4)
{NAMES}
    for unit in range(lo, hi):
        place = idiv(unit, chunks)
        chunk = unit - place * chunks
        channel = chunk * {C}
        kept = imin({C}, image_pixel - channel)
{WHERE}
{COPY}
        for i in range(height):
            at = result_start + n * result_step + (row + i) * result_row + column * result_pixel + channel
            for tile in range(idiv(width + {R} - 1, {R})):
                j = imin(tile * {R}, width - {R})
                c = tile_{T}({R}, {C})
                x = advance(strip, i * down * line_step + j * {STEP})
                f = advance(filter, chunk * taps * window * {C})
                for k in range(taps):
                    for p in range(window):
                        c = tile_fma_each(c, advance(x, p * {C}), {STEP}, f)
                        f = advance(f, {C})
                    x = advance(x, line_step)
                y = advance(result, at + j * result_pixel)
                if kept == {C}:
                    tile_store(c, y, result_pixel)
                else:
                    tile_store(c, edge, {C})
                    for r in range({R}):
                        for e in range(kept):
                            y[r * result_pixel + e] = edge[r * {C} + e]
"""

# Unit: a part and a chunk of channels.
DEPTHWISE_FILTER: Final = """
def depthwise_filter_{NAME}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    gradient = ptr_{T}(w[1], 1)
    result = ptr_{T}(w[2], 2)
    strip = ptr_{T}(scratch({STRIP}), 3)
    sheet = ptr_{T}(scratch({SHEET}), 4)
{NAMES}
    for unit in range(lo, hi):
        part = idiv(unit, chunks)
        channel = (unit - part * chunks) * {C}
        kept = imin({C}, image_pixel - channel)
        for place in range(part * share, imin((part + 1) * share, all_strips)):
{WHERE}
{COPY}
            for i in range(height):
                for j in range(width):
                    at = ((n * all_rows + row + i) * all_columns + column + j) * image_pixel + channel
                    g = advance(gradient, at)
                    s = advance(sheet, (i * width + j) * {C})
                    if kept == {C}:
                        tile_store(tile_load(tile_{T}(1, {C}), g, 0), s, 0)
                    else:
                        for e in range(kept):
                            s[e] = g[e]
                        for e in range(kept, {C}):
                            s[e] = 0
            for k in range(taps):
                z = advance(result, (unit * taps + k) * {R} * {C})
                c = tile_{T}({R}, {C})
                if place > part * share:
                    c = tile_load(c, z, {C})
                x = advance(strip, k * line_step)
                s = sheet
                for i in range(height):
                    for j in range(width):
                        c = tile_fma_each(c, advance(x, j * across * {C}), {C}, s)
                        s = advance(s, {C})
                    x = advance(x, down * line_step)
                tile_store(c, z, {C})
"""


def chunk_of(dtype: DType) -> int:
    """Channels a chunk."""
    return _VECTORS * host_target().vector_registers[1] // dtype.size


def depthwise_fits(down: Windows, across: Windows, dtype: DType) -> bool:
    """Whether the windows of a tile fit in a strip's memory."""
    return strip_fits(down, across, min(_ROWS, across.count), chunk_of(dtype) * dtype.size)


@template("depthwise", strided=frozenset({0}))
def depthwise(call: Node) -> Sequence[Launch]:
    """One launch a phase that has results."""
    phases: Sequence[Phase] = params_of(call)["phases"]
    return [_launch(call, phase, 1 + i) for i, phase in enumerate(phases) if phase.down.count and phase.across.count]


def _launch(call: Node, phase: Phase, filter: int) -> Launch:
    image, chunk = call.args[0], chunk_of(call.dtype)
    rows = min(_ROWS, phase.across.count)
    piece = strip_width(phase.down, phase.across, chunk * call.dtype.size, rows)
    words = _strip_words(image, phase.down, phase.across, piece, chunk)
    _, result_row, result_pixel, _ = row_major(call.shape)
    words |= {
        "result_start": phase.rows[0] * result_row + phase.columns[0] * result_pixel,
        "result_step": call.size // call.shape[0],
        "result_row": phase.rows[1] * result_row,
        "result_pixel": phase.columns[1] * result_pixel,
    }
    units = image.shape[0] * words["strips"] * words["pieces"] * words["chunks"]
    products = image.shape[0] * phase.down.count * phase.across.count * call.args[filter].size
    moved = (image.size + call.size) * call.dtype.size
    step = phase.across.stride * chunk
    code = _code(DEPTHWISE, call, f"{rows}x{chunk}_{step}", words, rows, STEP=str(step), LEAST=str(rows))
    pointers = (Pointer(0), Pointer(filter), Pointer(-1))
    grain = max(1, _CHUNK_PRODUCTS * units // max(products, 1))
    return Launch(code, (*pointers, *words.values()), units, grain, moved)


def sums_shape(image: Node, down: Windows, across: Windows) -> tuple[int, ...]:
    """The shape of the sums of `depthwise_filter`."""
    chunk = chunk_of(image.dtype)
    words = _filter_words(image, down, across)
    strips, chunks = image.shape[0] * words["strips"] * words["pieces"], words["chunks"]
    parts = max(1, min(strips, _UNITS // chunks))
    return -(-strips // -(-strips // parts)), chunks, down.size, across.size, chunk


def _filter_words(image: Node, down: Windows, across: Windows) -> dict[str, int]:
    chunk = chunk_of(image.dtype)
    gradients = _SHEET_BYTES // (chunk * image.dtype.size)
    piece = min(strip_width(down, across, chunk * image.dtype.size), gradients)
    words = _strip_words(image, down, across, piece, chunk)
    depth = min(words["depth"], max(gradients // piece, 1))
    return {**words, "depth": depth, "strips": -(-down.count // depth)}


@template("depthwise_filter", strided=frozenset({0}))
def depthwise_filter(call: Node) -> Sequence[Launch]:
    """One launch."""
    image, gradient = call.args
    params = params_of(call)
    words = _filter_words(image, params["down"], params["across"])
    parts, chunks, *_, columns, chunk = call.shape
    strips = image.shape[0] * words["strips"] * words["pieces"]
    words |= {"all_strips": strips, "share": -(-strips // parts)}
    products = gradient.size * call.shape[2] * columns
    moved = (image.size + gradient.size) * call.dtype.size
    code = _code(DEPTHWISE_FILTER, call, f"{columns}x{chunk}", words, columns, LEAST="1")
    grain = max(1, _CHUNK_PRODUCTS * parts * chunks // max(products, 1))
    return [Launch(code, (Pointer(0), Pointer(1), Pointer(-1), *words.values()), parts * chunks, grain, moved)]


def _strip_words(image: Node, down: Windows, across: Windows, piece: int, chunk: int) -> dict[str, int]:
    """The argument words about strips and images, by their names in the kernels."""
    _, height, width, channels = image.shape
    _, _, (image_step, image_row, *_) = access(image)
    line_step = pixels_met(across, piece) * chunk
    depth = strip_depth(down, line_step * image.dtype.size)
    return {
        "chunks": padded(channels, chunk) // chunk,
        "depth": depth,
        "strips": -(-down.count // depth),
        "piece": piece,
        "pieces": -(-across.count // piece),
        "all_rows": down.count,
        "all_columns": across.count,
        "down": down.stride,
        "across": across.stride,
        "above": down.before,
        "aside": across.before,
        "taps": down.size,
        "window": across.size,
        "pitch": chunk,
        "line_step": line_step,
        "image_height": height,
        "image_width": width,
        "image_step": image_step,
        "image_row": image_row,
        "image_pixel": channels,
    }


def _code(text: str, call: Node, name: str, words: dict[str, int], rows: int, **names: str) -> Kernel:
    deep = 3 if text is DEPTHWISE_FILTER else 2
    kind, chunk = element_type(call.dtype, "A depthwise convolution"), chunk_of(call.dtype)
    return kernel(
        text,
        NAME=name,
        T=kind,
        R=str(rows),
        C=str(chunk),
        STRIP=str(STRIP_BYTES + SLACK_BYTES),
        EDGE=str(rows * chunk * call.dtype.size),
        SHEET=str(_SHEET_BYTES),
        NAMES=named_words(words, 3),
        WHERE=indented(_STRIP.format(T=kind, LEAST=names.pop("LEAST")), deep),
        COPY=copy_strip(deep, call.dtype.size, COPY_CHUNK.format(T=kind, C=chunk, ELEMENTS=indented(COPY_ELEMENTS, 1))),
        **names,
    )
