"""Tensors put together, and taken apart again: concat and split; pack and unpack; stack and unstack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply, apply_list
from flowc.framework.constant_value import constant_value
from flowc.framework.convert import convert_to_tensor, holds_tensors, register_tensor_conversion_function
from flowc.framework.dtypes import ANY, INDEX, DType, int32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.framework.shapes import TensorShape, unknown_shape
from flowc.ops.array_ops import cast, expand_dims, identity, rank, shape, shape_of, transpose, zeros_like

__all__ = ["concat", "pack", "split", "stack", "unpack", "unstack"]

# -- concat and split --------------------------------------------------------------------------------------------------


def _concatenated(ctx: ShapeContext) -> Shapes:
    ctx.shapes[0].assert_has_rank(0)
    values = ctx.shapes[1:]
    ranks = [v.ndims for v in values if v.ndims is not None]
    if not ranks:
        return (UNKNOWN,)
    dim = ctx.value(0)
    if len(set(ranks)) > 1:
        raise ValueError(f"Ranks of all input tensors should match: {', '.join(map(str, values))}")
    values = [v.with_rank(ranks[0]).with_rank_at_least(1) for v in values]
    if dim is None:
        return (unknown_shape(ranks[0]),)
    if not -ranks[0] <= dim < ranks[0]:
        raise ValueError(f"Expected concat_dim in range [0, {ranks[0]}), but got {dim}")
    return (_joined(values, int(dim) % ranks[0]),)


def _joined(values: Sequence[TensorShape], axis: int) -> TensorShape:
    """The shapes, all of one known rank, along `axis` added up and in the other dimensions merged."""
    outline = unknown_shape(values[0].ndims)
    total: int | None = 0
    for value in values:
        sizes = value.tuple or ()
        size = sizes[axis]
        total = None if total is None or size is None else total + size
        rest = TensorShape((*sizes[:axis], None, *sizes[axis + 1 :]))
        if not outline.is_compatible_with(rest):
            raise ValueError(f"Dimensions of inputs should match but for {axis}: {', '.join(map(str, values))}")
        outline = outline.merge_with(rest)
    merged = outline.tuple or ()
    return TensorShape((*merged[:axis], total, *merged[axis + 1 :]))


define(
    "Concat",
    shape=_concatenated,
    allowed=(INDEX, ANY),
    same_from=1,
    result=lambda types, attrs: types[1:2],
    inputs="concat_dim values",
    type_attrs="- N*T",
)


def concat(concat_dim: Any, values: Any, name: str = "concat") -> Tensor:
    """The tensors of the list `values` joined along dimension `concat_dim`; they agree in all others."""
    items = list(values) if isinstance(values, (list, tuple)) else [values]
    if not items:
        raise ValueError("concat needs at least one tensor")
    if len(items) == 1:
        return identity(items[0], name or "concat")
    return apply("Concat", [concat_dim, *items], name=name or "concat")


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
        gradients.append(apply("Slice", [grad, begin.copy(), np.array(size, np.int32)]))
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
        gradients.append(apply("Slice", [grad, begin, sizes]))
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
        raise ValueError(
            "Number of ways to split should evenly divide the split dimension, "
            f"but got split_dim {axis} (size = {whole}) and num_split {count}"
        )
    return [TensorShape((*sizes[:axis], None if whole is None else whole // count, *sizes[axis + 1 :]))] * count


define(
    "Split",
    shape=_split,
    allowed=(INDEX, ANY),
    result=lambda types, attrs: [types[1]] * attrs["num_split"],
    inputs="split_dim value",
    type_attrs="- T",
)


def split(split_dim: Any, num_split: int, value: Any, name: str = "split") -> list[Tensor]:
    """`value` cut along dimension `split_dim` into `num_split` equal parts: a list of tensors."""
    if num_split < 1:
        raise ValueError(f"A tensor cannot be split into {num_split} parts")
    return apply_list("Split", [split_dim, value], {"num_split": int(num_split)}, name or "split")


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


define("Pack", shape=_packed, allowed=ANY, inputs="values", type_attrs="N*T")


def pack(values: Any, name: str = "pack") -> Tensor:
    """The tensors of the list `values`, all of one shape, as the rows of one tensor: shape [n, …]."""
    rows = unpack(values) if isinstance(values, Tensor) else list(values)
    if not rows:
        raise ValueError("pack needs at least one tensor")
    return apply("Pack", rows, {"N": len(rows)}, name or "pack")


def _list_to_tensor(values: Any, dtype: DType | None, name: str | None, as_ref: bool) -> Any:
    """A list with tensors in it, at any depth, is packed; others are left to become constants."""
    return _packed_list(values, name) if holds_tensors(values) else NotImplemented


def _packed_list(values: Any, name: str | None = None) -> Tensor:
    rows = [_packed_list(row) if isinstance(row, list | tuple) and holds_tensors(row) else row for row in values]
    return pack(rows, name or "pack")


register_tensor_conversion_function((list, tuple), _list_to_tensor, priority=200)  # after those for kinds of tuples


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
    return apply_list("Unpack", [value], {"num": count}, name or "unpack")


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
