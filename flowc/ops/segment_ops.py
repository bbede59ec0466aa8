"""Sums over groups of rows."""

from __future__ import annotations

from typing import Any

from flowc.framework.dtypes import INDEX, NUMERIC, int32
from flowc.framework.graph import Operation, Tensor
from flowc.framework.registry import ShapeContext, apply, define, gradient
from flowc.framework.shapes import TensorShape
from flowc.ops.slicing_ops import gather

__all__ = ["unsorted_segment_sum"]


def _unsorted_segment_shape(c: ShapeContext) -> list[TensorShape]:
    data, ids, _ = c.shapes
    if ids.ndims is None:
        return [TensorShape(None)]
    data.with_rank_at_least(ids.ndims)[: ids.ndims].assert_is_compatible_with(ids)
    count = c.value(2)
    return [TensorShape([None if count is None else int(count)]).concatenate(data[ids.ndims :])]


define(
    "UnsortedSegmentSum",
    shape=_unsorted_segment_shape,
    allowed=(NUMERIC, INDEX, frozenset((int32,))),
    inputs="data segment_ids num_segments",
)


def unsorted_segment_sum(data: Any, segment_ids: Any, num_segments: Any, name: str | None = None) -> Tensor:
    """Sums rows of `data` by segment: `output[s, ...] = sum of data[i..., ...] where segment_ids[i...] == s`.

    Args:
        data: a tensor of numbers, shape `segment_ids.shape + rest`.
        segment_ids: int32 or int64, each in `[0, num_segments)`, in any order.
        num_segments: an int32 scalar.
        name: the operation's name.

    Returns:
        A tensor of data's type and shape `[num_segments] + rest`; segments without rows are 0.

    Raises:
        InvalidArgumentError: when run, for an id out of range.
    """
    result: Tensor = apply("UnsortedSegmentSum", [data, segment_ids, num_segments], name=name)
    return result


@gradient("UnsortedSegmentSum")
def _unsorted_segment_sum_grad(op: Operation, grad: Tensor) -> list[Tensor | None]:
    return [gather(grad, op.inputs[1]), None, None]
