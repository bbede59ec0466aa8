"""What the ops mean that find out how much they give, or where, from values."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.codegen.reference.arrays import check_indices
from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference, wide


@reference("Where")
def _where(op: ReferenceOp, x: Array) -> Array:
    return np.argwhere(x)


@reference("Unique")
def _unique(op: ReferenceOp, x: Array) -> list[Array]:
    """The elements in the order of their first occurrences; NaN differs from NaN."""
    firsts: list[int] = []
    numbers: dict[Any, int] = {}
    idx = np.zeros(x.size, np.int32)
    for i, value in enumerate(x.tolist()):
        known = numbers.get(value) if value == value else None
        if known is None:
            known = numbers[value] = len(firsts)
            firsts.append(i)
        idx[i] = known
    return [x[firsts], idx]


@reference("ListDiff")
def _list_difference(op: ReferenceOp, x: Array, y: Array) -> list[Array]:
    excluded = {value for value in y.tolist() if value == value}
    places = [i for i, value in enumerate(x.tolist()) if value not in excluded]
    return [x[places], np.array(places, np.int32)]


@reference("DynamicPartition")
def _dynamic_partition(op: ReferenceOp, data: Array, numbers: Array) -> list[Array]:
    count = op.attrs["num_partitions"]
    if data.shape[: numbers.ndim] != numbers.shape:
        invalid(f"data.shape must start with partitions.shape: {list(data.shape)}, {list(numbers.shape)}")
    check_indices(numbers, count, "partitions")
    return [np.asarray(data[numbers == number]) for number in range(count)]


@reference("DynamicStitch")
def _dynamic_stitch(op: ReferenceOp, *inputs: Array) -> Array:
    """Places that no index names are 0; of several rows for one, the last stays."""
    count = len(inputs) // 2
    indices, data = inputs[:count], inputs[count:]
    rows = max((int(i.max()) + 1 for i in indices if i.size), default=0)
    result = np.zeros((rows, *data[0].shape[indices[0].ndim :]), data[0].dtype)
    for places, values in zip(indices, data, strict=True):
        check_indices(places, rows, "indices")
        for place, row in zip(places.reshape(-1), values.reshape(places.size, *result.shape[1:]), strict=True):
            result[place] = row
    return result


@reference("ReverseSequence")
def _reverse_sequence(op: ReferenceOp, x: Array, lengths: Array) -> Array:
    sequence, batch = (int(op.attrs[name]) % x.ndim for name in ("seq_dim", "batch_dim"))
    result = np.moveaxis(x, (batch, sequence), (0, 1)).copy()
    for i, length in enumerate(lengths.tolist()):
        if not 0 <= length <= result.shape[1]:
            invalid(f"seq_lengths[{i}] = {length} is not in [0, {result.shape[1]}]")
        result[i, :length] = result[i, :length][::-1]
    return np.moveaxis(result, (0, 1), (batch, sequence))


@reference("Cumsum")
def _cumsum(op: ReferenceOp, x: Array, axis: Array) -> Array:
    """Sums of the elements up to each along an axis, with or without itself, or of those from it to the end."""
    step = -1 if op.attrs["reverse"] else 1
    sums = np.cumsum(np.moveaxis(wide(x), int(axis), 0)[::step], 0)
    if op.attrs["exclusive"]:
        sums = np.concatenate([np.zeros_like(sums[:1]), sums[:-1]])
    return np.moveaxis(sums[::step], 0, int(axis))
