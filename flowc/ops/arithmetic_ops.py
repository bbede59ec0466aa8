"""Arithmetic of two tensors, broadcast as in NumPy: add, sub, mul, div, mod, pow, maximum, minimum; sums of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import (
    NUMERIC,
    ORDERED,
    DType,
    as_dtype,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
)
from flowc.framework.graph import Tensor
from flowc.framework.op_inputs import convert_inputs
from flowc.framework.registry import define, gradient, lookup
from flowc.framework.scopes import op_scope
from flowc.framework.shapes import as_shape
from flowc.ops.array_ops import cast, ones_like, zeros_like
from flowc.ops.broadcasting_ops import unbroadcast
from flowc.ops.reduction_ops import conjugate

__all__ = [
    "accumulate_n",
    "add",
    "add_n",
    "div",
    "divide",
    "floordiv",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "multiply",
    "pow",
    "squared_difference",
    "sub",
    "subtract",
    "truediv",
]

# -- add, sub, mul -----------------------------------------------------------------------------------------------------

define("Add", shape=shape_rules.broadcast, allowed=NUMERIC)


def add(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x + y."""
    return apply("Add", [x, y], name=name)


@gradient("Add")
def _add_grad(op: Any, grad: Any) -> Any:
    return unbroadcast(op, grad, grad)


define("Sub", shape=shape_rules.broadcast, allowed=NUMERIC)


