"""Convolution of images with a filter in panels: `conv2d`, by tiles of pixels × channels that stay in registers.

Arguments: images [batch, height, width, channels], whose rows and images may lie anywhere, but the pixels of a row side
by side; one filter for each phase; then, with `bias`, a value for each channel of the result, padded to whole panels. A
filter is in panels of as many channels of the result as a tile has columns: [panels, rows, columns, channels, columns
of a tile].

A result of several phases is put together of convolutions that each give every so-many-th row and column of it: the
gradient of a convolution with strides is of that kind. Params: `phases`, one `Phase` each; `bias`, `relu`: whether the
bias is added, and whether max(…, 0) is taken, before the result is stored.

The work is divided into strips (`flowc.codegen.kernels.strips`). Where windows reach over the sides of the image, the
kernel copies the pixels of a strip and zeros beside them; else it reads the image itself. Rows of a window above or
below the image are left out. The elements of a tile are neighbours in a row of the result; the last tile of a row is
moved back, so that all are whole. The distance between the pixels that a tile reads is a constant, which is part of the
instruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flowc.codegen.ir import Node, access, row_major
from flowc.codegen.kernels.source import element_type, kernel
from flowc.codegen.kernels.strips import (
    CACHE_LINE,
    CROWDED_BYTES,
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
from flowc.codegen.kernels.tiling import Tile, padded, tile_for
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import Launch, Pointer, params_of, template
from flowc.framework.dtypes import DType
from flowc.framework.windows import Windows

_AHEAD: Final = 32  # rows of a panel
_LARGE_PANEL: Final = 3 << 18  # bytes: two would leave no room in the second cache
_FEW_TILES: Final = 4
_LEAST_UNITS: Final = 32  # so that all threads have work to the end
_CHUNK_PRODUCTS: Final = 1 << 20  # multiplications that are worth a thread of their own

# Unit: a strip, and a group of panels. {STEP}: elements from pixel to pixel of a tile. The tiles of a panel ask for the
# next one, `pace` elements a step, as it may come from the third cache, of which processors look ahead within a page
# only. Where tiles are few or panels large, each asks for what it needs itself, {AHEAD} elements ahead.
CONV2D: Final = """
def conv2d_{NAME}_{T}(args, lo, hi):
    w = ptr_i64(args, -1)
    filter = ptr_{T}(w[1], 1)
    result = ptr_{T}(w[2], 2)
    bias = ptr_{T}(w[3], 5)
    strip = ptr_{T}(scratch({STRIP}), 3)
    edge = ptr_{T}(scratch({EDGE}), 4)
{NAMES}
    for unit in range(lo, hi):
        place = idiv(unit, groups)
        first_panel = (unit - place * groups) * group
        band = idiv(place, pieces)
        column = imin((place - band * pieces) * width, all_columns - width)
        n = idiv(band, strips)
        row = (band - n * strips) * depth
        height = imin(depth, all_rows - row)
        image = advance(ptr_{T}(w[0], 0), n * image_step)
        first = row * down - above
        start = column * across - aside
        base = strip
        if copied != 0:
            count = (height - 1) * down + taps
{COPY}
        else:
            base = ptr_{T}(w[0] + (n * image_step + first * image_row + start * image_pixel) * {SIZE}, 3)
        for panel in range(first_panel, imin(first_panel + group, panels)):
            columns = imin({C}, channels - panel * {C})
            next_panel = panel + 1
            if next_panel == imin(first_panel + group, panels):
                next_panel = first_panel
            for i in range(height):
                at = result_start + n * result_step + (row + i) * result_row + column * result_pixel + panel * {C}
                top = (row + i) * down - above
                low = imax(0 - top, 0)
                high = imin(image_height - top, taps)
                for tile in range(tiles):
                    j = imin(tile * {R}, width - {R})
                    c = tile_{T}({R}, {C})
                    x = advance(base, (i * down + low) * line_step + j * {STEP})
                    f = advance(filter, (panel * taps + low) * runs * run * {C})
                    soon = advance(f, {AHEAD})
                    if pace < {C}:
                        soon = advance(filter, (next_panel * {C} + (i * tiles + tile) * pace) * taps * runs * run)
                    for k in range(low, high):
                        for p in range(runs):
                            for t in range(run):
                                prefetch(soon, 0)
                                soon = advance(soon, pace)
                                c = tile_fma(c, advance(x, t), {STEP}, f)
                                f = advance(f, {C})
                            x = advance(x, pitch)
                        x = advance(x, line_step - runs * pitch)
{EPILOGUE}
                    y = advance(result, at + j * result_pixel)
                    if columns == {C}:
                        tile_store(c, y, result_pixel)
                    else:
                        tile_store(c, edge, {C})
                        for r in range({R}):
                            pixel = address(advance(y, r * result_pixel))
                            memory_copy(pixel, address(advance(edge, r * {C})), columns * {SIZE})
