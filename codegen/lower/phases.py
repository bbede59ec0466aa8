"""The gradient of a convolution's images as convolutions of the gradient of its results.

With strides, a pixel meets every stride-th tap of the filter only. So there is a convolution for each remainder of a
row and column by the strides, of these taps, in reverse.
"""

from __future__ import annotations

from flowc.codegen.ir import Node, Shape, access
from flowc.codegen.kernels.conv import Phase
from flowc.codegen.lower.common import full
from flowc.codegen.program import Program
from flowc.framework.windows import Windows


def phases_of(p: Program, filter: Node, image: Shape, down: Windows, across: Windows) -> list[tuple[Phase, Node]]:
    """The convolutions over the gradient of the results that give the gradient of the image, and their filters."""
    found = []
    for i, (rows, first_row) in enumerate(_taps_met(down, image[1])):
        for j, (columns, first_column) in enumerate(_taps_met(across, image[2])):
            part = _every_other(p, filter, (first_row, first_column), (rows.size, columns.size), down, across)
            found.append((Phase(rows, columns, (i, down.stride), (j, across.stride)), part))
    return [(phase, part) for phase, part in found if phase.down.count and phase.across.count]


def _taps_met(windows: Windows, length: int) -> list[tuple[Windows, int]]:
    """For each remainder of an index of the image by the stride: the windows over the results that meet it, the first
    of the filter's taps that do; the others are a stride apart."""
    found = []
    for remainder in range(windows.stride):
        results, first = divmod(remainder + windows.before, windows.stride)
        taps = max(0, -(-(windows.size - first) // windows.stride))
        count = max(0, -(-(length - remainder) // windows.stride))
        found.append((Windows(count, taps, 1, taps - 1 - results if taps else 0), first))
    return found


def _every_other(
    p: Program, filter: Node, first: tuple[int, int], sizes: tuple[int, int], down: Windows, across: Windows
) -> Node:
    """Every stride-th tap of the filter, `sizes` of them from `first` on, in reverse."""
    _, offset, (row, column, *others) = access(filter)
    if not all(sizes):
        return full(p, (*sizes, *filter.shape[2:]), 0, filter.dtype)
    steps = row * down.stride, column * across.stride
    last = (first[0] + (sizes[0] - 1) * down.stride) * row + (first[1] + (sizes[1] - 1) * across.stride) * column
    return p.view(filter, (*sizes, *filter.shape[2:]), offset + last, (-steps[0], -steps[1], *others))
