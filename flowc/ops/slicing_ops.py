"""Parts of tensors, and tensors put together: slice, pad, tile, gather, reverse; concat, split, pack, unpack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.constant_value import constant_value
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ANY, BOOL, INDEX, NUMERIC, int32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, apply, define, gradient
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.framework.shapes import TensorShape, unknown_shape
from flowc.ops.array_ops import cast, expand_dims, identity, rank, reshape, shape, shape_of, transpose, zeros_like
from flowc.ops.reduction_ops import reduce_sum

__all__ = [
    "concat",
    "gather",
    "pack",
    "pad",
    "reverse",
    "slice",
    "split",
    "stack",
    "tile",
    "unpack",
    "unstack",
]

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
    if size < -1 or (begin is not None and begin < 0):
        raise ValueError(f"begin and size of dimension {axis} must not be negative: {begin}, {size}")
    if size == -1 and (whole is None or begin is None):
        return None
    if whole is not None and begin is not None and begin + max(size, 0) > whole:
        raise ValueError(f"The slice of dimension {axis} from {begin} of size {size} ends outside its size {whole}")
    return (whole or 0) - (begin or 0) if size == -1 else size


define("Slice", shape=_sliced, allowed=(ANY, INDEX), same_from=1, inputs="input begin size")


def slice(input_: Any, begin: Any, size: Any, name: str | None = None) -> Tensor:
    """The part of `input_` that starts at `begin` and has `size` elements, both one int a dimension.

    A size of -1 takes all that is left. Raises ValueError if the part does not lie within the tensor.
    """
    result: Tensor = apply("Slice", [input_, begin, size], name=name)
    return result


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
        raise ValueError(f"Paddings must not be negative: {paddings.tolist()}")
    added = paddings.sum(axis=1).tolist()
    return (TensorShape(tuple(None if d is None else d + n for d, n in zip(source.tuple, added, strict=True))),)


define("Pad", shape=_padded, allowed=(NUMERIC | BOOL, INDEX), inputs="input paddings")


def pad(input: Any, paddings: Any, name: str | None = None) -> Tensor:
    """`input` with zeros around it: `paddings`[d] = (how many before, how many after) in dimension d."""
    result: Tensor = apply("Pad", [input, paddings], name=name)
    return result


@gradient("Pad")
def _pad_grad(op: Any, grad: Any) -> Any:
    x, paddings = op.inputs
    return slice(grad, reshape(slice(paddings, [0, 0], [-1, 1]), [-1]), shape_of(x)), None


# -- tile and reverse --------------------------------------------------------------------------------------------------


def _tiled(ctx: ShapeContext) -> Shapes:
    source = ctx.shapes[0].with_rank(shape_rules.vector_length(ctx, 1))
    multiples = ctx.value(1)
    if source.tuple is None:
        return (UNKNOWN,)
    if multiples is None:
        return (unknown_shape(len(source.tuple)),)
    if multiples.size and multiples.min() < 0:
        raise ValueError(f"Multiples must not be negative: {multiples.tolist()}")
    times = multiples.tolist()
    return (TensorShape(tuple(None if d is None else d * n for d, n in zip(source.tuple, times, strict=True))),)


define("Tile", shape=_tiled, allowed=(ANY, INDEX), inputs="input multiples")


def tile(input: Any, multiples: Any, name: str | None = None) -> Tensor:
    """`input` repeated `multiples`[d] times in each dimension d."""
    result: Tensor = apply("Tile", [input, multiples], name=name)
    return result


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
    result: Tensor = apply("Reverse", [tensor, dims], name=name)
    return result


@gradient("Reverse")
def _reverse_grad(op: Any, grad: Any) -> Any:
    return reverse(grad, op.inputs[1]), None


# -- gather ------------------------------------------------------------------------------------------------------------


def _gathered(ctx: ShapeContext) -> Shapes:
    params, indices = ctx.shapes
    return (indices.concatenate(params.with_rank_at_least(1)[1:]),)


define("Gather", shape=_gathered, allowed=(ANY, INDEX), inputs="params indices")


def gather(params: Any, indices: Any, name: str | None = None) -> Tensor:
    """The rows of `params` that `indices`, ints of any shape, name: shape `indices.shape + params.shape[1:]`.

    An index out of range fails the run with InvalidArgumentError.
    """
    result: Tensor = apply("Gather", [params, indices], name=name)
    return result


@gradient("Gather")
def _gather_grad(op: Any, grad: Any) -> Any:
    """Only the rows that were gathered have a gradient: an IndexedSlices."""
    from flowc.framework.indexed_slices import IndexedSlices

    params, indices = op.inputs
    sizes = params.get_shape()
    if indices.get_shape().ndims == 1:
        return IndexedSlices(grad, indices, shape_of(params)), None
    row = shape_rules.known(sizes[1:])
    row_shape: Any = concat(0, [[-1], slice(shape(params), [1], [-1])]) if row is None else [-1, *row]
    return IndexedSlices(reshape(grad, row_shape), reshape(indices, [-1]), shape_of(params)), None


# -- concat and split --------------------------------------------------------------------------------------------------


def _concatenated(ctx: ShapeContext) -> Shapes:
    ctx.shapes[0].assert_has_rank(0)
    values = ctx.shapes[1:]
    ranks = [v.ndims for v in values if v.ndims is not None]
    if not ranks:
        return (UNKNOWN,)
    dim = ctx.value(0)
    values = [v.with_rank(ranks[0]).with_rank_at_least(1) for v in values]
    if dim is None:
        return (unknown_shape(ranks[0]),)
    axis = shape_rules.axis_of(int(dim), ranks[0], "concat_dim")
    sizes = [v.tuple[axis] for v in values if v.tuple is not None]
    total = None if None in sizes else sum(s for s in sizes if s is not None)
    outline = unknown_shape(ranks[0])
    for value in values:
        assert value.tuple is not None
        outline = outline.merge_with((*value.tuple[:axis], None, *value.tuple[axis + 1 :]))
    assert outline.tuple is not None
    return (TensorShape((*outline.tuple[:axis], total, *outline.tuple[axis + 1 :])),)


define(
    "Concat",
    shape=_concatenated,
    allowed=(INDEX, ANY),
    same_from=1,
    result=lambda types, attrs: types[1:2],
    inputs="concat_dim values",
)


def concat(concat_dim: Any, values: Any, name: str = "concat") -> Tensor:
    """The tensors of the list `values` joined along dimension `concat_dim`; they agree in all others."""
    items = list(values) if isinstance(values, (list, tuple)) else [values]
    if not items:
        raise ValueError("concat needs at least one tensor")
    if len(items) == 1:
        return identity(items[0], name or "concat")
    result: Tensor = apply("Concat", [concat_dim, *items], name=name or "concat")
    return result


@gradient("Concat")
def _concat_grad(op: Any, grad: Any) -> Any:
    """Each input's gradient is the slice of the gradient where it stands."""
    dim, values = op.inputs[0], op.inputs[1:]
    ndims, axis = grad.get_shape().ndims, constant_value(dim)
    if ndims is None or axis is None:
        return [None, *_slices_along(grad, dim, values)]
    at = shape_rules.axis_of(int(axis), ndims)
    sizes = [shape_rules.known(v.get_shape()) for v in values]
    if any(s is None for s in sizes):
        return [None, *_slices_along(grad, dim, values)]
    gradients: list[Any] = [None]
    begin = np.zeros(ndims, np.int32)
    for size in sizes:
        assert size is not None
        gradients.append(slice(grad, begin.copy(), np.array(size, np.int32)))
        begin[at] += size[at]
    return gradients


