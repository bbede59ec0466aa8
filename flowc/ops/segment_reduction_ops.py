"""Reductions of groups of rows, named by sorted ids: sum, mean, prod, min, max; sums of rows picked by index.

The ids are consecutive: they start at 0, and each is its predecessor or one more. Others fail the run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.framework.building import apply
from flowc.framework.convert import constant
from flowc.framework.dtypes import INDEX, NUMERIC, ORDERED, REAL, int32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape
from flowc.ops.array_ops import cast, ones_like, rank, reshape, shape, zeros_like
from flowc.ops.joining_ops import concat
from flowc.ops.logic_ops import equal, select
from flowc.ops.segment_ops import unsorted_segment_sum
from flowc.ops.slicing_ops import gather, slice

__all__ = [
    "segment_max",
    "segment_mean",
    "segment_min",
    "segment_prod",
    "segment_sum",
    "sparse_segment_mean",
    "sparse_segment_sum",
]


_TYPES = "T Tindices"


def _segments(ctx: ShapeContext, ids: int) -> Shapes:
    """As many rows as the last of the sorted ids tells, where they are known."""
    rows = ctx.shapes[0].with_rank_at_least(1)
    ctx.shapes[ids].assert_has_rank(1)
    known = ctx.value(ids)
    count = None if known is None else int(known[-1]) + 1 if known.size else 0
    return (TensorShape([None if count is None or count < 0 else count]).concatenate(rows[1:]),)


def _segment_shape(ctx: ShapeContext) -> Shapes:
    return _segments(ctx, 1)


# -- sum and mean ------------------------------------------------------------------------------------------------------

define("SegmentSum", shape=_segment_shape, allowed=(NUMERIC, INDEX), inputs="data segment_ids", type_attrs=_TYPES)


def segment_sum(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """Sums rows of `data` by segment: `output[s] = sum of data[i] where segment_ids[i] == s`.

    Args:
        data: a tensor of rank 1 or more.
        segment_ids: int32 or int64, one a row of data, sorted and consecutive from 0 on.
        name: the operation's name.

    Returns:
        A tensor of data's type; its first dimension is the number of segments, the others are those of data.

    Raises:
        InvalidArgumentError: when run, for ids that are not sorted and consecutive, or not as many as rows.
    """
    return apply("SegmentSum", [data, segment_ids], name=name)


@gradient("SegmentSum")
def _segment_sum_grad(op: Any, grad: Any) -> Any:
    return gather(grad, op.inputs[1]), None


define("SegmentMean", shape=_segment_shape, allowed=(ORDERED, INDEX), inputs="data segment_ids", type_attrs=_TYPES)


def segment_mean(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """The means of the rows of `data` in each segment; of ints truncated towards zero. Else as `segment_sum`."""
    return apply("SegmentMean", [data, segment_ids], name=name)


@gradient("SegmentMean")
def _segment_mean_grad(op: Any, grad: Any) -> Any:
    ids = op.inputs[1]
    counts = gather(segment_sum(ones_like(ids, grad.dtype), ids), ids)
    return gather(grad, ids) / _as_rows(counts, grad), None


def _as_rows(vector: Tensor, like: Tensor) -> Tensor:
    """A vector as a tensor of the rank of `like`, with one element a row."""
    ndims = like.get_shape().ndims
    if ndims is not None:
        return reshape(vector, [-1] + [1] * (ndims - 1))
    ones = apply("Fill", [apply("ExpandDims", [rank(like) - 1, 0]), np.int32(1)])
    return reshape(vector, concat(0, [constant([-1], int32), ones]))


# -- product -----------------------------------------------------------------------------------------------------------

define("SegmentProd", shape=_segment_shape, allowed=(ORDERED, INDEX), inputs="data segment_ids", type_attrs=_TYPES)


def segment_prod(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """The products of the rows of `data` in each segment. Else as `segment_sum`."""
    return apply("SegmentProd", [data, segment_ids], name=name)


@gradient("SegmentProd")
def _segment_prod_grad(op: Any, grad: Any) -> Any:
    """Each element's factor is the product of the others in its segment: 0 where another one is 0."""
    data, ids = op.inputs
    is_zero = equal(data, zeros_like(data))
    others = select(is_zero, ones_like(data), data)
    zeros = cast(is_zero, data.dtype)
    other_zeros = gather(segment_sum(zeros, ids), ids) - zeros
    product = gather(segment_prod(others, ids), ids) / others
    factor = select(equal(other_zeros, zeros_like(data)), product, zeros_like(data))
    return gather(grad, ids) * factor, None


