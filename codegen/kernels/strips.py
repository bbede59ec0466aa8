"""Strips of images: what some rows of windows meet, copied with the zeros around it to memory of the kernel's own.

Kernels that slide windows over images [batch, height, width, channels] divide their work into strips: some rows of one
image's windows and, where rows are long, a piece of each. The second cache holds a strip.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final

from flowc.codegen.ir import Node, access
from flowc.framework.windows import Windows

STRIP_BYTES: Final = 1 << 18  # of memory for a strip
SLACK_BYTES: Final = 1 << 12  # behind it, which tiles may read that reach over the end of the last row
CACHE_LINE: Final = 64
CROWDED_BYTES: Final = 1 << 11  # elements a multiple of it apart compete for a few places in the first cache

# Copies rows `first` … `first + count - 1` of `image`, from pixel `start` on, `pixels` of them, to `strip`: there
# `line_step` elements a row and `pitch` a pixel, of which `kept` are copied. All that lies outside the image is zeros,
# and so are elements between: what happens to be in memory may be denormal numbers, which are slow.
COPY_STRIP: Final = """
before = imin(imax(0 - start, 0), pixels)
inside = imax(imin(image_width - imax(start, 0), pixels - before), 0)
for r in range(count):
    line = advance(strip, r * line_step)
    if first + r < 0 or first + r >= image_height:
        memory_fill(address(line), 0, pixels * pitch * {SIZE})
    else:
        source = advance(image, (first + r) * image_row + imax(start, 0) * image_pixel)
        memory_fill(address(line), 0, before * pitch * {SIZE})
        target = advance(line, before * pitch)
        if pitch == image_pixel:
            memory_copy(address(target), address(source), inside * pitch * {SIZE})
        else:
            for p in range(inside):
{COPY_PIXEL}
                target = advance(target, pitch)
                source = advance(source, image_pixel)
        target = advance(line, (before + inside) * pitch)
        memory_fill(address(target), 0, (pixels - before - inside) * pitch * {SIZE})
"""
COPY_ELEMENTS: Final = """
memory_copy(address(target), address(source), kept * {SIZE})
memory_fill(address(target) + kept * {SIZE}, 0, (pitch - kept) * {SIZE})
"""


def copy_strip(levels: int, size: int, copy_pixel: str = COPY_ELEMENTS) -> str:
    """The text that copies a strip of elements of `size` bytes, for a place so many levels deep. `copy_pixel`: from
    `source` to `target`."""
    pixel = indented(copy_pixel.format(SIZE=size), 4)
    return indented(COPY_STRIP.format(SIZE=size, COPY_PIXEL=pixel), levels)


def pixels_met(across: Windows, count: int) -> int:
    """How many pixels of a row `count` windows meet, those between them too."""
    return max((count - 1) * across.stride + across.size, 0)


def strip_fits(down: Windows, across: Windows, width: int, pixel_bytes: int) -> bool:
    """Whether one row of `width` windows fits in a strip's memory."""
    return down.size * pixels_met(across, width) * pixel_bytes <= STRIP_BYTES


def strip_width(down: Windows, across: Windows, pixel_bytes: int, least: int = 1) -> int:
    """How many windows of a row make a strip: all of them, if they fit, or at least `least` (which must fit)."""
    pieces = 1
    while not strip_fits(down, across, max(-(-across.count // pieces), least), pixel_bytes) and pieces < across.count:
        pieces += 1
    return max(-(-across.count // pieces), least)


def strip_depth(down: Windows, row_bytes: int) -> int:
    """How many rows of windows make a strip, if each row of pixels takes `row_bytes`."""
    rows = max(STRIP_BYTES // max(row_bytes, 1), 1)
    depth = max(1, min(down.count, (rows - down.size) // down.stride + 1))
    strips = -(-down.count // depth)
    return -(-down.count // strips)


def pixels_adjoin(image: Node) -> bool:
    """Whether the pixels of each row lie side by side in memory, as these kernels read them."""
    _, _, (_, _, across, inner) = access(image)
    channels = image.shape[3]
    return (inner == 1 or channels == 1) and (across == channels or image.shape[2] == 1)


def indented(text: str, levels: int) -> str:
    """Kernel text for a place that is so many levels deep."""
    return textwrap.indent(text.strip("\n"), 4 * levels * " ")


def named_words(names: Iterable[str], first: int) -> str:
    """The lines that give argument words their names in a kernel: the first is number `first` of `w`."""
    return indented("\n".join(f"{name} = w[{first + i}]" for i, name in enumerate(names)), 1)
