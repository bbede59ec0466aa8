"""Ops that make arrays of nothing, look at them differently, or put them together.

Reshapes, transposes, slices, splits, reversals and broadcasts are views: they cost nothing, or fuse into what reads
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import numpy as np

from flowc.codegen.ir import Node, Shape, access
from flowc.codegen.lower.common import dense, full, refuse_strings, stored
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.lower.state import scattered
from flowc.codegen.program import Program
from flowc.codegen.templates import params_of
from flowc.framework.constant_value import values_from_shapes
from flowc.framework.dtypes import int64

# -- arrays of nothing -------------------------------------------------------------------------------------------------


@lowering("Shape", "Size", "Rank", "BroadcastGradientAxes")
def from_shapes(p: Program, op: LoweredOp, *inputs: Node) -> Sequence[Node]:
    """What depends on the inputs' shapes only."""
    values = values_from_shapes(op.type, op.attrs, [x.shape for x in inputs])
    assert values is not None, f"{op.type} has no rule in flowc.framework.constant_value"
    return [p.const(value) for value in values]


@lowering("Fill")
def fill(p: Program, op: LoweredOp, dims: Node, value: Node) -> Node:
    return p.broadcast(value, op.shapes[0])


@lowering("BroadcastTo")
def broadcast_to(p: Program, op: LoweredOp, x: Node, shape: Node) -> Node:
    return p.broadcast(x, op.shapes[0])


@lowering("Range")
def range_(p: Program, op: LoweredOp, start: Node, limit: Node, delta: Node) -> Node:
    steps = p.map("mul", p.iota(op.shapes[0], 0, op.dtypes[0]), delta)
    return steps if op.values[0] is not None and op.values[0] == 0 else p.map("add", steps, start)


@lowering("LinSpace")
def linspace(p: Program, op: LoweredOp, start: Node, stop: Node, num: Node) -> Node:
    """start + i · step; the last value is `stop` itself, or `start` if it is the only one."""
    (count,), dtype = op.shapes[0], op.dtypes[0]
    if count == 1:
        return p.broadcast(start, (1,))
    step = p.map("div", p.map("sub", stop, start), p.scalar(count - 1, dtype))
    values = p.map("add", p.map("mul", p.iota((count,), 0, dtype), step), start)
    last = p.map("eq", p.iota((count,), 0), p.scalar(count - 1, int64))
    return p.map("select", last, stop, values)


# -- views -------------------------------------------------------------------------------------------------------------


@lowering("Reshape", "ExpandDims", "Squeeze")
def reshape(p: Program, op: LoweredOp, x: Node, *_: Node) -> Node:
    return p.reshape(x, op.shapes[0])


@lowering("Transpose")
def transpose(p: Program, op: LoweredOp, x: Node, perm: Node) -> Node:
    return p.transpose(x, op.known(1).tolist())


@lowering("Slice")
def slice_(p: Program, op: LoweredOp, x: Node, begin: Node, size: Node) -> Node:
    """A view; a copy where `begin` is only known when running."""
    if op.values[1] is not None:
        return _block(p, x, op.values[1].tolist(), op.shapes[0])
    refuse_strings(x.dtype, "Slice")
    return p.call("slice", [stored(p, x), dense(p, begin)], op.shapes[0], x.dtype)


@lowering("Split")
def split(p: Program, op: LoweredOp, axis: Node, x: Node) -> Sequence[Node]:
    at = int(op.known(0)) % len(x.shape)
    starts = accumulate((shape[at] for shape in op.shapes), initial=0)
    return [_part(p, x, at, start, shape) for start, shape in zip(starts, op.shapes, strict=False)]


def _part(p: Program, x: Node, axis: int, start: int, shape: Shape) -> Node:
    return _block(p, x, [start if a == axis else 0 for a in range(len(shape))], shape)


def _block(p: Program, x: Node, begin: Sequence[int], size: Shape) -> Node:
    """The block of `size` that starts at `begin`: of arrays that were joined, taken from the one that it lies in."""
    if x.op == "call" and x.attr[0] == "concat":
        axis, start = params_of(x)["axis"], 0
        for part in x.args:
            end = start + part.shape[axis]
            if start <= begin[axis] and begin[axis] + size[axis] <= end:
                return _block(p, part, [b - start if a == axis else b for a, b in enumerate(begin)], size)
            start = end
    return p.slice(x, begin, size)