# -- extremes ----------------------------------------------------------------------------------------------------------

define("SegmentMin", shape=_segment_shape, allowed=(ORDERED, INDEX), inputs="data segment_ids", type_attrs=_TYPES)


def segment_min(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """The least elements, place by place, of the rows of `data` in each segment. Else as `segment_sum`."""
    return apply("SegmentMin", [data, segment_ids], name=name)


define("SegmentMax", shape=_segment_shape, allowed=(ORDERED, INDEX), inputs="data segment_ids", type_attrs=_TYPES)


def segment_max(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """The greatest elements, place by place, of the rows of `data` in each segment. Else as `segment_sum`."""
    return apply("SegmentMax", [data, segment_ids], name=name)


@gradient("SegmentMin", "SegmentMax")
def _segment_extreme_grad(op: Any, grad: Any) -> Any:
    """The gradient goes to the elements that are the extreme one, in equal parts where several are."""
    data, ids = op.inputs
    hits = equal(data, gather(op.outputs[0], ids))
    shares = grad / segment_sum(cast(hits, grad.dtype), ids)
    return select(hits, gather(shares, ids), zeros_like(data)), None


# -- of rows picked by index -------------------------------------------------------------------------------------------


def _sparse_segment_shape(ctx: ShapeContext) -> Shapes:
    _, indices, ids = ctx.shapes
    indices.with_rank(1).assert_is_compatible_with(ids.with_rank(1))
    return _segments(ctx, 2)


define(
    "SparseSegmentSum",
    shape=_sparse_segment_shape,
    allowed=(ORDERED, INDEX, INDEX),
    inputs="data indices segment_ids",
)


def sparse_segment_sum(data: Any, indices: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """`segment_sum(gather(data, indices), segment_ids)`, without the gathered rows in memory.

    Args:
        data: a tensor of rank 1 or more.
        indices: an int vector: rows of data.
        segment_ids: an int vector of as many elements, sorted and consecutive from 0 on.
        name: the operation's name.

    Raises:
        InvalidArgumentError: when run, for an index out of range, or ids that are not sorted and consecutive.
    """
    return apply("SparseSegmentSum", [data, indices, segment_ids], name=name)


@gradient("SparseSegmentSum")
def _sparse_segment_sum_grad(op: Any, grad: Any) -> Any:
    data, indices, ids = op.inputs
    return unsorted_segment_sum(gather(grad, ids), indices, _row_count(data)), None, None


def _row_count(data: Tensor) -> Any:
    """The size of the first dimension, for use as an int32 scalar input."""
    sizes = data.get_shape().with_rank_at_least(1)
    if sizes[0].value is not None:
        return constant(sizes[0].value, int32)
    return apply("Squeeze", [slice(shape(data), [0], [1])], {"squeeze_dims": [0]})


define(
    "SparseSegmentMean",
    shape=_sparse_segment_shape,
    allowed=(REAL, INDEX, INDEX),
    inputs="data indices segment_ids",
)


def sparse_segment_mean(data: Any, indices: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """`segment_mean(gather(data, indices), segment_ids)` of floats. Else as `sparse_segment_sum`."""
    return apply("SparseSegmentMean", [data, indices, segment_ids], name=name)


@gradient("SparseSegmentMean")
def _sparse_segment_mean_grad(op: Any, grad: Any) -> Any:
    data, indices, ids = op.inputs
    return apply("SparseSegmentMeanGrad", [grad, indices, ids, _row_count(data)]), None, None


def _mean_grad_shape(ctx: ShapeContext) -> Shapes:
    grad, indices, ids, _ = ctx.shapes
    indices.with_rank(1).assert_is_compatible_with(ids.with_rank(1))
    rows = ctx.value(3)
    return (TensorShape([None if rows is None else int(rows)]).concatenate(grad.with_rank_at_least(1)[1:]),)


define(
    "SparseSegmentMeanGrad",
    shape=_mean_grad_shape,
    allowed=(REAL, INDEX, INDEX, frozenset((int32,))),
    inputs="grad indices segment_ids output_dim0",
)


@gradient("SparseSegmentMeanGrad")
def _sparse_segment_mean_grad_grad(op: Any, grad: Any) -> Any:
    _, indices, ids, _ = op.inputs
    return sparse_segment_mean(grad, indices, ids), None, None, None
