"""Convolutions by a library of the target's, which reads filters as [filters, rows, columns, channels].

It adds as many zeros after an image as before it. Padding "SAME" may ask for one more: then the image is copied with
that one after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from flowc.codegen.backend import current
from flowc.codegen.ir import Node, Shape
from flowc.codegen.lower.common import dense, stored
from flowc.codegen.program import Program
from flowc.framework.dtypes import DType
from flowc.framework.windows import Windows

if TYPE_CHECKING:
    from flowc.codegen.cuda.libraries import Choice


def chosen(dtype: DType, *shapes: Sequence[int]) -> Choice | None:
    """Whether a library does a convolution of tensors of these shapes, and why; None for a target without libraries."""
    return current().chosen_convolution(dtype, [prod(shape) for shape in shapes])


def convolution(p: Program, image: Node, filter: Node, shape: Shape, down: Windows, across: Windows, why: str) -> Node:
    """The convolution, of `shape`, of images with a filter [rows, columns, channels, filters]."""
    args = [_with_last_zeros(p, image, down, across), _turned(p, filter)]
    return p.call("library_conv", args, shape, image.dtype, down=down, across=across, why=why)


def image_gradient(
    p: Program, filter: Node, grad: Node, shape: Shape, down: Windows, across: Windows, why: str
) -> Node:
    """The gradient, of `shape`, of the images, given that of the result."""
    args = [_turned(p, filter), dense(p, grad)]
    whole = _shape_with_zeros(shape, down, across)
    gradient = p.call("library_conv_image", args, whole, grad.dtype, down=down, across=across, why=why)
    return p.slice(gradient, (0, 0, 0, 0), shape)


def filter_gradient(
    p: Program, image: Node, grad: Node, shape: Shape, down: Windows, across: Windows, why: str
) -> Node:
    """The gradient, of `shape` [rows, columns, channels, filters], of the filter, given that of the result."""
    args = [_with_last_zeros(p, image, down, across), dense(p, grad)]
    turned = (shape[3], *shape[:3])
    gradient = p.call("library_conv_filter", args, turned, grad.dtype, down=down, across=across, why=why)
    return p.transpose(gradient, (1, 2, 3, 0))


def _turned(p: Program, filter: Node) -> Node:
    return dense(p, p.transpose(filter, (3, 0, 1, 2)))


def _shape_with_zeros(shape: Sequence[int], down: Windows, across: Windows) -> Shape:
    """The shape of images with the zeros after them that they need more than before."""
    batch, height, width, channels = shape
    more = [max(w.after(size) - w.before, 0) for w, size in ((down, height), (across, width))]
    return batch, height + more[0], width + more[1], channels


def _with_last_zeros(p: Program, image: Node, down: Windows, across: Windows) -> Node:
    shape = _shape_with_zeros(image.shape, down, across)
    if shape == image.shape:
        return dense(p, image)
    return p.call("pad", [stored(p, image)], shape, image.dtype, before=(0, 0, 0, 0))
