"""Functions of one tensor, element by element: signs, powers, exponentials, trigonometry, rounding, tests for NaN."""

from __future__ import annotations

from math import pi, sqrt as _sqrt
from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import FLOATING, INDEX, NUMERIC, ORDERED, REAL, bool_
from flowc.framework.graph import Tensor
from flowc.framework.registry import define, gradient, not_differentiable
from flowc.ops.array_ops import zeros_like
from flowc.ops.reduction_ops import conjugate

__all__ = [
    "abs",
    "ceil",
    "cos",
    "erf",
    "exp",
    "floor",
    "inv",
    "is_finite",
    "is_inf",
    "is_nan",
    "log",
    "neg",
    "negative",
    "reciprocal",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sqrt",
    "square",
    "tanh",
]

# -- signs -------------------------------------------------------------------------------------------------------------

define("Abs", shape=shape_rules.unchanged, allowed=ORDERED, inputs="x")


def abs(x: Any, name: str | None = None) -> Tensor:
    """|x|; of a complex tensor its modulus, a real one."""
    x = convert_to_tensor(x, name="x")
    return apply("ComplexAbs" if x.dtype.is_complex else "Abs", [x], name=name or "Abs")


@gradient("Abs")
def _abs_grad(op: Any, grad: Any) -> Any:
    return grad * sign(op.inputs[0])


define("Neg", shape=shape_rules.unchanged, allowed=NUMERIC, inputs="x")


def neg(x: Any, name: str | None = None) -> Tensor:
    """-x."""
    return apply("Neg", [x], name=name)


@gradient("Neg")
def _neg_grad(op: Any, grad: Any) -> Any:
    return -grad


define("Sign", shape=shape_rules.unchanged, allowed=ORDERED, inputs="x")


def sign(x: Any, name: str | None = None) -> Tensor:
    """-1, 0 or 1 as x is negative, zero or positive; NaN of NaN."""
    return apply("Sign", [x], name=name)


@gradient("Sign")
def _sign_grad(op: Any, grad: Any) -> Any:
    return zeros_like(op.inputs[0])


# -- powers ------------------------------------------------------------------------------------------------------------

define("Inv", shape=shape_rules.unchanged, allowed=FLOATING | INDEX, inputs="x")


def inv(x: Any, name: str | None = None) -> Tensor:
    """1 / x; of ints, truncated as by `div`."""
    return apply("Inv", [x], name=name)


@gradient("Inv")
def _inv_grad(op: Any, grad: Any) -> Any:
    y = op.outputs[0]
    return -grad * conjugate(y * y)


define("Square", shape=shape_rules.unchanged, allowed=NUMERIC, inputs="x")


def square(x: Any, name: str | None = None) -> Tensor:
    """x²."""
    return apply("Square", [x], name=name)


@gradient("Square")
def _square_grad(op: Any, grad: Any) -> Any:
    x = op.inputs[0]
    return grad * conjugate(2 * x)


define("Sqrt", shape=shape_rules.unchanged, allowed=FLOATING, inputs="x")


def sqrt(x: Any, name: str | None = None) -> Tensor:
    """The square root; NaN of negative numbers."""
    return apply("Sqrt", [x], name=name)


@gradient("Sqrt")
def _sqrt_grad(op: Any, grad: Any) -> Any:
    return 0.5 * grad / conjugate(op.outputs[0])


define("Rsqrt", shape=shape_rules.unchanged, allowed=FLOATING, inputs="x")


def rsqrt(x: Any, name: str | None = None) -> Tensor:
    """1 / √x."""
    return apply("Rsqrt", [x], name=name)


@gradient("Rsqrt")
def _rsqrt_grad(op: Any, grad: Any) -> Any:
    y = op.outputs[0]
    return -0.5 * grad * conjugate(y * y * y)


# -- exponentials ------------------------------------------------------------------------------------------------------

define("Exp", shape=shape_rules.unchanged, allowed=FLOATING, inputs="x")


def exp(x: Any, name: str | None = None) -> Tensor:
    """e to the power x."""
    return apply("Exp", [x], name=name)


@gradient("Exp")
def _exp_grad(op: Any, grad: Any) -> Any:
    return grad * conjugate(op.outputs[0])


define("Log", shape=shape_rules.unchanged, allowed=FLOATING, inputs="x")