"""


@dataclass(frozen=True)
class Phase:
    """A convolution by these windows over the image, whose results are every so-many-th of the whole result.

    rows, columns: (first, step) of their places in the whole result.
    """

    down: Windows
    across: Windows
    rows: tuple[int, int] = (0, 1)
    columns: tuple[int, int] = (0, 1)

    @property
    def is_empty(self) -> bool:
        """Whether no tap of the filter meets the image: all results are 0."""
        return not self.down.size or not self.across.size


def filter_shape(phase: Phase, filter: Node) -> tuple[int, ...]:
    """The shape of a phase's filter [rows, columns, channels, filters] in panels."""
    *_, channels, filters = filter.shape
    columns = tile_for(phase.across.count, filters, filter.dtype).columns
    return padded(filters, columns) // columns, phase.down.size, phase.across.size, channels, columns


def can_copy(phase: Phase, filter: Node) -> bool:
    """Whether the pixels that one tile needs fit in a strip's memory."""
    *_, channels, filters = filter.shape
    tile = tile_for(phase.across.count, filters, filter.dtype)
    return strip_fits(phase.down, phase.across, tile.rows, _pitch(phase, channels, filter.dtype) * filter.dtype.size)


def _pitch(phase: Phase, channels: int, dtype: DType) -> int:
    """Elements from pixel to pixel of a strip: more than there are channels, where all pixels of a tile would else
    compete for a few places in the cache."""
    compete = phase.across.stride * channels * dtype.size % CROWDED_BYTES == 0
    return channels + (CACHE_LINE // dtype.size if compete else 0)


@template("conv2d", strided=frozenset({0}))
def conv2d(call: Node) -> Sequence[Launch]:
    """One launch a phase that has results."""
    phases: Sequence[Phase] = params_of(call)["phases"]
    return [_launch(call, phase, 1 + i) for i, phase in enumerate(phases) if phase.down.count and phase.across.count]


def _launch(call: Node, phase: Phase, filter: int) -> Launch:
    tile = tile_for(phase.across.count, call.shape[3], call.dtype)
    words = _words(call, phase, tile)
    bias = len(call.args) - 1 if params_of(call).get("bias") else filter
    pointers = (Pointer(0), Pointer(filter), Pointer(-1), Pointer(bias))
    places = call.shape[0] * words["strips"] * words["pieces"]
    products = call.shape[0] * phase.down.count * phase.across.count * call.args[filter].size
    units = places * words["groups"]
    moved = sum(arg.size for arg in (call.args[0], call.args[filter], call)) * call.dtype.size
    grain = max(1, _CHUNK_PRODUCTS * units // max(products, 1))
    return Launch(_code(call, phase, tile, words), (*pointers, *words.values()), units, grain, moved)


def _words(call: Node, phase: Phase, tile: Tile) -> dict[str, int]:
    """The kernel's argument words by their names in it."""
    image, down, across = call.args[0], phase.down, phase.across
    _, height, width, channels = image.shape
    _, _, (image_step, image_row, *_) = access(image)
    _, result_row, result_pixel, _ = row_major(call.shape)
    pitch = _pitch(phase, channels, call.dtype)
    copied = _is_copied(image, phase)
    panels = padded(call.shape[3], tile.columns) // tile.columns
    piece = strip_width(down, across, pitch * call.dtype.size, tile.rows) if copied else across.count
    depth, group = _division(image, phase, piece, panels)
    return {
        "panels": panels,
        "group": group,
        "groups": -(-panels // group),
        "depth": depth,
        "strips": -(-down.count // depth),
        "width": piece,
        "pieces": -(-across.count // piece),
        "tiles": -(-piece // tile.rows),
        "all_rows": down.count,
        "all_columns": across.count,
        "channels": call.shape[3],
        "down": down.stride,
        "across": across.stride,
        "above": down.before,
        "aside": across.before,
        "pace": _pace(call.args[1].size * call.dtype.size // panels, depth * -(-piece // tile.rows), tile),
        "taps": 0 if phase.is_empty else down.size,
        "runs": across.size if pitch > channels else 1,
        "run": channels if pitch > channels else across.size * channels,
        "copied": int(copied),
        "pixels": pixels_met(across, piece),
        "pitch": pitch,
        "kept": channels,
        "line_step": pixels_met(across, piece) * pitch if copied else image_row,
        "image_height": height,
        "image_width": width,
        "image_step": image_step,
        "image_row": image_row,
        "image_pixel": channels,
        "result_start": phase.rows[0] * result_row + phase.columns[0] * result_pixel,
        "result_step": call.size // call.shape[0],
        "result_row": phase.rows[1] * result_row,
        "result_pixel": phase.columns[1] * result_pixel,
    }


def _pace(panel_bytes: int, tiles: int, tile: Tile) -> int:
    """How many elements of the next panel a step asks for; a row's, where it rather asks for its own panel."""
    if panel_bytes > _LARGE_PANEL or tiles < _FEW_TILES:
        return tile.columns
    return -(-tile.columns // tiles)


def _is_copied(image: Node, phase: Phase) -> bool:
    """Whether strips are copied: for the zeros beside them, or to have their pixels further apart."""
    apart = _pitch(phase, image.shape[3], image.dtype) > image.shape[3]
    return not phase.is_empty and (apart or max(phase.across.before, phase.across.after(image.shape[2])) > 0)


def _division(image: Node, phase: Phase, piece: int, panels: int) -> tuple[int, int]:
    """(rows of windows a strip, panels a group): strips that caches hold, and units enough for all threads."""
    pitch = _pitch(phase, image.shape[3], image.dtype)
    depth = strip_depth(phase.down, pixels_met(phase.across, piece) * pitch * image.dtype.size)
    others, rows = image.shape[0] * -(-phase.across.count // piece), phase.down.count
    while depth > 1 and others * -(-rows // depth) < _LEAST_UNITS:
        depth = -(-depth // 2)
    units = others * -(-rows // depth)
    return depth, max(1, panels * units // _LEAST_UNITS) if units < _LEAST_UNITS else panels


def _code(call: Node, phase: Phase, tile: Tile, words: dict[str, int]) -> Kernel:
    params = params_of(call)
    bias, relu = bool(params.get("bias")), bool(params.get("relu"))
    step = phase.across.stride * _pitch(phase, call.args[0].shape[3], call.dtype)
    epilogue = [f"c = tile_add_row(c, advance(bias, panel * {tile.columns}))"] * bias + ["c = tile_relu(c)"] * relu
    return kernel(
        CONV2D,
        NAME=f"{tile.rows}x{tile.columns}_{step}" + "_bias" * bias + "_relu" * relu,
        T=element_type(call.dtype, "Conv2D"),
        R=str(tile.rows),
        C=str(tile.columns),
        STEP=str(step),
        SIZE=str(call.dtype.size),
        STRIP=str(STRIP_BYTES + SLACK_BYTES),
        EDGE=str(tile.rows * tile.columns * call.dtype.size),
        NAMES=named_words(words, 4),
        COPY=copy_strip(3, call.dtype.size),
        AHEAD=str(_AHEAD * tile.columns),
        EPILOGUE=indented("\n".join(epilogue), 5),
    )
