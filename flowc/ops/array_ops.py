"""Shapes and types of tensors: shape, reshape, squeeze, expand_dims, transpose, cast, identity."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.convert import constant, convert_to_tensor
from flowc.framework.dtypes import ANY, BOOL, INDEX, NUMERIC, DType, as_dtype, bfloat16, float32, float64, int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import UNKNOWN, FailsWhenRun, Shapes
from flowc.framework.shapes import TensorShape, unknown_shape
from flowc.framework.sparse_tensor import SparseTensor

__all__ = [
    "cast",
    "expand_dims",
    "identity",
    "invert_permutation",
    "ones_like",
    "rank",
    "reshape",
    "shape",
    "size",
    "squeeze",
    "stop_gradient",
    "to_bfloat16",
    "to_double",
    "to_float",
    "to_int32",
    "to_int64",
    "transpose",
    "zeros_like",
]

# -- identity ----------------------------------------------------------------------------------------------------------

define("Identity", shape=shape_rules.unchanged, allowed=ANY, inputs="input")


def identity(input: Any, name: str | None = None) -> Tensor:
    """A tensor with the same value as `input`."""
    return apply("Identity", [input], name=name)


@gradient("Identity")
def _identity_grad(op: Any, grad: Any) -> Any:
    return grad


define("StopGradient", shape=shape_rules.unchanged, allowed=ANY, inputs="input")


def stop_gradient(input: Any, name: str | None = None) -> Tensor:
    """`input`, which `tf.gradients` takes for a constant."""
    return apply("StopGradient", [input], name=name)


not_differentiable("StopGradient")

# -- what a shape is ---------------------------------------------------------------------------------------------------


def _vector_of_rank(ctx: ShapeContext) -> Shapes:
    return (TensorShape((ctx.shapes[0].ndims,)),)


define("Shape", shape=_vector_of_rank, allowed=ANY, result=int32, inputs="input")


def shape(input: Any, name: str | None = None) -> Tensor:
    """The shape of `input`: int32[rank]."""
    return apply("Shape", [input], name=name)


define("Size", shape=shape_rules.scalar, allowed=ANY, result=int32, inputs="input")


def size(input: Any, name: str | None = None) -> Tensor:
    """The number of elements of `input`: an int32 scalar."""
    return apply("Size", [input], name=name)


define("Rank", shape=shape_rules.scalar, allowed=ANY, result=int32, inputs="input")


def rank(input: Any, name: str | None = None) -> Tensor:
    """The number of dimensions of `input`: an int32 scalar."""
    return apply("Rank", [input], name=name)


not_differentiable("Shape", "Size", "Rank")

# -- reshape -----------------------------------------------------------------------------------------------------------


def _reshaped(ctx: ShapeContext) -> Shapes:
    given = ctx.shapes[0]
    wanted = ctx.value(1)
    if wanted is None:
        return (unknown_shape(shape_rules.vector_length(ctx, 1)),)
    if wanted.ndim != 1:
        raise ValueError(f"A shape must be a vector of sizes, not {wanted.tolist()}")
    sizes = wanted.tolist()
    free = [i for i, d in enumerate(sizes) if d < 0]
    if any(d < -1 for d in sizes):
        raise ValueError(f"A size must be -1 or non-negative: {sizes}")
    if len(free) > 1:
        raise FailsWhenRun(f"Only one input size may be -1, not both {free[0]} and {free[1]}")
    total = given.num_elements()
    fixed = int(np.prod([d for d in sizes if d >= 0], dtype=np.int64))
    if not free:
        if total is not None and total != fixed:
            raise ValueError(f"Cannot reshape a tensor with {total} elements to shape {sizes} ({fixed} elements)")
    elif total is None:
        sizes[free[0]] = None
    elif fixed == 0:
        raise ValueError(
            "reshape cannot infer the missing input size for an empty tensor unless all specified input sizes are "
            f"non-zero: {sizes}"
        )
    elif total % fixed:
        raise ValueError(f"Cannot reshape to {sizes}: input has {total} elements, which isn't divisible by {fixed}")
    else:
        sizes[free[0]] = total // fixed
    return (TensorShape(tuple(sizes)),)


define("Reshape", shape=_reshaped, allowed=(ANY, INDEX), inputs="tensor shape")


def reshape(tensor: Any, shape: Any, name: str | None = None) -> Tensor:
    """The elements of `tensor`, in the same order, in another shape; one size may be -1: what is left.

    Raises ValueError if the number of elements differs.
    """
    return apply("Reshape", [tensor, shape], name=name)


@gradient("Reshape")
def _reshape_grad(op: Any, grad: Any) -> Any:
    return reshape(grad, shape_of(op.inputs[0])), None


def shape_of(tensor: Tensor) -> Any:
    """The shape of `tensor` for use as an input: its sizes where they are all known, else a `Shape` op."""
    sizes = shape_rules.known(tensor.get_shape())
    return shape(tensor) if sizes is None else constant(np.array(sizes, np.int32))


# -- dimensions of size 1 ----------------------------------------------------------------------------------------------


def _expanded(ctx: ShapeContext) -> Shapes:
    sizes = ctx.shapes[0].tuple
    at = ctx.value(1)
    if sizes is None:
        return (UNKNOWN,)
    if at is None:
        return (unknown_shape(len(sizes) + 1),)
    axis = shape_rules.axis_of(int(at.reshape(())), len(sizes) + 1, "dim")
    return (TensorShape((*sizes[:axis], 1, *sizes[axis:])),)


define("ExpandDims", shape=_expanded, allowed=(ANY, INDEX), inputs="input dim")


def expand_dims(input: Any, dim: Any, name: str | None = None) -> Tensor:
    """`input` with a dimension of size 1 put in before dimension `dim`; -1 puts it last."""
    return apply("ExpandDims", [input, dim], name=name)


def _squeezed(ctx: ShapeContext) -> Shapes:
    sizes = ctx.shapes[0].tuple
    if sizes is None:
        return (UNKNOWN,)
    dims = [shape_rules.axis_of(d, len(sizes), "squeeze_dims") for d in ctx.attrs["squeeze_dims"]]
    for dim in dims:
        if sizes[dim] not in (1, None):
            raise ValueError(f"Can not squeeze dim[{dim}], expected a dimension of 1, got {sizes[dim]}")
    if not dims:
        return (UNKNOWN if None in sizes else TensorShape(tuple(d for d in sizes if d != 1)),)
    return (TensorShape(tuple(d for i, d in enumerate(sizes) if i not in dims)),)


define("Squeeze", shape=_squeezed, allowed=ANY, inputs="input", attrs={"squeeze_dims": []})


def squeeze(input: Any, squeeze_dims: Any = None, name: str | None = None) -> Tensor:
    """`input` without its dimensions of size 1, or without those of `squeeze_dims`, a list."""
    dims = [squeeze_dims] if isinstance(squeeze_dims, int) else list(squeeze_dims or [])
    return apply("Squeeze", [input], {"squeeze_dims": dims}, name)


@gradient("ExpandDims")
def _expand_dims_grad(op: Any, grad: Any) -> Any:
    return reshape(grad, shape_of(op.inputs[0])), None


@gradient("Squeeze")
def _squeeze_grad(op: Any, grad: Any) -> Any:
    return reshape(grad, shape_of(op.inputs[0]))


# -- transpose ---------------------------------------------------------------------------------------------------------


def _transposed(ctx: ShapeContext) -> Shapes:
    sizes = ctx.shapes[0].tuple
    perm = ctx.value(1)
    if perm is None:
        length = shape_rules.vector_length(ctx, 1)
        ndims = length if sizes is None else len(sizes)
        return (unknown_shape(ndims),)
    order = perm.tolist()
    if sizes is None:
        return (unknown_shape(len(order)),)
    _check_permutation(order, len(sizes))
    return (TensorShape(tuple(sizes[i] for i in order)),)


def _check_permutation(order: list[int], ndims: int) -> None:
    if len(order) != ndims:
        raise ValueError(f"transpose expects a vector of size {ndims}, but perm has {len(order)} elements")
    for axis in order:
        if not 0 <= axis < ndims:
            raise ValueError(f"{axis} is out of range [0 .. {ndims}) in perm {order}")
    for axis in range(ndims):
        if axis not in order:
            raise FailsWhenRun(f"{axis} is missing from {{{','.join(map(str, order))}}}.")


define("Transpose", shape=_transposed, allowed=(ANY, INDEX), inputs="x perm")


def transpose(a: Any, perm: Any = None, name: str = "transpose") -> Tensor:
    """`a` with its dimensions in the order `perm`: dimension i of the result is dimension perm[i] of `a`.

    By default the order is reversed, which is the transpose of a matrix.
    """
    if perm is None:
        a = convert_to_tensor(a)
        ndims = a.get_shape().ndims
        with op_scope([a], name, "transpose") as name:
            perm = list(range(ndims))[::-1] if ndims is not None else apply("Range", [rank(a) - 1, -1, -1])
            return transpose(a, perm, name)
    return apply("Transpose", [a, perm], name=name or "transpose")


@gradient("Transpose")
def _transpose_grad(op: Any, grad: Any) -> Any:
    return transpose(grad, invert_permutation(op.inputs[1])), None


def _vector(ctx: ShapeContext) -> Shapes:
    return (ctx.shapes[0].with_rank(1),)


define("InvertPermutation", shape=_vector, allowed=INDEX, inputs="x", type_attrs="-")


def invert_permutation(x: Any, name: str | None = None) -> Tensor:
    """The inverse y of a permutation of 0 … n-1: y[x[i]] = i. `x` is an int vector.

    A vector that is no permutation fails the run with InvalidArgumentError.
    """
    return apply("InvertPermutation", [x], name=name)


not_differentiable("InvertPermutation")

# -- like another tensor -----------------------------------------------------------------------------------------------

define("ZerosLike", shape=shape_rules.unchanged, allowed=NUMERIC | BOOL, inputs="x")
not_differentiable("ZerosLike")


def zeros_like(tensor: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """Zeros of the shape of `tensor`, and of its type unless `dtype` is given."""
    tensor = convert_to_tensor(tensor)
    if dtype is None or as_dtype(dtype).base_dtype is tensor.dtype.base_dtype:
        return apply("ZerosLike", [tensor], name=name or "zeros_like")
    return _filled_like(tensor, 0, as_dtype(dtype), name or "zeros_like")


def ones_like(tensor: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """Ones of the shape of `tensor`, and of its type unless `dtype` is given."""
    tensor = convert_to_tensor(tensor)
    return _filled_like(tensor, 1, tensor.dtype if dtype is None else as_dtype(dtype), name or "ones_like")


def _filled_like(tensor: Tensor, value: int, dtype: DType, name: str) -> Tensor:
    with op_scope([tensor], name) as scope:
        element = np.array(value, dtype.as_numpy_dtype)
        filled = apply("Fill", [shape_of(tensor), element], name=scope)
        filled.set_shape(tensor.get_shape())
        return filled


# -- cast --------------------------------------------------------------------------------------------------------------

define(
    "Cast",
    shape=shape_rules.unchanged,
    allowed=ANY | {bfloat16},
    result=lambda types, attrs: [attrs["DstT"]],
    inputs="x",
    type_attrs="SrcT",
)


def cast(x: Any, dtype: Any, name: str | None = None) -> Tensor:
    """`x` converted to `dtype`, as C does it: floats are truncated to ints, anything but zero is True.

    `x` itself if it has that type already; of a SparseTensor, one with its values converted. A bfloat16 is the upper
    half of a float32. UnimplementedError when run, to or from strings and the
    quantised types.
    """
    if isinstance(x, SparseTensor):
        return SparseTensor(x.indices, cast(x.values, dtype, name), x.shape)  # type: ignore[return-value]
    tensor = convert_to_tensor(x, name="x")
    target, source = as_dtype(dtype).base_dtype, tensor.dtype.base_dtype
    if source is target:
        return tensor
    return apply("Cast", [tensor], {"SrcT": source, "DstT": target}, name)


@gradient("Cast")
def _cast_grad(op: Any, grad: Any) -> Any:
    source, target = op.get_attr("SrcT"), op.get_attr("DstT")
    if not (source.is_floating or source.is_complex) or not (target.is_floating or target.is_complex):
        return None
    return cast(grad, source)


def to_float(x: Any, name: str = "ToFloat") -> Tensor:
    """`x` as float32."""
    return cast(x, float32, name)


def to_double(x: Any, name: str = "ToDouble") -> Tensor:
    """`x` as float64."""
    return cast(x, float64, name)


def to_bfloat16(x: Any, name: str = "ToBFloat16") -> Tensor:
    """`x` as bfloat16: its values as float32, without the lower 16 bits."""
    return cast(x, bfloat16, name)


def to_int32(x: Any, name: str = "ToInt32") -> Tensor:
    """`x` as int32."""
    return cast(x, int32, name)


def to_int64(x: Any, name: str = "ToInt64") -> Tensor:
    """`x` as int64."""
    return cast(x, int64, name)
