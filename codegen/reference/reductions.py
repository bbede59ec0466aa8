"""What the reductions mean. Sums of narrow floats are taken in float64; an empty reduction gives the neutral value."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference, wide


def _axes(indices: Array, rank: int) -> tuple[int, ...]:
    """The axes to reduce over, counted from 0."""
    listed = [int(i) for i in np.atleast_1d(indices)]
    if any(not -rank <= i < rank for i in listed):
        invalid(f"Reduction indices {listed} are not all dimensions of a tensor of rank {rank}")
    axes = tuple(sorted({i % rank for i in listed}))
    if len(axes) != len(listed):
        invalid(f"Reduction indices {listed} name a dimension twice")
    return axes


def _options(op: ReferenceOp, x: Array, indices: Array) -> dict[str, Any]:
    return {"axis": _axes(indices, x.ndim), "keepdims": bool(op.attrs.get("keep_dims", False))}


@reference("Sum")
def _sum(op: ReferenceOp, x: Array, indices: Array) -> Array:
    x = wide(x)
    return np.asarray(np.sum(x, dtype=x.dtype, **_options(op, x, indices)))


@reference("Prod")
def _prod(op: ReferenceOp, x: Array, indices: Array) -> Array:
    x = wide(x)
    return np.asarray(np.prod(x, dtype=x.dtype, **_options(op, x, indices)))


@reference("Mean")
def _mean(op: ReferenceOp, x: Array, indices: Array) -> Array:
    """The sum by the number of elements. Integers: summed in int64, rounded towards zero. Of none: NaN or an error."""
    options = _options(op, x, indices)
    count = int(np.prod([x.shape[a] for a in options["axis"]], dtype=np.int64))
    if op.dtype.kind not in "iu":
        return np.asarray(np.sum(wide(x), dtype=wide(x).dtype, **options) / np.float64(count))
    total = np.asarray(np.sum(x, dtype=np.int64, **options))
    if count == 0 and total.size:
        invalid("Mean of no integers")
    return np.asarray(np.sign(total) * (np.abs(total) // max(count, 1)))


@reference("Max")
def _max(op: ReferenceOp, x: Array, indices: Array) -> Array:
    """The greatest element; NaN if there is one. Of no elements: -inf, or the least integer."""
    return np.asarray(np.max(x, initial=_limits(x)[0], **_options(op, x, indices)))


@reference("Min")
def _min(op: ReferenceOp, x: Array, indices: Array) -> Array:
    """The least element; NaN if there is one. Of no elements: inf, or the greatest integer."""
    return np.asarray(np.min(x, initial=_limits(x)[1], **_options(op, x, indices)))


def _limits(x: Array) -> tuple[Any, Any]:
    if x.dtype.kind in "iu":
        return np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
    return -np.inf, np.inf


@reference("All")
def _all(op: ReferenceOp, x: Array, indices: Array) -> Array:
    return np.asarray(np.all(x, **_options(op, x, indices)))


@reference("Any")
def _any(op: ReferenceOp, x: Array, indices: Array) -> Array:
    return np.asarray(np.any(x, **_options(op, x, indices)))


@reference("ArgMax", "ArgMin")
def _arg_extreme(op: ReferenceOp, x: Array, dimension: Array) -> Array:
    """The index of the greatest or least element along a dimension: the first of equal ones; NaN wins over all."""
    (axis,) = _axes(dimension, x.ndim)
    result_size = x.size if x.shape[axis] else int(np.prod([n for i, n in enumerate(x.shape) if i != axis]))
    if x.shape[axis] == 0:
        if result_size:
            invalid(f"Reduction axis {axis} is empty in shape {list(x.shape)}")
        return np.zeros([n for i, n in enumerate(x.shape) if i != axis], np.int64)
    return np.asarray(np.argmax(x, axis) if op.type == "ArgMax" else np.argmin(x, axis))


@reference("L2Loss")
def _l2_loss(op: ReferenceOp, x: Array) -> Array:
    """Half the sum of the squares."""
    return np.asarray(np.sum(np.square(wide(x))) / 2)
