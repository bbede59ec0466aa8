"""Rows dealt out to several tensors by number, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowc.framework.building import apply, apply_list
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ANY, int32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.framework.shapes import TensorShape
from flowc.ops.array_ops import reshape, shape, shape_of, size, zeros_like
from flowc.ops.slicing_ops import gather

__all__ = ["dynamic_partition", "dynamic_stitch"]

_INT32 = frozenset((int32,))

# -- partition ---------------------------------------------------------------------------------------------------------


def _row_shape(data: TensorShape, numbers: TensorShape) -> TensorShape | None:
    """The shape of a row: what is left of that of `data` after that of `numbers`; None if not even its rank is known.

    Raises ValueError unless the shape of data starts with that of the numbers.
    """
    if numbers.ndims is None or data.ndims is None:
        return None
    data.with_rank_at_least(numbers.ndims)[: numbers.ndims].assert_is_compatible_with(numbers)
    return TensorShape(data[numbers.ndims :])


def _partition_shapes(ctx: ShapeContext) -> Shapes:
    row = _row_shape(ctx.shapes[0], ctx.shapes[1])
    one = UNKNOWN if row is None else TensorShape((None,)).concatenate(row)
    return [one] * ctx.attrs["num_partitions"]


define(
    "DynamicPartition",
    shape=_partition_shapes,
    allowed=(ANY, _INT32),
    result=lambda types, attrs: [types[0]] * attrs["num_partitions"],
    inputs="data partitions",
)


def dynamic_partition(data: Any, partitions: Any, num_partitions: int, name: str | None = None) -> list[Tensor]:
    """Deals the rows of `data` out to `num_partitions` tensors: row i goes to number `partitions[i]`.

    Args:
        data: a tensor of shape `partitions.shape + rest`.
        partitions: int32 of any shape, each in `[0, num_partitions)`.
        num_partitions: how many tensors, at least 1.
        name: the operation's name.

    Returns:
        A list of tensors of shape `[how many] + rest`, each with its rows in their order.

    Raises:
        InvalidArgumentError: when run, for a number out of range.
    """
    if num_partitions < 1:
        raise ValueError(f"num_partitions must be at least 1, not {num_partitions}")
    return apply_list("DynamicPartition", [data, partitions], {"num_partitions": int(num_partitions)}, name)


@gradient("DynamicPartition")
def _partition_grad(op: Any, *grads: Any) -> Any:
    """Each row's gradient is taken back to the row's place."""
    data, partitions = op.inputs
    places = reshape(apply("Range", [0, size(partitions), 1]), shape_of(partitions))
    parts = dynamic_partition(places, partitions, len(op.outputs))
    known = [zeros_like(y) if g is None else g for g, y in zip(grads, op.outputs, strict=True)]
    return reshape(dynamic_stitch(parts, known), shape(data)), None


# -- stitch ------------------------------------------------------------------------------------------------------------


def _stitched_shape(ctx: ShapeContext) -> Shapes:
    count = len(ctx.shapes) // 2
    merged = UNKNOWN
    for indices, data in zip(ctx.shapes[:count], ctx.shapes[count:], strict=True):
        row = _row_shape(data, indices)
        if row is not None:
            merged = merged.merge_with(row)
    if merged.tuple is None:
        return (UNKNOWN,)
    return (TensorShape((_known_rows(ctx, count),)).concatenate(merged),)


def _known_rows(ctx: ShapeContext, count: int) -> int | None:
    """One more than the greatest index, if all are known."""
    values = [ctx.value(i) for i in range(count)]
    if any(value is None for value in values):
        return None
    return max((int(np.max(value)) + 1 for value in values if value is not None and value.size), default=0)


define(
    "DynamicStitch",
    shape=_stitched_shape,
    allowed=(ANY,),
    result=lambda types, attrs: types[-1:],
    inputs="indices data",
    type_attrs="N*- N*T",
)


def dynamic_stitch(indices: Sequence[Any], data: Sequence[Any], name: str | None = None) -> Tensor:
    """Puts rows at given places of one tensor: `output[indices[m][i]] = data[m][i]`.

    Args:
        indices: a list of int32 tensors of any shapes.
        data: a list of as many tensors of one type, each of shape `indices[m].shape + rest`.
        name: the operation's name.

    Returns:
        A tensor of shape `[1 + the greatest index] + rest`. Of several rows for a place, the last counts; a place
        without one is 0.

    Raises:
        ValueError: the lists differ in length or are empty. TypeError: `indices` are not int32.
        InvalidArgumentError: when run, for a negative index.
    """
    if len(indices) != len(data) or not data:
        raise ValueError(f"dynamic_stitch needs as many indices as data, at least one: {len(indices)}, {len(data)}")
    with op_scope([*indices, *data], name, "DynamicStitch") as scope:
        places = [convert_to_tensor(v, None if isinstance(v, Tensor) else int32, "indices") for v in indices]
        types = [place.dtype.base_dtype for place in places]
        if any(dtype is not int32 for dtype in types):
            raise TypeError(
                "Tensors in list passed to 'indices' of 'DynamicStitch' Op have types "
                f"[{', '.join(dtype.name for dtype in types)}] that do not match expected type int32."
            )
        first = convert_to_tensor(data[0], name="data")
        rows = [first, *(convert_to_tensor(value, first.dtype.base_dtype, "data") for value in data[1:])]
        return apply("DynamicStitch", [*places, *rows], {"N": len(places)}, scope)


@gradient("DynamicStitch")
def _stitch_grad(op: Any, grad: Any) -> Any:
    places = op.inputs[: len(op.inputs) // 2]
    return [None] * len(places) + [gather(grad, indices) for indices in places]