def log(x: Any, name: str | None = None) -> Tensor:
    """The natural logarithm; -inf of 0, NaN of negative numbers."""
    return apply("Log", [x], name=name)


@gradient("Log")
def _log_grad(op: Any, grad: Any) -> Any:
    return grad / conjugate(op.inputs[0])


define("Tanh", shape=shape_rules.unchanged, allowed=FLOATING, inputs="x")


def tanh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic tangent."""
    return apply("Tanh", [x], name=name)


@gradient("Tanh")
def _tanh_grad(op: Any, grad: Any) -> Any:
    y = op.outputs[0]
    return grad * conjugate(1 - y * y)


define("Sigmoid", shape=shape_rules.unchanged, allowed=FLOATING, inputs="x")


def sigmoid(x: Any, name: str | None = None) -> Tensor:
    """1 / (1 + exp(-x))."""
    return apply("Sigmoid", [x], name=name)


@gradient("Sigmoid")
def _sigmoid_grad(op: Any, grad: Any) -> Any:
    y = op.outputs[0]
    return grad * conjugate(y * (1 - y))


define("Erf", shape=shape_rules.unchanged, allowed=REAL, inputs="x")


def erf(x: Any, name: str | None = None) -> Tensor:
    """The error function, 2/√π · ∫₀ˣ exp(-t²) dt."""
    return apply("Erf", [x], name=name)


@gradient("Erf")
def _erf_grad(op: Any, grad: Any) -> Any:
    x = op.inputs[0]
    return grad * (2 / _sqrt(pi)) * exp(-x * x)


# -- trigonometry ------------------------------------------------------------------------------------------------------

define("Sin", shape=shape_rules.unchanged, allowed=FLOATING, inputs="x")


def sin(x: Any, name: str | None = None) -> Tensor:
    """The sine; `x` is in radians."""
    return apply("Sin", [x], name=name)


@gradient("Sin")
def _sin_grad(op: Any, grad: Any) -> Any:
    return grad * conjugate(cos(op.inputs[0]))


define("Cos", shape=shape_rules.unchanged, allowed=FLOATING, inputs="x")


def cos(x: Any, name: str | None = None) -> Tensor:
    """The cosine; `x` is in radians."""
    return apply("Cos", [x], name=name)


@gradient("Cos")
def _cos_grad(op: Any, grad: Any) -> Any:
    return -grad * conjugate(sin(op.inputs[0]))


# -- rounding ----------------------------------------------------------------------------------------------------------

define("Floor", shape=shape_rules.unchanged, allowed=REAL, inputs="x")


def floor(x: Any, name: str | None = None) -> Tensor:
    """The greatest whole number that is not greater than x."""
    return apply("Floor", [x], name=name)


define("Ceil", shape=shape_rules.unchanged, allowed=REAL, inputs="x")


def ceil(x: Any, name: str | None = None) -> Tensor:
    """The least whole number that is not less than x."""
    return apply("Ceil", [x], name=name)


not_differentiable("Floor", "Ceil")


def round(x: Any, name: str | None = None) -> Tensor:
    """The nearest whole number, floor(x + 0.5): halves are rounded up. Ints as they are."""
    tensor = convert_to_tensor(x, name="x")
    return tensor if tensor.dtype.is_integer else floor(tensor + 0.5, name)


# -- tests -------------------------------------------------------------------------------------------------------------

define("IsNan", shape=shape_rules.unchanged, allowed=REAL, result=bool_, inputs="x")


def is_nan(x: Any, name: str | None = None) -> Tensor:
    """Whether x is NaN: bool."""
    return apply("IsNan", [x], name=name)


define("IsInf", shape=shape_rules.unchanged, allowed=REAL, result=bool_, inputs="x")


def is_inf(x: Any, name: str | None = None) -> Tensor:
    """Whether x is infinite, of either sign: bool."""
    return apply("IsInf", [x], name=name)


define("IsFinite", shape=shape_rules.unchanged, allowed=REAL, result=bool_, inputs="x")


def is_finite(x: Any, name: str | None = None) -> Tensor:
    """Whether x is neither infinite nor NaN: bool."""
    return apply("IsFinite", [x], name=name)


not_differentiable("IsNan", "IsInf", "IsFinite")

negative = neg
reciprocal = inv
