"""Sums over groups of rows, which is also what a sparse gradient is when it is made dense."""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

from flowc.framework.building import apply
from flowc.framework.constant_value import constant_value
from flowc.framework.convert import register_tensor_conversion_function
from flowc.framework.dtypes import INDEX, NUMERIC, DType, int32
from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shapes import TensorShape
from flowc.ops.array_ops import squeeze
from flowc.ops.slicing_ops import gather, slice

__all__ = ["unsorted_segment_sum"]

_LARGE = 100_000_000  # elements of a dense tensor that are worth a warning


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
    type_attrs="T Tindices -",
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
    return apply("UnsortedSegmentSum", [data, segment_ids, num_segments], name=name)


@gradient("UnsortedSegmentSum")
def _unsorted_segment_sum_grad(op: Operation, grad: Tensor) -> list[Tensor | None]:
    return [gather(grad, op.inputs[1]), None, None]


# -- sparse gradients made dense ---------------------------------------------------------------------------------------


def _to_dense(value: Any, dtype: DType | None, name: str | None, as_ref: bool) -> Tensor:
    """An IndexedSlices where a dense tensor is expected: its rows, summed where an index repeats."""
    slices: IndexedSlices = value
    if slices.dense_shape is None:
        raise ValueError(f"Tensor conversion requested for IndexedSlices without dense_shape: {slices!r}")
    shape = constant_value(slices.dense_shape)
    if shape is None:
        rows: Any = squeeze(slice(slices.dense_shape, [0], [1]), [0])
    else:
        _warn_if_large(shape.tolist())
        rows = int(shape[0])
    return unsorted_segment_sum(slices.values, slices.indices, rows, name=name)


def _warn_if_large(sizes: list[int]) -> None:
    elements = prod(sizes)
    if elements >= _LARGE:
        warnings.warn(
            f"Converting sparse IndexedSlices to a dense Tensor with {elements} elements. This may use much memory.",
            stacklevel=2,
        )


register_tensor_conversion_function(IndexedSlices, _to_dense)