@lowering("Unpack")
def unpack(p: Program, op: LoweredOp, x: Node) -> Sequence[Node]:
    return [p.reshape(_part(p, x, 0, i, (1, *shape)), shape) for i, shape in enumerate(op.shapes)]


@lowering("Reverse")
def reverse(p: Program, op: LoweredOp, x: Node, dims: Node) -> Node:
    return p.reverse(x, np.flatnonzero(op.known(1)).tolist())


@lowering("Tile")
def tile(p: Program, op: LoweredOp, x: Node, multiples: Node) -> Node:
    """Every dimension becomes two, [times, size]; the first only repeats."""
    times = op.known(1).tolist()
    interleaved = [n for size in x.shape for n in (1, size)]
    repeated = tuple(n for count, size in zip(times, x.shape, strict=True) for n in (count, size))
    return p.reshape(p.broadcast(p.reshape(x, interleaved), repeated), op.shapes[0])


@lowering("Diag")
def diag(p: Program, op: LoweredOp, x: Node) -> Node:
    """In a matrix: the elements as a column, where row and column are the same."""
    square = (x.size, x.size)
    same = p.map("eq", p.iota(square, 0), p.iota(square, 1))
    column = p.reshape(x, (x.size, 1))
    return p.reshape(p.map("select", same, column, p.scalar(0, x.dtype)), op.shapes[0])


@lowering("DiagPart")
def diag_part(p: Program, op: LoweredOp, x: Node) -> Node:
    """Every size + 1st element of a matrix."""
    size = prod(op.shapes[0])
    _, offset, (down, across) = access(p.reshape(x, (size, size)))
    return p.reshape(p.view(p.reshape(x, (size, size)), (size,), offset, (down + across,)), op.shapes[0])


# -- copies ------------------------------------------------------------------------------------------------------------


@lowering("Pad")
def pad(p: Program, op: LoweredOp, x: Node, paddings: Node) -> Node:
    before = op.known(1)[:, 0].tolist()
    if x.shape == op.shapes[0]:
        return x
    if not x.size:
        return full(p, op.shapes[0], 0, x.dtype)
    return p.call("pad", [stored(p, x)], op.shapes[0], x.dtype, before=tuple(before))


@lowering("Concat")
def concat(p: Program, op: LoweredOp, axis: Node, *values: Node) -> Node:
    refuse_strings(op.dtypes[0], "Concat")
    at = int(op.known(0)) % len(op.shapes[0])
    if 0 in op.shapes[0]:
        return full(p, op.shapes[0], 0, op.dtypes[0])
    return joined(p, [x for x in values if x.size], at)


@lowering("Pack")
def pack(p: Program, op: LoweredOp, *values: Node) -> Node:
    refuse_strings(op.dtypes[0], "Pack")
    return joined(p, [p.reshape(x, (1, *x.shape)) for x in values], 0)


def joined(p: Program, values: Sequence[Node], axis: int) -> Node:
    """Arrays one behind the other along `axis`; they agree in all other sizes."""
    first = values[0]
    if len(values) == 1:
        return first
    shape = *first.shape[:axis], sum(x.shape[axis] for x in values), *first.shape[axis + 1 :]
    return p.call("concat", [stored(p, x) for x in values], shape, first.dtype, axis=axis)


@lowering("Gather")
def gather(p: Program, op: LoweredOp, table: Node, indices: Node) -> Node:
    refuse_strings(table.dtype, "Gather")
    return p.call("gather", [dense(p, table), dense(p, indices)], op.shapes[0], table.dtype)


@lowering("UnsortedSegmentSum")
def unsorted_segment_sum(p: Program, op: LoweredOp, data: Node, ids: Node, count: Node) -> Node:
    """Rows of `data` added to the rows of zeros that their ids name."""
    return scattered(p, "scatter_add", full(p, op.shapes[0], 0, data.dtype), ids, data, "segment_ids")


@lowering("InvertPermutation")
def invert_permutation(p: Program, op: LoweredOp, x: Node) -> Node:
    """0 … n-1, each put where `x` says."""
    return p.call("invert_permutation", [dense(p, x)], x.shape, x.dtype)