def sub(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x - y."""
    return apply("Sub", [x, y], name=name)


@gradient("Sub")
def _sub_grad(op: Any, grad: Any) -> Any:
    return unbroadcast(op, grad, -grad)


define("Mul", shape=shape_rules.broadcast, allowed=NUMERIC)


def mul(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x · y, element by element."""
    return apply("Mul", [x, y], name=name)


@gradient("Mul")
def _mul_grad(op: Any, grad: Any) -> Any:
    x, y = op.inputs
    return unbroadcast(op, grad * conjugate(y), grad * conjugate(x))


# -- division ----------------------------------------------------------------------------------------------------------

define("Div", shape=shape_rules.broadcast, allowed=NUMERIC)


def div(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y. Of ints, truncated towards zero as in C; dividing ints by 0 fails the run with InvalidArgumentError."""
    return apply("Div", [x, y], name=name)


@gradient("Div")
def _div_grad(op: Any, grad: Any) -> Any:
    quotient = grad / conjugate(op.inputs[1])
    return unbroadcast(op, quotient, -quotient * conjugate(op.outputs[0]))


_QUOTIENT_OF: dict[DType, DType] = {
    **dict.fromkeys((int8, int16, uint8, uint16), float32),
    **dict.fromkeys((int32, int64), float64),
}


def truediv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y, which of ints is a float: float32 for 8 and 16 bits, float64 for 32 and 64 (Python 3's `/`)."""
    with op_scope([x, y], name, "truediv") as scope:
        x, y = _of_one_type(x, y)
        quotient = _QUOTIENT_OF.get(x.dtype.base_dtype, x.dtype.base_dtype)
        return div(cast(x, quotient), cast(y, quotient), scope)


divide = truediv


def floordiv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """floor(x / y) of floats; of ints, x / y truncated towards zero (C's division, as in the 0.6 API)."""
    with op_scope([x, y], name, "floordiv") as scope:
        x, y = _of_one_type(x, y)
        if x.dtype.is_floating:
            return apply("Floor", [div(x, y)], name=scope)
        return div(x, y, scope)


def _of_one_type(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors; one that is a Python value takes the other's type. TypeError if they differ."""
    definition = lookup("Div")
    assert definition is not None
    x, y = convert_inputs(definition, [x, y])
    if x.dtype.base_dtype is not y.dtype.base_dtype:
        raise TypeError(
            f"x and y must have the same dtype, got {x.dtype.base_dtype.name} != {y.dtype.base_dtype.name}."
        )
    return x, y


define("Mod", shape=shape_rules.broadcast, allowed=ORDERED)


def mod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The remainder of x / y with the sign of `x`, as C's % and fmod. Of ints, `y` = 0 fails the run."""
    return apply("Mod", [x, y], name=name)


@gradient("Mod")
def _mod_grad(op: Any, grad: Any) -> Any:
    """x - y · trunc(x / y): the truncated quotient is constant almost everywhere."""
    x, y = op.inputs
    return unbroadcast(op, grad, grad * ((op.outputs[0] - x) / y))


# -- pow ---------------------------------------------------------------------------------------------------------------

define("Pow", shape=shape_rules.broadcast, allowed=NUMERIC)


def pow(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x to the power y."""
    return apply("Pow", [x, y], name=name)


@gradient("Pow")
def _pow_grad(op: Any, grad: Any) -> Any:
    """d/dx = y · x^(y-1); d/dy = x^y · log x, with 0 for the logarithm where it has no real value."""
    x, y = op.inputs
    has_log = apply("NotEqual" if x.dtype.is_complex else "Greater", [x, 0])
    log_x = apply("Log", [apply("Select", [has_log, x, ones_like(x)])])
    grad_x = grad * conjugate(y * pow(x, y - 1))
    return unbroadcast(op, grad_x, grad * conjugate(op.outputs[0] * log_x))


# -- maximum and minimum -----------------------------------------------------------------------------------------------

define("Maximum", shape=shape_rules.broadcast, allowed=ORDERED)


def maximum(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The greater of x and y, element by element; NaN where either is NaN."""
    return apply("Maximum", [x, y], name=name)


@gradient("Maximum")
def _maximum_grad(op: Any, grad: Any) -> Any:
    return _chosen_grad(op, grad, "GreaterEqual")


define("Minimum", shape=shape_rules.broadcast, allowed=ORDERED)


def minimum(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The lesser of x and y, element by element; NaN where either is NaN."""
    return apply("Minimum", [x, y], name=name)


@gradient("Minimum")
def _minimum_grad(op: Any, grad: Any) -> Any:
    return _chosen_grad(op, grad, "LessEqual")


def _chosen_grad(op: Any, grad: Any, comparison: str) -> Any:
    """The gradient goes to the input that was chosen; to `x` where they are equal."""
    x, y = op.inputs
    chosen, zero = apply(comparison, [x, y]), zeros_like(grad)
    return unbroadcast(op, apply("Select", [chosen, grad, zero]), apply("Select", [chosen, zero, grad]))


# -- composites --------------------------------------------------------------------------------------------------------


def squared_difference(x: Any, y: Any, name: str | None = None) -> Tensor:
    """(x - y)²."""
    with op_scope([x, y], name, "SquaredDifference") as scope:
        return apply("Square", [sub(x, y)], name=scope)


# -- sums of many ------------------------------------------------------------------------------------------------------

define("AddN", shape=shape_rules.merged, allowed=NUMERIC, inputs="inputs", type_attrs="N*T")


def add_n(inputs: Sequence[Any], name: str | None = None) -> Tensor:
    """The sum of a list of tensors of one shape and type. ValueError if it is empty."""
    values = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if not values:
        raise ValueError("inputs must be a list of at least one Tensor with the same dtype and shape")
    return apply("AddN", values, name=name)


@gradient("AddN")
def _add_n_grad(op: Any, grad: Any) -> Any:
    return [grad] * len(op.inputs)


def accumulate_n(inputs: Sequence[Any], shape: Any = None, tensor_dtype: Any = None, name: str | None = None) -> Tensor:
    """The sum of a list of tensors, as `add_n`; `shape` and `tensor_dtype`, if given, are what they must have.

    Raises ValueError if the inputs differ in type, or the shape is neither given nor known from them; TypeError if they
    have another type than `tensor_dtype`.
    """
    tensors = [convert_to_tensor(value) for value in inputs]
    if len({tensor.dtype.base_dtype for tensor in tensors}) != 1:
        raise ValueError("inputs must be a list of at least one Tensor with the same dtype and shape")
    total = add_n(tensors, name or "AccumulateN")
    if tensor_dtype is not None and as_dtype(tensor_dtype) != total.dtype:
        raise TypeError(f"The inputs have type {total.dtype.name}, not {as_dtype(tensor_dtype).name}")
    total.set_shape(as_shape(shape))
    if not total.get_shape().is_fully_defined():
        raise ValueError(
            "Cannot infer the shape of the accumulator for accumulate_n. "
            "Pass the shape argument, or set the shape of at least one of the inputs."
        )
    return total


subtract = sub
multiply = mul
