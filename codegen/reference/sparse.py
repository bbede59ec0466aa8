"""What the ops on sparse tensors mean."""

from __future__ import annotations

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference


@reference("SparseToDense")
def _sparse_to_dense(op: ReferenceOp, indices: Array, shape: Array, values: Array, default: Array) -> Array:
    if indices.ndim > 2:
        invalid(f"sparse_indices should be a scalar, vector, or matrix, got shape {_shown(indices)}")
    rows = indices.reshape(-1, 1) if indices.ndim < 2 else indices
    count, rank = rows.shape
    if values.shape not in ((), (count,)):
        invalid(f"sparse_values has incorrect shape {_shown(values)}, should be [] or [{count}]")
    if default.shape:
        invalid("default_value should be a scalar.")
    if len(shape) != rank:
        invalid(f"output_shape has incorrect number of elements: {len(shape)} should be: {rank}")
    dense = np.full(tuple(shape), default[()], values.dtype)
    for i, row in enumerate(rows):
        if (row < 0).any() or (row >= shape).any():
            d = int(np.argmax((row < 0) | (row >= shape)))
            invalid(f"Indices are not valid (out of bounds): index {i} has {row[d]} in a dimension of size {shape[d]}")
        dense[tuple(row)] = values[i] if values.shape else values[()]
    return dense


def _shown(x: Array) -> str:
    return "[" + ",".join(map(str, x.shape)) + "]"


@reference("SparseReorder")
def _sparse_reorder(op: ReferenceOp, indices: Array, values: Array, shape: Array) -> list[Array]:
    order = _order(indices)
    return [indices[order], values[order]]


def _order(indices: Array) -> Array:
    """Row-major; equal indices stay as they are."""
    return np.lexsort(indices.T[::-1]) if indices.shape[1] else np.arange(len(indices))


@reference("SparseConcat")
def _sparse_concat(op: ReferenceOp, *inputs: Array) -> list[Array]:
    number = len(inputs) // 3
    indices, values, shapes = (inputs[i * number : (i + 1) * number] for i in range(3))
    joined = np.arange(len(shapes[0])) == op.attrs["concat_dim"]
    if any((shape != shapes[0])[~joined].any() for shape in shapes):
        invalid("Input shapes must match but for the dimension that is joined")
    offsets = np.cumsum([0 * shapes[0], *shapes], axis=0) * joined
    places = np.concatenate([part + offset for part, offset in zip(indices, offsets[:-1], strict=True)])
    order = _order(places)
    return [places[order], np.concatenate(values)[order], np.where(joined, offsets[-1], shapes[0])]
