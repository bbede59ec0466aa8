"""Windows out of images: `glimpse` (centered, normalized) writes the parts of windows that lie in their images.

Arguments: what the windows hold elsewhere, the images, the offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import grain, kernel
from flowc.codegen.templates import Launch, Pointer, params_of, template

# Unit: one window. Words: images, offsets, windows; rows and columns of an image and of a window; elements a pixel;
# whether offsets are centred, and whether they are parts of the image's size.
GLIMPSE: Final = """
def glimpse(args, lo, hi):
    a = ptr_i64(args, -1)
    images = ptr_f32(a[0], 0)
    offsets = ptr_f32(a[1], 1)
    windows = ptr_f32(a[2], 2)
    rows = a[3]
    columns = a[4]
    height = a[5]
    width = a[6]
    n = a[7]
    for i in range(lo, hi):
        y = offsets[2 * i]
        x = offsets[2 * i + 1]
        if a[9] != 0:
            y = y * f32(rows)
            x = x * f32(columns)
        if a[8] != 0:
            y = (y + f32(rows)) * 0.5
            x = (x + f32(columns)) * 0.5
        top = i64(y - f32(height) * 0.5)
        left = i64(x - f32(width) * 0.5)
        first = imin(imax(0, -left), width)
        last = imax(first, imin(width, imax(0, columns - left)))
        for row in range(imax(0, -top), imin(height, imax(0, rows - top))):
            source = advance(images, ((i * rows + top + row) * columns + left + first) * n)
            target = advance(windows, ((i * height + row) * width + first) * n)
            for j in range((last - first) * n):
                target[j] = source[j]
"""


@template("glimpse", in_place=0)
def glimpse(call: Node) -> Sequence[Launch]:
    """One launch."""
    params = params_of(call)
    images = call.args[1]
    count, rows, columns, n = images.shape
    height, width = call.shape[1:3]
    flags = (int(params["centered"]), int(params["normalized"]))
    words = (Pointer(1), Pointer(2), Pointer(-1), rows, columns, height, width, n, *flags)
    work = height * width * n
    return [Launch(kernel(GLIMPSE), words, count, grain(work), 8 * count * work)]
