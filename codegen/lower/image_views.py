"""Images as their windows: views and padded copies that convolutions and pooling are lowered to."""

from __future__ import annotations

from collections.abc import Sequence

from flowc.codegen.ir import Node, access
from flowc.codegen.lower.common import stored
from flowc.codegen.program import Program
from flowc.framework.windows import Windows


def windowed(p: Program, image: Node, down: Windows, across: Windows) -> Node:
    """[batch, window rows, window columns, rows, columns, channels]: what each window holds of a padded image."""
    _, offset, (b, h, w, c) = access(image)
    shape = (image.shape[0], down.count, across.count, down.size, across.size, image.shape[3])
    return p.view(image, shape, offset, (b, h * down.stride, w * across.stride, h, w, c))


def padded(p: Program, image: Node, down: Windows, across: Windows) -> Node:
    """The image with the zeros around it that its windows need."""
    batch, height, width, channels = image.shape
    after = down.after(height), across.after(width)
    if not any((down.before, across.before, *after)):
        return stored(p, image)
    shape = (batch, height + down.before + after[0], width + across.before + after[1], channels)
    return p.call("pad", [stored(p, image)], shape, image.dtype, before=(0, down.before, across.before, 0))


def spread(p: Program, grad: Node, image: Sequence[int], down: Windows, across: Windows) -> Node:
    """The gradient of results, each where its window's last tap stands: between zeros, the strides apart, and in
    zeros such that windows of stride 1 over it stand for the elements of the image."""
    batch, rows, columns, channels = grad.shape
    apart = p.reshape(stored(p, grad), (batch, rows, 1, columns, 1, channels))
    if (down.stride, across.stride) != (1, 1):
        strided = (batch, rows, down.stride, columns, across.stride, channels)
        apart = p.call("pad", [apart], strided, grad.dtype, before=(0,) * 6)
    apart = p.reshape(apart, (batch, rows * down.stride, columns * across.stride, channels))
    before = [w.size - 1 - w.before for w in (down, across)]
    shape = (batch, image[1] + down.size - 1, image[2] + across.size - 1, channels)
    sizes = [min(apart.shape[i + 1], shape[i + 1] - before[i]) for i in range(2)]
    apart = p.slice(apart, (0, 0, 0, 0), (batch, *sizes, channels))
    return p.call("pad", [apart], shape, grad.dtype, before=(0, *before, 0))


def every(window: Windows, count: int) -> Windows:
    return Windows(count, window.size, 1, 0)
