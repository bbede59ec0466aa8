"""Tensors that need no input: constants, placeholders, zeros, ones, fill, range, linspace."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.convert import constant, convert_to_tensor, holds_tensors
from flowc.framework.dtypes import ANY, INDEX, REAL, DType, as_dtype, float32, string
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape, as_shape
from flowc.ops.reduction_ops import reduce_sum

__all__ = ["constant", "fill", "linspace", "ones", "placeholder", "range", "zeros"]

SMALL = 1000  # zeros or ones of more elements are a Fill, so that the graph holds no large arrays of one value

# -- constants and placeholders ----------------------------------------------------------------------------------------


def _of_value(ctx: ShapeContext) -> Shapes:
    return (TensorShape(ctx.attrs["value"].shape),)


# Made by `flowc.framework.convert.constant`: every value that is given where a tensor is expected becomes one.
define("Const", shape=_of_value, result=lambda types, attrs: [attrs["dtype"]], inputs="")
not_differentiable("Const")


def _of_attribute(ctx: ShapeContext) -> Shapes:
    return (ctx.attrs["shape"],)


define("Placeholder", shape=_of_attribute, result=lambda types, attrs: [attrs["dtype"]], inputs="")
not_differentiable("Placeholder")


def placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor whose value must be fed at every run that needs it.

    Args:
        dtype: the type of its elements.
        shape: a list of sizes, None for one that differs from run to run; None: any shape.
        name: the operation's name.
    """
    attrs = {"dtype": as_dtype(dtype).base_dtype, "shape": as_shape(shape)}
    return apply("Placeholder", [], attrs, name)


# -- one value ---------------------------------------------------------------------------------------------------------


def _filled(ctx: ShapeContext) -> Shapes:
    ctx.shapes[1].assert_has_rank(0)
    return (shape_rules.shape_from_value(ctx, 0),)


define(
    "Fill",
    shape=_filled,
    allowed=(INDEX, ANY),
    result=lambda types, attrs: types[1:],
    inputs="dims value",
    type_attrs="- T",
)


def fill(dims: Any, value: Any, name: str | None = None) -> Tensor:
    """A tensor of shape `dims` (a list or an int vector) whose elements are all `value`, a scalar."""
    return apply("Fill", [dims, value], name=name)


@gradient("Fill")
def _fill_grad(op: Any, grad: Any) -> Any:
    return None, reduce_sum(grad)


def zeros(shape: Any, dtype: Any = float32, name: str | None = None) -> Tensor:
    """Zeros (False, or empty strings) of the given shape: a list, a TensorShape or an int vector tensor."""
    return _uniform(shape, 0, as_dtype(dtype).base_dtype, name or "zeros")


def ones(shape: Any, dtype: Any = float32, name: str | None = None) -> Tensor:
    """Ones (True) of the given shape: a list, a TensorShape or an int vector tensor."""
    return _uniform(shape, 1, as_dtype(dtype).base_dtype, name or "ones")


def _uniform(shape: Any, value: int, dtype: DType, name: str) -> Tensor:
    element: Any = np.array("" if dtype is string else value, dtype.as_numpy_dtype)
    if holds_tensors(shape):
        return fill(shape, element, name)
    known = as_shape(shape)
    known.assert_is_fully_defined()
    if dtype is string or (known.num_elements() or 0) <= SMALL:
        return constant(np.broadcast_to(element, shape_rules.known(known) or ()), dtype, name=name)
    return fill(known, element, name)


# -- sequences ---------------------------------------------------------------------------------------------------------


def _range_length(ctx: ShapeContext) -> Shapes:
    for shape in ctx.shapes:
        shape.assert_has_rank(0)
    values = [ctx.value(i) for i in (0, 1, 2)]
    if any(value is None for value in values):
        return (TensorShape((None,)),)
    start, limit, delta = (value.item() for value in values if value is not None)
    if delta == 0:
        raise ValueError("Requires delta != 0")
    return (TensorShape((max(0, ceil((limit - start) / delta)),)),)


define("Range", shape=_range_length, allowed=INDEX | REAL, inputs="start limit delta", type_attrs="Tidx Tidx Tidx")
not_differentiable("Range")


def range(start: Any, limit: Any = None, delta: Any = 1, name: str = "range") -> Tensor:
    """The vector start, start + delta, … up to but without `limit`; `range(n)` is 0 … n-1.

    int32 unless an argument has another type. Raises ValueError if `delta` is 0.
    """
    if limit is None:
        start, limit = 0, start
    bounds = [start, limit, delta]
    if any(isinstance(bound, float) for bound in bounds):
        bounds = [float(bound) if isinstance(bound, int) else bound for bound in bounds]
    return apply("Range", bounds, name=name or "range")


def _linspace_length(ctx: ShapeContext) -> Shapes:
    for shape in ctx.shapes:
        shape.assert_has_rank(0)
    num = ctx.value(2)
    if num is not None and num < 1:
        raise ValueError(f"Requires num > 0: {num}")
    return (TensorShape((None if num is None else int(num),)),)


define("LinSpace", shape=_linspace_length, allowed=(REAL, REAL, INDEX), inputs="start stop num")
not_differentiable("LinSpace")


def linspace(start: Any, stop: Any, num: Any, name: str | None = None) -> Tensor:
    """`num` evenly spaced values from `start` to `stop`, both included. float32 or float64."""
    with op_scope([start, stop, num], name, "LinSpace") as scope:
        start = convert_to_tensor(start, name="start")
        stop = convert_to_tensor(stop, dtype=start.dtype, name="stop")
        return apply("LinSpace", [start, stop, num], name=scope)
