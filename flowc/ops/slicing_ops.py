"""Parts of tensors, and tensors repeated and turned around: slice, pad, tile, reverse, gather."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.constant_value import constant_value
from flowc.framework.dtypes import ANY, BOOL, INDEX, NUMERIC, int32
from flowc.framework.graph import Tensor
from flowc.framework.indexed_slices import IndexedSlices
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shape_rules import UNKNOWN, FailsWhenRun, Shapes
from flowc.framework.shapes import TensorShape, unknown_shape
from flowc.ops.array_ops import cast, expand_dims, rank, reshape, shape, shape_of
from flowc.ops.joining_ops import concat
from flowc.ops.reduction_ops import reduce_sum

__all__ = ["gather", "pad", "reverse", "slice", "tile"]

# -- slice and pad -----------------------------------------------------------------------------------------------------


def _sliced(ctx: ShapeContext) -> Shapes:
    begin, size = ctx.value(1), ctx.value(2)
    lengths = [s for s in (shape_rules.vector_length(ctx, 1), shape_rules.vector_length(ctx, 2)) if s is not None]
    source = ctx.shapes[0].with_rank(lengths[0]) if lengths else ctx.shapes[0]
    if source.tuple is None:
        return (UNKNOWN,)
    if size is None:
        return (unknown_shape(len(source.tuple)),)
    starts = [None] * len(source.tuple) if begin is None else begin.tolist()
    if not len(starts) == len(size) == len(source.tuple):
        raise ValueError(f"begin and size must have one element for each of the {len(source.tuple)} dimensions")
    bounds = zip(source.tuple, starts, size.tolist(), strict=True)
    return (TensorShape(tuple(_slice_size(i, *bound) for i, bound in enumerate(bounds))),)


def _slice_size(axis: int, whole: int | None, begin: int | None, size: int) -> int | None:
    rest = None if whole is None or begin is None else whole - begin
    if size < -1 or (size == -1 and rest is not None and rest < 0):
        raise ValueError(f"Dimension {axis} would get a negative size: {rest if size == -1 else size}")
    if begin is not None and (begin < 0 or (whole is not None and begin > whole)):
        raise FailsWhenRun(f"Expected begin[{axis}] in [0, {'?' if whole is None else whole}], but got {begin}")
    if rest is not None and size > rest:
        raise FailsWhenRun(f"Expected size[{axis}] in [0, {'?' if rest is None else rest}], but got {size}")
    return rest if size == -1 else size


define("Slice", shape=_sliced, allowed=(ANY, INDEX), same_from=1, inputs="input begin size", type_attrs="T Index Index")


def slice(input_: Any, begin: Any, size: Any, name: str | None = None) -> Tensor:
    """The part of `input_` that starts at `begin` and has `size` elements, both one int a dimension.

    A size of -1 takes all that is left. InvalidArgumentError when run, if the part does not lie within the tensor.
    """
    return apply("Slice", [input_, begin, size], name=name)


@gradient("Slice")
def _slice_grad(op: Any, grad: Any) -> Any:
    x, begin, _ = op.inputs
    whole, part, start = shape_rules.known(x.get_shape()), shape_rules.known(grad.get_shape()), constant_value(begin)
    if whole is not None and part is not None and start is not None:
        after = np.array(whole) - start - np.array(part)
        return pad(grad, np.stack([start, after], axis=1)), None, None
    before = cast(begin, int32)
    return pad(grad, _columns(before, shape(x) - before - shape_of(op.outputs[0]))), None, None


def _columns(left: Any, right: Any) -> Tensor:
    """Two vectors of n elements as the columns of an [n, 2] matrix."""
    return concat(1, [expand_dims(left, 1), expand_dims(right, 1)])


def _padded(ctx: ShapeContext) -> Shapes:
    paddings = ctx.value(1)
    given = ctx.shapes[1].with_rank(2).merge_with((None, 2))
    rows = given.tuple[0] if given.tuple is not None else None
    source = ctx.shapes[0].with_rank(rows)
    if source.tuple is None:
        return (UNKNOWN,)
    if paddings is None:
        return (unknown_shape(len(source.tuple)),)
    if paddings.size and paddings.min() < 0:
        raise ValueError(f"paddings must be non-negative: {paddings.tolist()}")
    added = paddings.sum(axis=1).tolist()
    return (TensorShape(tuple(None if d is None else d + n for d, n in zip(source.tuple, added, strict=True))),)


define("Pad", shape=_padded, allowed=(NUMERIC | BOOL, INDEX), inputs="input paddings")


def pad(input: Any, paddings: Any, name: str | None = None) -> Tensor:
    """`input` with zeros around it: `paddings`[d] = (how many before, how many after) in dimension d."""
    return apply("Pad", [input, paddings], name=name)


@gradient("Pad")
def _pad_grad(op: Any, grad: Any) -> Any:
    x, paddings = op.inputs
    begin = cast(reshape(slice(paddings, [0, 0], [-1, 1]), [-1]), int32)  # as shapes are
    return slice(grad, begin, shape_of(x)), None


# -- tile and reverse --------------------------------------------------------------------------------------------------


def _tiled(ctx: ShapeContext) -> Shapes:
    source = ctx.shapes[0].with_rank(shape_rules.vector_length(ctx, 1))
    multiples = ctx.value(1)
    if source.tuple is None:
        return (UNKNOWN,)
    if multiples is None:
        return (unknown_shape(len(source.tuple)),)
    times = multiples.tolist()
    for axis, count in enumerate(times):
        if count < 0:
            raise FailsWhenRun(f"Expected multiples[{axis}] >= 0, but got {count}")
    return (TensorShape(tuple(None if d is None else d * n for d, n in zip(source.tuple, times, strict=True))),)


define("Tile", shape=_tiled, allowed=(ANY, INDEX), inputs="input multiples")


def tile(input: Any, multiples: Any, name: str | None = None) -> Tensor:
    """`input` repeated `multiples`[d] times in each dimension d."""
    return apply("Tile", [input, multiples], name=name)


@gradient("Tile")
def _tile_grad(op: Any, grad: Any) -> Any:
    """The copies' gradients are added up: with shape [multiples[0], size[0], multiples[1], …], over the even axes."""
    x, multiples = op.inputs
    ndims = x.get_shape().ndims
    if ndims == 0:
        return grad, None
    interleaved = reshape(_columns(cast(multiples, int32), shape_of(x)), [-1])
    axes = apply("Range", [0, rank(x) * 2, 2]) if ndims is None else np.arange(0, 2 * ndims, 2, dtype=np.int32)
    return reduce_sum(reshape(grad, interleaved), axes), None