def _slices_along(grad: Any, dim: Any, values: Sequence[Any]) -> list[Any]:
    """`grad` cut along `dim` as `values` lie in it, where some sizes are not known yet."""
    count = rank(grad)
    axis = (cast(dim, int32) + count) % count
    along = apply("Equal", [apply("Range", [0, count, 1]), axis])
    begin = zeros_like(shape(grad))
    gradients = []
    for value in values:
        sizes = shape_of(value)
        gradients.append(slice(grad, begin, sizes))
        begin = begin + apply("Select", [along, sizes, zeros_like(sizes)])
    return gradients


def _split(ctx: ShapeContext) -> Shapes:
    ctx.shapes[0].assert_has_rank(0)
    count = ctx.attrs["num_split"]
    dim, sizes = ctx.value(0), ctx.shapes[1].tuple
    if sizes is None:
        return [UNKNOWN] * count
    if dim is None:
        return [unknown_shape(len(sizes))] * count
    axis = shape_rules.axis_of(int(dim), len(sizes), "split_dim")
    whole = sizes[axis]
    if whole is not None and whole % count:
        raise ValueError(f"Dimension {axis} of size {whole} does not split into {count} equal parts")
    return [TensorShape((*sizes[:axis], None if whole is None else whole // count, *sizes[axis + 1 :]))] * count


define(
    "Split",
    shape=_split,
    allowed=(INDEX, ANY),
    result=lambda types, attrs: [types[1]] * attrs["num_split"],
    inputs="split_dim value",
)


def split(split_dim: Any, num_split: int, value: Any, name: str = "split") -> list[Tensor]:
    """`value` cut along dimension `split_dim` into `num_split` equal parts: a list of tensors."""
    return _as_list(apply("Split", [split_dim, value], {"num_split": _positive(num_split)}, name or "split"))


def _positive(count: int) -> int:
    if count < 1:
        raise ValueError(f"A tensor cannot be split into {count} parts")
    return int(count)


def _as_list(outputs: Any) -> list[Tensor]:
    """What `apply` returned for an op with a list of outputs, of which there may be one or none."""
    if isinstance(outputs, Tensor):
        return [outputs]
    return outputs if isinstance(outputs, list) else []


@gradient("Split")
def _split_grad(op: Any, *grads: Any) -> Any:
    return None, concat(op.inputs[0], _with_zeros(op, grads))


def _with_zeros(op: Any, grads: Sequence[Any]) -> list[Any]:
    """The gradients of all outputs, zeros for those that nothing depends on."""
    return [zeros_like(y) if g is None else g for g, y in zip(grads, op.outputs, strict=True)]


# -- pack and unpack ---------------------------------------------------------------------------------------------------


def _packed(ctx: ShapeContext) -> Shapes:
    element = shape_rules.merged(ctx)[0]
    return (TensorShape((len(ctx.shapes),)).concatenate(element),)


define("Pack", shape=_packed, allowed=ANY, inputs="values")


def pack(values: Any, name: str = "pack") -> Tensor:
    """The tensors of the list `values`, all of one shape, as the rows of one tensor: shape [n, …]."""
    if isinstance(values, Tensor):
        values = unpack(values)
    if not values:
        raise ValueError("pack needs at least one tensor")
    result: Tensor = apply("Pack", list(values), {"N": len(values)}, name or "pack")
    return result


@gradient("Pack")
def _pack_grad(op: Any, grad: Any) -> Any:
    return unpack(grad, num=len(op.inputs))


def _unpacked(ctx: ShapeContext) -> Shapes:
    count = ctx.attrs["num"]
    source = ctx.shapes[0].with_rank_at_least(1)
    if source.tuple is not None and source.tuple[0] not in (None, count):
        raise ValueError(f"Cannot unpack {source.tuple[0]} rows into {count} tensors")
    return [source[1:]] * count


define("Unpack", shape=_unpacked, allowed=ANY, result=lambda types, attrs: types * attrs["num"], inputs="value")


def unpack(value: Any, num: int | None = None, name: str = "unpack") -> list[Tensor]:
    """The rows of `value`, a tensor of rank 1 or more, as a list of tensors.

    Raises ValueError if `num`, how many they are, is neither given nor known from the shape.
    """
    value = convert_to_tensor(value, name="value")
    sizes = value.get_shape().with_rank_at_least(1)
    count = sizes[0].value if num is None else num
    if count is None:
        raise ValueError(f"Cannot infer num from shape {sizes}: give it")
    return _as_list(apply("Unpack", [value], {"num": count}, name or "unpack"))


@gradient("Unpack")
def _unpack_grad(op: Any, *grads: Any) -> Any:
    return pack(_with_zeros(op, grads))


def stack(values: Any, axis: int = 0, name: str = "stack") -> Tensor:
    """The tensors of the list `values`, all of one shape, as one tensor with a new dimension `axis` of size n."""
    items = [convert_to_tensor(value) for value in values]
    if axis == 0:
        return pack(items, name)
    ndims = items[0].get_shape().ndims
    if ndims is None:
        raise ValueError("stack along another axis than 0 needs tensors of known rank")
    at = shape_rules.axis_of(axis, ndims + 1)
    return concat(at, [expand_dims(item, at) for item in items], name)


def unstack(value: Any, num: int | None = None, axis: int = 0, name: str = "unstack") -> list[Tensor]:
    """The parts of `value` at each index along dimension `axis`, as a list of tensors without it."""
    value = convert_to_tensor(value, name="value")
    if axis != 0:
        ndims = value.get_shape().ndims
        if ndims is None:
            raise ValueError("unstack along another axis than 0 needs a tensor of known rank")
        at = shape_rules.axis_of(axis, ndims)
        value = transpose(value, [at, *(d for d in range(ndims) if d != at)])
    return unpack(value, num, name)
