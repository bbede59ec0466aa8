"""Images: colours, contrast, random crops, glimpses."""

from __future__ import annotations

from math import prod

import numpy as np

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import invalid, stored, whole
from flowc.codegen.lower.random import identity_and_seed
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import float32, float64, int64


@lowering("RGBToHSV")
def rgb_to_hsv(p: Program, op: LoweredOp, images: Node) -> Node:
    return p.call("rgb_to_hsv", [images], images.shape, images.dtype)


@lowering("HSVToRGB")
def hsv_to_rgb(p: Program, op: LoweredOp, images: Node) -> Node:
    return p.call("hsv_to_rgb", [images], images.shape, images.dtype)


@lowering("AdjustContrast")
def adjust_contrast(p: Program, op: LoweredOp, images: Node, factor: Node, least: Node, greatest: Node) -> Node:
    """(x - mean) · factor + mean within bounds, by channel."""
    x = p.cast(images, float32)
    rank = len(x.shape)
    total = p.reduce("sum", x, [rank - 3, rank - 2], keep_dims=True)
    mean = p.map("mul", total, p.scalar(1 / max(prod(x.shape[-3:-1]), 1), float32))
    *outer, height, width, channels = x.shape
    # A row of the image beside a row of means: one long loop, where a loop over the channels would be a short one.
    means = p.map("copy", p.broadcast(mean, (*outer, 1, width, channels)))
    row, rows = p.reshape(means, (*outer, 1, width * channels)), p.reshape(x, (*outer, height, width * channels))
    adjusted = p.map("add", p.map("mul", p.map("sub", rows, row), factor), row)
    return p.reshape(p.map("minimum", p.map("maximum", adjusted, least), greatest), x.shape)


@lowering("RandomCrop")
def random_crop(p: Program, op: LoweredOp, image: Node, size: Node) -> Node:
    """The block at a corner drawn from all at which it fits."""
    room = [n - m + 1 for n, m in zip(image.shape, op.shapes[0], strict=True)]
    if min(room) < 1:
        raise invalid(f"The crop to {list(op.shapes[0])} is larger than the image of shape {list(image.shape)}")
    if max(room) == 1:
        return image
    part = p.call("random", [], (2,), float64, distribution="uniform", **identity_and_seed(op))
    corner = p.cast(p.map("mul", part, p.const(np.array(room[:2], np.float64))), int64)
    # Rows of pixels with their channels are copied in one piece.
    (height, width, channels), (rows, columns, _) = image.shape, op.shapes[0]
    start = p.map("mul", corner, p.const(np.array([1, channels], np.int64)))
    flat = p.reshape(stored(p, image), (height, width * channels))
    return p.reshape(p.call("slice", [flat, start], (rows, columns * channels), image.dtype), op.shapes[0])


@lowering("ExtractGlimpse")
def extract_glimpse(p: Program, op: LoweredOp, images: Node, size: Node, offsets: Node) -> Node:
    """Windows of noise, with what lies in the image copied over it."""
    uniform = bool(op.attrs["uniform_noise"])
    distribution = "uniform" if uniform else "normal"
    draws = p.call("random", [], op.shapes[0], float32, distribution=distribution, **identity_and_seed(op))
    if not images.size:
        return draws
    start, spread = _range(p, images) if uniform else _moments(p, images)
    noise = p.map("add", p.map("mul", draws, spread), start)
    flags = {name: bool(op.attrs[name]) for name in ("centered", "normalized")}
    return p.call("glimpse", [whole(p, noise), images, offsets], op.shapes[0], float32, **flags)


def _range(p: Program, images: Node) -> tuple[Node, Node]:
    """The least value of each image, and how far the greatest is from it."""
    least, greatest = (p.reduce(kind, images, [1, 2, 3], keep_dims=True) for kind in ("min", "max"))
    return least, p.map("sub", greatest, least)


def _moments(p: Program, images: Node) -> tuple[Node, Node]:
    """The mean and the standard deviation of each image."""

    def mean(x: Node) -> Node:
        total = p.reduce("sum", x, [1, 2, 3], keep_dims=True)
        return p.map("mul", total, p.scalar(1 / prod(x.shape[1:]), x.dtype))

    centre = mean(images)
    return centre, p.map("sqrt", mean(p.map("square", p.map("sub", images, centre))))
