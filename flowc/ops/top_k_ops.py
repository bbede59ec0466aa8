"""The greatest elements of rows, and whether a class is among them."""

from __future__ import annotations

from typing import Any, NamedTuple

from flowc.framework.building import apply, apply_list
from flowc.framework.dtypes import INDEX, ORDERED, REAL, bool_, int32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.ops.array_ops import expand_dims, rank, reshape, shape_of, size, zeros_like
from flowc.ops.segment_ops import unsorted_segment_sum
from flowc.ops.slicing_ops import gather

__all__ = ["TopK", "in_top_k", "top_k"]


class TopK(NamedTuple):
    """What `top_k` returns."""

    values: Tensor
    indices: Tensor


def _top_k_shape(ctx: ShapeContext) -> Shapes:
    k = int(ctx.attrs["k"])
    if k < 0:
        raise ValueError(f"Need k >= 0, got {k}")
    rows = ctx.shapes[0].with_rank_at_least(1)
    if rows.tuple is None:
        return (UNKNOWN, UNKNOWN)
    length = rows.tuple[-1]
    if length is not None and length < k:
        raise ValueError(f"input.shape {rows} must have last dimension >= k = {k}")
    return (rows[:-1].concatenate((k,)),) * 2


define(
    "TopK",
    shape=_top_k_shape,
    allowed=ORDERED,
    result=lambda types, attrs: [types[0], int32],
    inputs="input",
    attrs={"sorted": True},
)


def top_k(input: Any, k: int, name: str | None = None) -> TopK:
    """The k greatest elements along the last dimension, the greatest first.

    Args:
        input: numbers, not complex, of rank 1 or more.
        k: how many; at most the size of the last dimension.

    Returns:
        (values, indices) of shape `input.shape[:-1] + [k]`: `values` of the input's type, and where they stand in the
        last dimension, int32. Of equal elements the one with the lower index comes first; NaN counts as greatest.

    Raises:
        ValueError: a negative k, or one larger than the last dimension.
    """
    return TopK(*apply_list("TopK", [input], {"k": int(k), "sorted": True}, name))


@gradient("TopK")
def _top_k_grad(op: Any, grad: Any, _: Any) -> Any:
    """Each element's gradient goes to where it stood; the elements of all rows are numbered in one sequence."""
    x, indices, k = op.inputs[0], op.outputs[1], op._attrs["k"]
    if grad is None or k == 0:
        return zeros_like(x)
    in_rows = reshape(indices, [-1, k])
    length = gather(shape_of(x), rank(x) - 1)
    starts = apply("Range", [0, shape_of(in_rows)[0], 1]) * length
    places = in_rows + expand_dims(starts, 1)
    return reshape(unsorted_segment_sum(reshape(grad, [-1]), reshape(places, [-1]), size(x)), shape_of(x))


not_differentiable("InTopK")


def _in_top_k_shape(ctx: ShapeContext) -> Shapes:
    predictions, targets = ctx.shapes[0].with_rank(2), ctx.shapes[1].with_rank(1)
    return (predictions[:1].merge_with(targets),)


define("InTopK", shape=_in_top_k_shape, allowed=(REAL, INDEX), result=bool_, inputs="predictions targets")


def in_top_k(predictions: Any, targets: Any, k: int, name: str | None = None) -> Tensor:
    """Whether the prediction for the target class is among the k greatest: bool[batch].

    Classes that tie at the border are all among them. A prediction that is not finite is not, and neither is a target
    that is no class.

    Args:
        predictions: floats, [batch, classes].
        targets: class numbers, int32 or int64, [batch].
        k: how many of the greatest to look at.

    Raises:
        ValueError: shapes that do not fit.
    """
    return apply("InTopK", [predictions, targets], {"k": int(k)}, name)