def _reversed(ctx: ShapeContext) -> Shapes:
    return (ctx.shapes[0].with_rank(shape_rules.vector_length(ctx, 1)),)


define("Reverse", shape=_reversed, allowed=(ANY, BOOL), inputs="tensor dims")


def reverse(tensor: Any, dims: Any, name: str | None = None) -> Tensor:
    """`tensor` with the order of its elements reversed in each dimension d where `dims`[d], a bool, is True."""
    return apply("Reverse", [tensor, dims], name=name)


@gradient("Reverse")
def _reverse_grad(op: Any, grad: Any) -> Any:
    return reverse(grad, op.inputs[1]), None


# -- gather ------------------------------------------------------------------------------------------------------------


def _gathered(ctx: ShapeContext) -> Shapes:
    params, indices = ctx.shapes
    return (indices.concatenate(params.with_rank_at_least(1)[1:]),)


define(
    "Gather",
    shape=_gathered,
    allowed=(ANY, INDEX),
    inputs="params indices",
    type_attrs="Tparams Tindices",
    attrs={"validate_indices": True},
)


def gather(params: Any, indices: Any, name: str | None = None) -> Tensor:
    """The rows of `params` that `indices`, ints of any shape, name: shape `indices.shape + params.shape[1:]`.

    An index out of range fails the run with InvalidArgumentError.
    """
    return apply("Gather", [params, indices], name=name)


@gradient("Gather")
def _gather_grad(op: Any, grad: Any) -> Any:
    """Only the rows that were gathered have a gradient: an IndexedSlices."""
    params, indices = op.inputs
    sizes = params.get_shape()
    if indices.get_shape().ndims == 1:
        return IndexedSlices(grad, indices, shape_of(params)), None
    row = shape_rules.known(sizes[1:])
    row_shape: Any = concat(0, [[-1], slice(shape(params), [1], [-1])]) if row is None else [-1, *row]
    return IndexedSlices(reshape(grad, row_shape), reshape(indices, [-1]), shape_of(params)), None
