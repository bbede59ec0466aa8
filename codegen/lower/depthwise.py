"""Convolutions of every channel by itself, and their gradients.

With several filters a channel, the images are first repeated, so that each channel has one.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowc.codegen.backend import current
from flowc.codegen.ir import Node, Shape
from flowc.codegen.kernels.conv import Phase
from flowc.codegen.kernels.depthwise import chunk_of, depthwise_fits, sums_shape
from flowc.codegen.kernels.strips import pixels_adjoin
from flowc.codegen.kernels.tiling import padded
from flowc.codegen.lower import image_views
from flowc.codegen.lower.common import dense, full, in_float32, stored
from flowc.codegen.lower.phases import phases_of
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.windows import Windows, image_windows


@lowering("DepthwiseConv2dNative")
def depthwise(p: Program, op: LoweredOp, image: Node, filter: Node) -> Node:
    if not image.size or not filter.size or 0 in op.shapes[0]:
        return full(p, op.shapes[0], 0, image.dtype)
    down, across = image_windows(op.attrs, image.shape[1:3], filter.shape[:2])

    def compute(image: Node, filter: Node) -> Node:
        if not _has_kernel(down, across, image):
            return _sum_over_taps(p, image, filter, down, across, op.shapes[0])
        one_each = p.reshape(filter, (*filter.shape[:2], op.shapes[0][3]))
        return _convolved(p, _repeated(p, image, filter.shape[3]), [(Phase(down, across), one_each)], op.shapes[0])

    return in_float32(p, compute, image, filter)


@lowering("DepthwiseConv2dNativeBackpropInput")
def depthwise_backprop_input(p: Program, op: LoweredOp, sizes: Node, filter: Node, grad: Node) -> Node:
    shape = op.shapes[0]
    if not grad.size or not filter.size or 0 in shape:
        return full(p, shape, 0, grad.dtype)
    down, across = image_windows(op.attrs, shape[1:3], filter.shape[:2])
    *_, channels, multiplier = filter.shape

    def compute(filter: Node, grad: Node) -> Node:
        one_each = p.reshape(filter, (*filter.shape[:2], channels * multiplier))
        phases = phases_of(p, one_each, shape, down, across)
        if not all(_has_kernel(phase.down, phase.across, grad) for phase, _ in phases):
            return _spread_and_summed(p, grad, filter, down, across, shape)
        wide = _convolved(p, grad, phases, (*shape[:3], channels * multiplier))
        return wide if multiplier == 1 else p.reduce("sum", p.reshape(wide, (*shape, multiplier)), (4,))

    return in_float32(p, compute, filter, grad)


@lowering("DepthwiseConv2dNativeBackpropFilter")
def depthwise_backprop_filter(p: Program, op: LoweredOp, image: Node, sizes: Node, grad: Node) -> Node:
    shape = op.shapes[0]
    if not image.size or not grad.size or 0 in shape:
        return full(p, shape, 0, grad.dtype)
    down, across = image_windows(op.attrs, image.shape[1:3], shape[:2])

    def compute(image: Node, grad: Node) -> Node:
        if not _has_kernel(down, across, image):
            return _sum_over_windows(p, image, grad, down, across, shape)
        image = _readable(p, _repeated(p, image, shape[3]))
        sums_of = sums_shape(image, down, across)
        sums = p.call("depthwise_filter", [image, grad], sums_of, image.dtype, down=down, across=across)
        ordered = p.transpose(sums, (0, 2, 3, 1, 4))
        total = p.reduce("sum", ordered, (0,)) if sums_of[0] > 1 else p.reshape(ordered, ordered.shape[1:])
        filters = p.reshape(total, (*shape[:2], sums_of[1] * sums_of[4]))
        return p.reshape(p.slice(filters, (0, 0, 0), (*shape[:2], shape[2] * shape[3])), shape)

    return in_float32(p, compute, image, grad)


def _has_kernel(down: Windows, across: Windows, image: Node) -> bool:
    return current().has_tiles and depthwise_fits(down, across, image.dtype)


def _repeated(p: Program, image: Node, times: int) -> Node:
    """Images with every channel `times` times, one after the other."""
    if times == 1:
        return image
    wide = p.broadcast(p.reshape(image, (*image.shape, 1)), (*image.shape, times))
    return p.reshape(p.map("copy", wide), (*image.shape[:3], image.shape[3] * times))


def _readable(p: Program, image: Node) -> Node:
    return stored(p, image) if pixels_adjoin(image) else p.map("copy", image)


def _convolved(p: Program, image: Node, phases: Sequence[tuple[Phase, Node]], shape: Shape) -> Node:
    filters = [_in_chunks(p, filter) for _, filter in phases]
    params = {"phases": tuple(phase for phase, _ in phases)}
    return p.call("depthwise", [_readable(p, image), *filters], shape, image.dtype, **params)


def _in_chunks(p: Program, filter: Node) -> Node:
    """A filter [rows, columns, channels] as [chunks, rows, columns, channels of a chunk]."""
    rows, columns, channels = filter.shape
    chunk = chunk_of(filter.dtype)
    wide = padded(channels, chunk)
    if not filter.size:
        return full(p, (wide // chunk, rows, columns, chunk), 0, filter.dtype)
    if wide != channels:
        filter = p.call("pad", [stored(p, filter)], (rows, columns, wide), filter.dtype, before=(0, 0, 0))
    return dense(p, p.transpose(p.reshape(filter, (rows, columns, wide // chunk, chunk)), (2, 0, 1, 3)))


# -- without kernels of their own --------------------------------------------------------------------------------------
# The windows and the filter are multiplied, broadcast to [batch, rows, columns, taps down, taps across, channels,
# multiples], and summed over other axes each, without memory for the products.


def _windows(p: Program, image: Node, down: Windows, across: Windows) -> Node:
    columns = image_views.windowed(p, image_views.padded(p, image, down, across), down, across)
    return p.reshape(columns, (*columns.shape, 1))


def _sum_over_taps(p: Program, image: Node, filter: Node, down: Windows, across: Windows, shape: Shape) -> Node:
    products = p.map("mul", _windows(p, image, down, across), filter)
    return p.reshape(p.reduce("sum", products, (3, 4)), shape)


def _spread_and_summed(p: Program, grad: Node, filter: Node, down: Windows, across: Windows, shape: Shape) -> Node:
    spread = image_views.spread(p, grad, shape, down, across)
    windows = image_views.every(down, shape[1]), image_views.every(across, shape[2])
    columns = image_views.windowed(p, spread, *windows)
    by_channel = p.reshape(columns, (*columns.shape[:-1], *filter.shape[2:]))
    return p.reduce("sum", p.map("mul", by_channel, p.reverse(filter, (0, 1))), (3, 4, 6))


def _sum_over_windows(p: Program, image: Node, grad: Node, down: Windows, across: Windows, shape: Shape) -> Node:
    by_channel = p.reshape(grad, (*grad.shape[:3], 1, 1, *shape[2:]))
    return p.reduce("sum", p.map("mul", _windows(p, image, down, across), by_channel), (0, 1, 2))
