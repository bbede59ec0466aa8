"""Convolutions of every channel by itself, and their gradients.

The windows and the filter are multiplied, broadcast to [batch, rows, columns, taps down, taps across, channels,
multiples], and summed over other axes each: one fused kernel, without memory for the products.
"""

from __future__ import annotations

from math import prod

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import full, in_float32
from flowc.codegen.lower.image_views import every, padded, spread, windowed
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.windows import image_windows


@lowering("DepthwiseConv2dNative")
def depthwise(p: Program, op: LoweredOp, image: Node, filter: Node) -> Node:
    if not image.size or not prod(op.shapes[0]) or not filter.size:
        return full(p, op.shapes[0], 0, image.dtype)

    def compute(image: Node, filter: Node) -> Node:
        down, across = image_windows(op.attrs, image.shape[1:3], filter.shape[:2])
        columns = windowed(p, padded(p, image, down, across), down, across)
        products = p.map("mul", p.reshape(columns, (*columns.shape, 1)), filter)
        return p.reshape(p.reduce("sum", products, (3, 4)), op.shapes[0])

    return in_float32(p, compute, image, filter)


@lowering("DepthwiseConv2dNativeBackpropInput")
def depthwise_backprop_input(p: Program, op: LoweredOp, sizes: Node, filter: Node, grad: Node) -> Node:
    shape = op.shapes[0]
    if not prod(shape) or not grad.size or not filter.size:
        return full(p, shape, 0, grad.dtype)

    def compute(filter: Node, grad: Node) -> Node:
        down, across = image_windows(op.attrs, shape[1:3], filter.shape[:2])
        windows = [every(w, n) for w, n in zip((down, across), shape[1:3], strict=True)]
        columns = windowed(p, spread(p, grad, shape, down, across), *windows)
        by_channel = p.reshape(columns, (*columns.shape[:-1], *filter.shape[2:]))
        products = p.map("mul", by_channel, p.reverse(filter, (0, 1)))
        return p.reduce("sum", products, (3, 4, 6))

    return in_float32(p, compute, filter, grad)


@lowering("DepthwiseConv2dNativeBackpropFilter")
def depthwise_backprop_filter(p: Program, op: LoweredOp, image: Node, sizes: Node, grad: Node) -> Node:
    shape = op.shapes[0]
    if not image.size or not grad.size or not prod(shape):
        return full(p, shape, 0, grad.dtype)

    def compute(image: Node, grad: Node) -> Node:
        down, across = image_windows(op.attrs, image.shape[1:3], shape[:2])
        columns = windowed(p, padded(p, image, down, across), down, across)
        by_channel = p.reshape(grad, (*grad.shape[:3], 1, 1, *shape[2:]))
        return p.reduce("sum", p.map("mul", p.reshape(columns, (*columns.shape, 1)), by_channel), (0, 1, 2))

    return in_float32(p, compute, image, grad)
