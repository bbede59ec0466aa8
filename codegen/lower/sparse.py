"""Sparse tensors: made dense, sorted, joined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import dense, full, invalid, stored, token, whole
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import int64


@lowering("SparseToDense")
def sparse_to_dense(p: Program, op: LoweredOp, indices: Node, _: Node, values: Node, default: Node) -> Node:
    """An array of the default, written into."""
    indices = _as_matrix(p, indices)
    count, rank = indices.shape
    shape = op.shapes[0]
    if values.shape not in ((), (count,)):
        raise invalid(f"sparse_values has incorrect shape {_shown(values.shape)}, should be [] or [{count}]")
    if default.shape:
        raise invalid("default_value should be a scalar.")
    if len(shape) != rank:
        raise invalid(f"output_shape has incorrect number of elements: {len(shape)} should be: {rank}")
    filled = p.broadcast(default, shape)
    if not count:
        return filled
    return p.call("scatter_elements", [whole(p, filled), indices, values], shape, values.dtype)


def _as_matrix(p: Program, indices: Node) -> Node:
    """One row an index."""
    if len(indices.shape) > 2:
        raise invalid(f"sparse_indices should be a scalar, vector, or matrix, got shape {_shown(indices.shape)}")
    return indices if len(indices.shape) == 2 else p.reshape(indices, (indices.size, 1))


def _shown(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


@lowering("SparseReorder")
def sparse_reorder(p: Program, op: LoweredOp, indices: Node, values: Node, shape: Node) -> Sequence[Node]:
    return sorted_by_index(p, indices, values)


def sorted_by_index(p: Program, indices: Node, values: Node) -> Sequence[Node]:
    """Indices in row-major order, and the values that belong to them."""
    count = indices.shape[0]
    if count < 2:
        return indices, values
    orders = p.call("lexicographic_order", [indices], (2, count), int64)
    order = dense(p, p.reshape(p.slice(orders, [0, 0], [1, count]), (count,)))
    return [p.call("gather", [dense(p, x), order], x.shape, x.dtype) for x in (indices, values)]


@lowering("SparseConcat")
def sparse_concat(p: Program, op: LoweredOp, *inputs: Node) -> Sequence[Node]:
    """The elements of all, their indices moved by what comes before them, in order."""
    number = len(inputs) // 3
    indices, values, shapes = (inputs[i * number : (i + 1) * number] for i in range(3))
    (rank,) = op.shapes[2]
    joined = p.const(np.arange(rank) == op.attrs["concat_dim"])
    zero = full(p, (rank,), 0, int64)
    offset = zero
    for shape in shapes[1:]:
        offset = p.map("add", offset, _agreement(p, shapes[0], shape, joined))
    moved = []
    for part, shape in zip(indices, shapes, strict=True):
        moved.append(p.map("add", part, offset))
        offset = p.map("add", offset, p.map("select", joined, shape, zero))
    all_indices, all_values = _joined(p, moved), _joined(p, values)
    return [*sorted_by_index(p, all_indices, all_values), p.map("select", joined, offset, shapes[0])]


def _agreement(p: Program, first: Node, shape: Node, joined: Node) -> Node:
    """The token that says that two shapes are the same but for the dimension that is joined."""
    same = p.cast(p.map("or", joined, p.map("eq", first, shape)), int64)
    return token(p, "check_nonzero", same, "Input shapes must match but for the dimension that is joined")


def _joined(p: Program, parts: Sequence[Node]) -> Node:
    """One below the other."""
    some = [part for part in parts if part.size] or [parts[0]]
    if len(some) == 1:
        return some[0]
    shape = (sum(part.shape[0] for part in some), *some[0].shape[1:])
    return p.call("concat", [stored(p, part) for part in some], shape, some[0].dtype, axis=0)
