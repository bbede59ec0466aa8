"""Resized images: along height and along width, each output pixel is a weighted sum of a few input pixels.

Which ones, and the weights, follow from the sizes: they are constants of the plan. A gradient is the transposed map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from flowc.codegen.ir import Array, Node, Shape
from flowc.codegen.lower.common import full, invalid
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import DType

HEIGHT, WIDTH = 1, 2  # axes


class Taps(NamedTuple):
    """A map of n values to m: output i is the sum of weights · inputs[sources], from starts[i] up to starts[i + 1]."""

    starts: Array  # int64[m + 1]
    sources: Array  # int64[taps]
    weights: Array  # float64[taps]


def taps_of(sources: Array, weights: Array, n: int) -> Taps:
    """The map of a table: [m, taps] each. Sources beyond the edge are the pixel at the edge; weights of 0 are dropped,
    so that a NaN or an infinity does not reach pixels that it has no part in."""
    sources, weights = np.broadcast_arrays(np.clip(sources, 0, n - 1), np.asarray(weights, np.float64))
    used = weights != 0
    starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return Taps(starts.astype(np.int64), sources[used].astype(np.int64), weights[used])


def _positions(n: int, m: int) -> Array:
    """Where m output pixels stand among n input pixels, in float32 as the API has it."""
    return np.arange(m, dtype=np.float32) * (np.float32(n) / np.float32(m))


def nearest(n: int, m: int) -> Taps:
    """The pixel at or before each position."""
    return taps_of(np.floor(_positions(n, m))[:, None], np.ones((m, 1)), n)


def bilinear(n: int, m: int) -> Taps:
    """The two pixels around each position, by their nearness."""
    at = _positions(n, m)[:, None]
    before = np.floor(at)
    return taps_of(before + np.arange(2), np.concatenate([1 - (at - before), at - before], axis=1), n)


def bicubic(n: int, m: int) -> Taps:
    """The four pixels around each position, by Keys's kernel, whose argument the API's op rounds to 1/1024."""
    at = _positions(n, m)[:, None]
    before = np.floor(at)
    offset = np.rint((at - before) * np.float32(1024)) / 1024
    return taps_of(before + np.arange(-1, 3), _keys(np.abs(offset - np.arange(-1, 3))), n)


def _keys(distance: Array, a: float = -0.75) -> Array:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def area(n: int, m: int) -> Taps:
    """All pixels that touch [i · n/m, (i + 1) · n/m), by how much they do."""
    scale = np.float32(n) / np.float32(m)
    begin, end = (np.arange(first, m + first, dtype=np.float32)[:, None] * scale for first in (0, 1))
    pixels = np.floor(begin) + np.arange(int(np.ceil(scale)) + 1)
    covered = np.minimum(end, pixels + 1) - np.maximum(begin, pixels)
    return taps_of(pixels, np.maximum(covered, 0) / scale, n)


def transposed(taps: Taps, n: int) -> Taps:
    """The map of gradients, from the m outputs back to the n inputs."""
    m = len(taps.starts) - 1
    outputs = np.repeat(np.arange(m), np.diff(taps.starts))
    order = np.argsort(taps.sources, kind="stable")
    starts = np.searchsorted(taps.sources[order], np.arange(n + 1))
    return Taps(starts.astype(np.int64), outputs[order], taps.weights[order])


METHODS: Final[dict[str, Callable[[int, int], Taps]]] = {
    "ResizeArea": area,
    "ResizeBicubic": bicubic,
    "ResizeBilinear": bilinear,
    "ResizeNearestNeighbor": nearest,
}
GRADIENTS: Final = {"ResizeBilinearGrad": bilinear, "ResizeNearestNeighborGrad": nearest}


@lowering(*METHODS)
def resize(p: Program, op: LoweredOp, images: Node, size: Node) -> Node:
    """Along one axis after the other."""
    if 0 in images.shape[HEIGHT : WIDTH + 1]:
        raise invalid(f"input image must be of non-zero size, not {list(images.shape)}")
    method = METHODS[op.type]
    for axis in _order(images.shape, op.shapes[0]):
        n, m = images.shape[axis], op.shapes[0][axis]
        if n != m:
            images = _along(p, images, axis, method(n, m), op.dtypes[0])
    return p.cast(images, op.dtypes[0])


@lowering(*GRADIENTS)
def resize_grad(p: Program, op: LoweredOp, grads: Node, _: Node) -> Node:
    """The images had the shape of this op's output."""
    if 0 in grads.shape:
        return full(p, op.shapes[0], 0, op.dtypes[0])
    method = GRADIENTS[op.type]
    for axis in _order(grads.shape, op.shapes[0]):
        n, m = op.shapes[0][axis], grads.shape[axis]
        if n != m:
            grads = _along(p, grads, axis, transposed(method(n, m), n), op.dtypes[0])
    return p.cast(grads, op.dtypes[0])


def _order(source: Shape, result: Shape) -> tuple[int, int]:
    """Which axis comes first. Rows are added up in vectors, pixels within a row are not: it should be few rows then."""
    return (HEIGHT, WIDTH) if result[HEIGHT] <= source[HEIGHT] else (WIDTH, HEIGHT)


def _along(p: Program, x: Node, axis: int, taps: Taps, dtype: DType) -> Node:
    shape = (*x.shape[:axis], len(taps.starts) - 1, *x.shape[axis + 1 :])
    if 0 in shape:
        return full(p, shape, 0, dtype)
    tables = [p.const(taps.starts), p.const(taps.sources), p.const(taps.weights, dtype)]
    return p.call("resample", [x, *tables], shape, dtype, axis=axis)
