"""Ops that find out how much they give, or where, from values: where, unique, listdiff, partitions, sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowc.codegen.ir import Array, Node, Shape
from flowc.codegen.kernels.selections import result_size, table_size, true_blocks
from flowc.codegen.lower.common import dense, full, invalid
from flowc.codegen.lower.registry import LoweredOp, bounded, lowering, sized
from flowc.codegen.lower.state import scattered
from flowc.codegen.program import Program
from flowc.framework.dtypes import int32, int64

Found = Sequence[tuple[Node, Node | None]]


def _part(p: Program, vector: Node, start: int, size: int) -> Node:
    return p.slice(vector, [start], [size])


def _element(p: Program, vector: Node, index: int) -> Node:
    return p.reshape(_part(p, vector, index, 1), ())


# -- where -------------------------------------------------------------------------------------------------------------


@bounded("Where")
def where(p: Program, op: LoweredOp, x: Node) -> Found:
    rank = len(x.shape)
    if rank == 0:
        return [(full(p, (1, 0), 0, int64), p.cast(x, int64))]
    if not x.size:
        return [(full(p, (0, rank), 0, int64), None)]
    shape = result_size(x.size * rank, 0, true_blocks(x.size)[0])
    found = p.call("true_positions", [dense(p, x)], shape, int64)
    coordinates = p.reshape(_part(p, found, 0, x.size * rank), (x.size, rank))
    return [(coordinates, _element(p, found, x.size * rank))]


# -- sets --------------------------------------------------------------------------------------------------------------


@bounded("Unique")
def unique(p: Program, op: LoweredOp, x: Node) -> Found:
    n = x.size
    if not n:
        return [(x, None), (full(p, (0,), 0, int32), None)]
    x = dense(p, x)
    found = p.call("unique_positions", [x], result_size(n, n, table_size(n)), int64)
    firsts, numbers = _part(p, found, 0, n), _part(p, found, n, n)
    values = p.call("gather", [x, firsts], (n,), x.dtype)
    return [(values, _element(p, found, 2 * n)), (p.cast(numbers, int32), None)]


@bounded("ListDiff")
def list_difference(p: Program, op: LoweredOp, x: Node, y: Node) -> Found:
    n = x.size
    if not n:
        return [(x, None), (full(p, (0,), 0, int32), None)]
    x = dense(p, x)
    found = p.call("difference_positions", [x, dense(p, y)], result_size(n, 0, table_size(y.size)), int64)
    places, count = _part(p, found, 0, n), _element(p, found, n)
    values = p.call("gather", [x, places], (n,), x.dtype)
    return [(values, count), (p.cast(places, int32), count)]


# -- partitions --------------------------------------------------------------------------------------------------------


@bounded("DynamicPartition")
def dynamic_partition(p: Program, op: LoweredOp, data: Node, numbers: Node) -> Found:
    """The rows are sorted once; each partition is then a part of that order."""
    if data.shape[: len(numbers.shape)] != numbers.shape:
        raise invalid(f"data.shape must start with partitions.shape: {list(data.shape)}, {list(numbers.shape)}")
    n, parts = numbers.size, op.attrs["num_partitions"]
    row = data.shape[len(numbers.shape) :]
    if not n:
        return [(full(p, (0, *row), 0, data.dtype), None)] * parts
    data = dense(p, data)
    order = p.call("partition_order", [dense(p, numbers)], result_size(n, parts, 0), int64)
    rows = [p.call("partition_rows", [data, order], (n, *row), data.dtype, number=i) for i in range(parts)]
    return [(rows[i], p.map("sub", _element(p, order, n + i + 1), _element(p, order, n + i))) for i in range(parts)]


@sized("DynamicStitch", inputs=lambda attrs: tuple(range(attrs["N"])))
def _stitched_sizes(attrs: Mapping[str, Any], shapes: Sequence[Shape], values: Mapping[int, Array]) -> Sequence[Shape]:
    row = shapes[attrs["N"]][len(shapes[0]) :]
    return [(max((int(v.max()) + 1 for v in values.values() if v.size), default=0), *row)]


@lowering("DynamicStitch")
def dynamic_stitch(p: Program, op: LoweredOp, *inputs: Node) -> Node:
    """Rows of one tensor after the other scattered, so that later ones stay."""
    count, shape = len(inputs) // 2, op.shapes[0]
    result = full(p, shape, 0, op.dtypes[0])
    for indices, data in zip(inputs[:count], inputs[count:], strict=True):
        if data.shape != (*indices.shape, *shape[1:]):
            raise invalid(f"data.shape must start with indices.shape: {list(data.shape)}, {list(indices.shape)}")
        if data.size:
            result = scattered(p, "scatter_update", result, indices, data)
    return result


# -- sequences ---------------------------------------------------------------------------------------------------------


@lowering("ReverseSequence")
def reverse_sequence(p: Program, op: LoweredOp, x: Node, lengths: Node) -> Node:
    sequence, batch = (int(op.attrs[name]) % len(x.shape) for name in ("seq_dim", "batch_dim"))
    if not x.size:
        return x
    args = [dense(p, x), dense(p, lengths)]
    return p.call("reverse_sequence", args, x.shape, x.dtype, sequence=sequence, batch=batch)


@lowering("Cumsum")
def cumsum(p: Program, op: LoweredOp, x: Node, axis: Node) -> Node:
    if not x.size:
        return x
    at = int(op.known(1)) % len(x.shape)
    exclusive, backwards = (bool(op.attrs[name]) for name in ("exclusive", "reverse"))
    return p.call("cumsum", [dense(p, x)], x.shape, x.dtype, axis=at, exclusive=exclusive, backwards=backwards)
