"""Convolutions of images, and their gradients.

On a GPU, a library does them where it is installed. On the CPU, most are done by kernels of their own. One matrix
product does it in what is left: on a GPU without the library, where each window is a single pixel, where there are too
few windows in a row for a tile, and where windows are larger than a kernel's memory. Then the windows are copied, each
to a row of a matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Final

from flowc.codegen.ir import Node, Shape
from flowc.codegen.kernels.conv import Phase, can_copy, filter_shape
from flowc.codegen.kernels.conv_filter import Division, division, sums_shape
from flowc.codegen.kernels.strips import pixels_adjoin
from flowc.codegen.lower import library_conv
from flowc.codegen.lower.common import dense, full, in_float32, stored
from flowc.codegen.lower.image_views import every, padded, spread, windowed
from flowc.codegen.lower.matmul import product
from flowc.codegen.lower.phases import phases_of
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.windows import Windows, image_windows

if TYPE_CHECKING:
    from flowc.codegen.cuda.libraries import Choice

_LEAST_ROW: Final = 4  # windows in a row, for a tile
_LEAST_WINDOWS: Final = 16  # in an image, for the gradient of the filter
_LARGE_WINDOWS: Final = "windows that are larger than a kernel's memory"


@lowering("Conv2D")
def conv2d(p: Program, op: LoweredOp, image: Node, filter: Node) -> Node:
    if not image.size or not filter.size or not prod(op.shapes[0]):
        return full(p, op.shapes[0], 0, image.dtype)
    phase = Phase(*image_windows(op.attrs, image.shape[1:3], filter.shape[:2]))

    def compute(image: Node, filter: Node) -> Node:
        chosen = library_conv.chosen(image.dtype, image.shape, filter.shape, op.shapes[0])
        if chosen is not None and chosen.by_library:
            return library_conv.convolution(p, image, filter, op.shapes[0], phase.down, phase.across, chosen.why)
        why = _reason(chosen) or _why_product(phase.down, phase.across) or _why_no_kernel(phase, filter)
        if not why:
            return _convolved(p, image, [(phase, filter)], op.shapes[0])
        rows = _rows(p, padded(p, image, phase.down, phase.across), phase.down, phase.across)
        return _by_product(p, rows, filter, op.shapes[0], why)

    return in_float32(p, compute, image, filter)


@lowering("Conv2DBackpropInput")
def conv2d_backprop_input(p: Program, op: LoweredOp, sizes: Node, filter: Node, grad: Node) -> Node:
    """The gradient of the results, convolved with the turned filter: by phases, as strides leave taps out."""
    shape = op.shapes[0]
    if not grad.size or not filter.size or not prod(shape):
        return full(p, shape, 0, grad.dtype)
    down, across = image_windows(op.attrs, shape[1:3], filter.shape[:2])

    def compute(filter: Node, grad: Node) -> Node:
        chosen = library_conv.chosen(grad.dtype, shape, filter.shape, grad.shape)
        if chosen is not None and chosen.by_library:
            return library_conv.image_gradient(p, filter, grad, shape, down, across, chosen.why)
        turned = p.transpose(filter, (0, 1, 3, 2))
        phases = phases_of(p, turned, shape, down, across)
        reasons = [
            _reason(chosen),
            _why_product(down, across),
            *(_why_no_kernel(phase, part) for phase, part in phases),
        ]
        why = next((reason for reason in reasons if reason), "")
        if not why:
            return _convolved(p, grad, phases, shape)
        rows = _rows(p, spread(p, grad, shape, down, across), every(down, shape[1]), every(across, shape[2]))
        return _by_product(p, rows, p.reverse(turned, (0, 1)), shape, why)

    return in_float32(p, compute, filter, grad)


@lowering("Conv2DBackpropFilter")
def conv2d_backprop_filter(p: Program, op: LoweredOp, image: Node, sizes: Node, grad: Node) -> Node:
    shape = op.shapes[0]
    if not image.size or not grad.size or not prod(shape):
        return full(p, shape, 0, grad.dtype)
    down, across = image_windows(op.attrs, image.shape[1:3], shape[:2])

    def compute(image: Node, grad: Node) -> Node:
        chosen = library_conv.chosen(grad.dtype, image.shape, shape, grad.shape)
        if chosen is not None and chosen.by_library:
            return library_conv.filter_gradient(p, image, grad, shape, down, across, chosen.why)
        by = division(image.shape, shape[3], grad.dtype, down, across)
        why = _reason(chosen) or _why_product(down, across)
        if chosen is None and down.count * across.count < _LEAST_WINDOWS:
            why = f"fewer than {_LEAST_WINDOWS} windows in an image"
        if by is not None and not why:
            return _filter_gradient(p, image, grad, shape, down, across, by)
        rows = _rows(p, padded(p, image, down, across), down, across)
        gradients = p.reshape(grad, (rows.shape[0], shape[3]))
        return p.reshape(product(p, p.transpose(rows, (1, 0)), gradients, why or _LARGE_WINDOWS), shape)

    return in_float32(p, compute, image, grad)


# -- by a product of matrices ------------------------------------------------------------------------------------------


def _reason(chosen: Choice | None) -> str:
    """Why no library does a convolution; empty where there are kernels for it."""
    return "" if chosen is None else chosen.why


def _why_product(down: Windows, across: Windows) -> str:
    """Why a convolution is a product of matrices; empty where it is not better one."""
    return "windows of one pixel" if all(w.size == w.stride == 1 for w in (down, across)) else ""


def _rows(p: Program, image: Node, down: Windows, across: Windows) -> Node:
    """A matrix with a row for each window of a padded image, of all that is in it."""
    windows = windowed(p, image, down, across)
    return p.reshape(windows, (prod(windows.shape[:3]), prod(windows.shape[3:])))


def _by_product(p: Program, rows: Node, filter: Node, shape: Shape, why: str) -> Node:
    return p.reshape(product(p, rows, p.reshape(filter, (rows.shape[1], filter.shape[3])), why), shape)


# -- by a kernel of convolution ----------------------------------------------------------------------------------------


def _why_no_kernel(phase: Phase, filter: Node) -> str:
    """Why the kernel for convolutions cannot do this one, or not well; empty if it can."""
    if phase.across.count < _LEAST_ROW:
        return f"fewer than {_LEAST_ROW} windows in a row"
    return "" if can_copy(phase, filter) else _LARGE_WINDOWS


def _convolved(p: Program, image: Node, phases: Sequence[tuple[Phase, Node]], shape: Shape) -> Node:
    image = stored(p, image) if pixels_adjoin(image) else p.map("copy", image)
    filters = [_in_panels(p, filter, filter_shape(phase, filter)) for phase, filter in phases]
    return p.call("conv2d", [image, *filters], shape, image.dtype, phases=tuple(phase for phase, _ in phases))


def _in_panels(p: Program, filter: Node, shape: Shape) -> Node:
    """A filter [rows, columns, in, out] as [panels, rows, columns, in, columns of a panel]."""
    panels, *taps, columns = shape
    if not filter.size:
        return full(p, shape, 0, filter.dtype)
    if panels * columns != filter.shape[3]:
        filter = p.call("pad", [stored(p, filter)], (*taps, panels * columns), filter.dtype, before=(0, 0, 0, 0))
    return dense(p, p.transpose(p.reshape(filter, (*taps, panels, columns)), (3, 0, 1, 2, 4)))


# -- the gradient of the filter ----------------------------------------------------------------------------------------


def _filter_gradient(
    p: Program, image: Node, grad: Node, shape: Shape, down: Windows, across: Windows, by: Division
) -> Node:
    """The sums of the parts of the work, added up and put in order."""
    image = stored(p, image) if pixels_adjoin(image) else p.map("copy", image)
    sums_of = sums_shape(image.shape, shape[3], down, across, by)
    sums = p.call("conv2d_filter", [image, grad], sums_of, image.dtype, down=down, across=across, division=by)
    return _in_order(p, sums, shape, by)


def _in_order(p: Program, sums: Node, shape: Shape, by: Division) -> Node:
    """Sums [parts, chunks, panels, rows, runs, taps, columns of a panel], added up, as a filter of `shape`."""
    rows, columns = shape[:2]
    parts, chunks, panels, _, runs, _, width = sums.shape
    sums = p.slice(sums, (0,) * 7, (*sums.shape[:5], columns * by.chunk // runs, width))
    split = p.reshape(sums, (parts, chunks, panels, rows, columns, by.chunk, width))
    ordered = p.transpose(split, (0, 3, 4, 1, 5, 2, 6))
    total = p.reduce("sum", ordered, (0,)) if parts > 1 else p.reshape(ordered, ordered.shape[1:])
    return p.slice(p.reshape(total, (rows, columns, chunks * by.chunk, panels * width)), (0, 0, 0, 0), shape)
