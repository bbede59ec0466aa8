"""Reductions of rows by sorted segment ids. Float16 is reduced in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flowc.codegen.ir import Array, Node, Shape
from flowc.codegen.lower.common import dense, full, in_float32, invalid
from flowc.codegen.lower.registry import LoweredOp, lowering, sized
from flowc.codegen.lower.state import scattered
from flowc.codegen.program import Program
from flowc.framework.dtypes import int64

KINDS: Final = {
    "SegmentMax": "max",
    "SegmentMin": "min",
    "SegmentProd": "prod",
    "SegmentSum": "sum",
    "SparseSegmentSum": "sum",
}


@sized("SegmentMax", "SegmentMean", "SegmentMin", "SegmentProd", "SegmentSum", inputs=(1,))
def _segment_sizes(attrs: Mapping[str, Any], shapes: Sequence[Shape], values: Mapping[int, Array]) -> Sequence[Shape]:
    return [(_segment_count(values[1]), *shapes[0][1:])]


@sized("SparseSegmentMean", "SparseSegmentSum", inputs=(2,))
def _sparse_sizes(attrs: Mapping[str, Any], shapes: Sequence[Shape], values: Mapping[int, Array]) -> Sequence[Shape]:
    return [(_segment_count(values[2]), *shapes[0][1:])]


def _segment_count(ids: Array) -> int:
    """One more than the last id, which is the greatest if they are sorted."""
    count = int(ids[-1]) + 1 if ids.size else 0
    if count < 0 or (ids.size and not count):
        raise invalid("segment ids must be >= 0")
    if count > ids.size:
        raise invalid("segment ids are not increasing by 1" if ids[0] == 0 else "segment ids do not start at 0")
    return count


@lowering(*KINDS)
def segment_reduction(p: Program, op: LoweredOp, data: Node, *ids: Node) -> Node:
    return in_float32(p, lambda wide: _reduced(p, KINDS[op.type], op.shapes[0], wide, *ids), data)


@lowering("SegmentMean", "SparseSegmentMean")
def segment_mean(p: Program, op: LoweredOp, data: Node, *ids: Node) -> Node:
    """The sum by the number of rows. Of integers: summed in int64, truncated."""
    compute: Callable[[Node], Node] = lambda wide: _mean(p, op.shapes[0], wide, *ids)  # noqa: E731
    if data.dtype.is_integer:
        return p.cast(compute(p.cast(data, int64)), data.dtype)
    return in_float32(p, compute, data)


def _mean(p: Program, shape: Shape, data: Node, *ids: Node) -> Node:
    total = _reduced(p, "sum", shape, data, *ids)
    if not total.size:
        return total
    starts = _starts(p, ids[-1], shape[0])
    counts = p.map("sub", p.slice(starts, [1], [shape[0]]), p.slice(starts, [0], [shape[0]]))
    return p.map("div", total, p.reshape(p.cast(counts, total.dtype), _column(shape)))


def _column(shape: Shape) -> Shape:
    """The shape of one value a row."""
    return (shape[0], *(1 for _ in shape[1:]))


def _reduced(p: Program, kind: str, shape: Shape, data: Node, *ids: Node) -> Node:
    """`data` (its rows that `ids[0]` name, if there are two) reduced by the segments of `ids[-1]`."""
    rows = data.shape[0] if len(ids) == 1 else ids[0].size
    if rows != ids[-1].size:
        what = "dimension 0 of input" if len(ids) == 1 else "indices"
        raise invalid(f"segment_ids should be the same size as {what}.")
    if 0 in shape:
        return full(p, shape, 0, data.dtype)
    if not data.size:
        raise invalid(f"indices of rows of an empty tensor, of shape {list(data.shape)}")
    starts = _starts(p, ids[-1], shape[0])
    picked = [dense(p, indices) for indices in ids[:-1]]
    return p.call("segment_reduce", [dense(p, data), starts, *picked], shape, data.dtype, kind=kind)


def _starts(p: Program, ids: Node, segments: int) -> Node:
    return p.call("segment_starts", [dense(p, ids)], (segments + 1,), int64)


@lowering("SparseSegmentMeanGrad")
def sparse_segment_mean_grad(p: Program, op: LoweredOp, grad: Node, indices: Node, ids: Node, rows: Node) -> Node:
    """Each segment's gradient, by its number of rows, added to each of the rows that it was the mean of."""
    return in_float32(p, lambda wide: _mean_grad(p, op.shapes[0], wide, indices, ids), grad)


def _mean_grad(p: Program, shape: Shape, grad: Node, indices: Node, ids: Node) -> Node:
    zeros = full(p, shape, 0, grad.dtype)
    if 0 in (zeros.size, grad.size, ids.size):
        return zeros
    none, ones = (full(p, sizes, value, grad.dtype) for sizes, value in ((grad.shape[:1], 0), (ids.shape, 1)))
    counts = p.map("maximum", scattered(p, "scatter_add", none, ids, ones, "segment_ids"), p.scalar(1, grad.dtype))
    shares = p.map("div", grad, p.reshape(counts, _column(grad.shape)))
    each = p.call("gather", [shares, dense(p, ids)], (*ids.shape, *grad.shape[1:]), grad.dtype)
    return scattered(p, "scatter_add", zeros, indices, each)
