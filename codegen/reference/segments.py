"""What the reductions by segment mean. Sums and products of narrow floats are taken in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from flowc.codegen.reference.arrays import check_indices
from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference, wide


def _check_ids(ids: Array, rows: int) -> None:
    """InvalidArgumentError unless there is one id a row, and they are 0, …, 0, 1, …, 1, 2, …"""
    if ids.size != rows:
        invalid("segment_ids should be the same size as dimension 0 of input.")
    segments = int(ids[-1]) + 1 if ids.size else 0
    if ids.size and segments <= 0:
        invalid("segment ids must be >= 0")
    if ids.size and ids[0] != 0:
        invalid("segment ids do not start at 0")
    for before, here in itertools.pairwise(ids.tolist()):
        if here not in (before, before + 1):
            invalid("segment ids are not increasing by 1")
        if here >= segments:
            where = f"out of range [0, {segments}), probably because 'segment_ids' input is not sorted."
            invalid(f"Segment id {here} {where}")


def _segments(rows: Array, ids: Array) -> list[Array]:
    _check_ids(ids, len(rows))
    return np.split(rows, np.flatnonzero(np.diff(ids)) + 1) if ids.size else []


def _mean(rows: Array, axis: int) -> Array:
    """Of integers: summed in int64, truncated towards zero."""
    if rows.dtype.kind not in "iu":
        return np.asarray(np.mean(rows, axis))
    total = np.sum(rows, axis, dtype=np.int64)
    return np.asarray(np.sign(total) * (np.abs(total) // len(rows)))


def _sum(rows: Array, axis: int) -> Array:
    return np.asarray(np.sum(rows, axis, dtype=rows.dtype))


def _prod(rows: Array, axis: int) -> Array:
    return np.asarray(np.prod(rows, axis, dtype=rows.dtype))


_REDUCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "SegmentMax": np.max,
    "SegmentMean": _mean,
    "SegmentMin": np.min,
    "SegmentProd": _prod,
    "SegmentSum": _sum,
}


@reference(*_REDUCTIONS)
def _segment_reduction(op: ReferenceOp, data: Array, ids: Array) -> Array:
    return _reduced(op.type, wide(data), ids)


@reference("SparseSegmentSum", "SparseSegmentMean")
def _sparse_segment_reduction(op: ReferenceOp, data: Array, indices: Array, ids: Array) -> Array:
    for i in np.flatnonzero((indices < 0) | (indices >= len(data))):
        invalid(f"indices[{i}] == {indices[i]} out of range [0, {len(data)})")
    return _reduced(op.type.removeprefix("Sparse"), wide(data[indices]), ids)


def _reduced(op_type: str, rows: Array, ids: Array) -> Array:
    segments = _segments(rows, ids)
    reduced = [_REDUCTIONS[op_type](segment, axis=0) for segment in segments]
    return np.stack(reduced) if reduced else np.zeros((0, *rows.shape[1:]), rows.dtype)


@reference("SparseSegmentMeanGrad")
def _sparse_segment_mean_grad(op: ReferenceOp, grad: Array, indices: Array, ids: Array, rows: Array) -> Array:
    check_indices(ids, len(grad), "segment_ids")
    check_indices(indices, int(rows), "indices")
    result = np.zeros((int(rows), *grad.shape[1:]), wide(grad).dtype)
    counts = np.bincount(ids, minlength=len(grad)).reshape(-1, *[1] * (grad.ndim - 1))
    np.add.at(result, indices, (wide(grad) / np.maximum(counts, 1))[ids])
    return result
