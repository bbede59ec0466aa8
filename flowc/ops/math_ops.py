"""Functions of one tensor, element by element: signs, powers, exponentials, trigonometry, rounding, tests for NaN."""

from __future__ import annotations

from math import pi
from math import sqrt as _sqrt
from typing import Any

from flowc.framework import shape_rules
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import FLOATING, NUMERIC, ORDERED, REAL, bool_
from flowc.framework.graph import Tensor
from flowc.framework.registry import apply, define, gradient, not_differentiable
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

define("Abs", shape=shape_rules.unchanged, allowed=ORDERED)


def abs(x: Any, name: str | None = None) -> Tensor:
    """|x|; of a complex tensor its modulus, a real one."""
    x = convert_to_tensor(x, name="x")
    result: Tensor = apply("ComplexAbs" if x.dtype.is_complex else "Abs", [x], name=name or "Abs")
    return result


@gradient("Abs")
def _abs_grad(op: Any, grad: Any) -> Any:
    return grad * sign(op.inputs[0])


define("Neg", shape=shape_rules.unchanged, allowed=NUMERIC)


def neg(x: Any, name: str | None = None) -> Tensor:
    """-x."""
    result: Tensor = apply("Neg", [x], name=name)
    return result


@gradient("Neg")
def _neg_grad(op: Any, grad: Any) -> Any:
    return -grad


define("Sign", shape=shape_rules.unchanged, allowed=ORDERED)


def sign(x: Any, name: str | None = None) -> Tensor:
    """-1, 0 or 1 as x is negative, zero or positive; NaN of NaN."""
    result: Tensor = apply("Sign", [x], name=name)
    return result


@gradient("Sign")
def _sign_grad(op: Any, grad: Any) -> Any:
    return zeros_like(op.inputs[0])


# -- powers ------------------------------------------------------------------------------------------------------------

define("Inv", shape=shape_rules.unchanged, allowed=FLOATING)


def inv(x: Any, name: str | None = None) -> Tensor:
    """1 / x."""
    result: Tensor = apply("Inv", [x], name=name)
    return result


@gradient("Inv")
def _inv_grad(op: Any, grad: Any) -> Any:
    y = op.outputs[0]
    return -grad * conjugate(y * y)


define("Square", shape=shape_rules.unchanged, allowed=NUMERIC)


def square(x: Any, name: str | None = None) -> Tensor:
    """x²."""
    result: Tensor = apply("Square", [x], name=name)
    return result


@gradient("Square")
def _square_grad(op: Any, grad: Any) -> Any:
    x = op.inputs[0]
    return grad * conjugate(2 * x)


define("Sqrt", shape=shape_rules.unchanged, allowed=FLOATING)


def sqrt(x: Any, name: str | None = None) -> Tensor:
    """The square root; NaN of negative numbers."""
    result: Tensor = apply("Sqrt", [x], name=name)
    return result


@gradient("Sqrt")
def _sqrt_grad(op: Any, grad: Any) -> Any:
    return 0.5 * grad / conjugate(op.outputs[0])


define("Rsqrt", shape=shape_rules.unchanged, allowed=FLOATING)


def rsqrt(x: Any, name: str | None = None) -> Tensor:
    """1 / √x."""
    result: Tensor = apply("Rsqrt", [x], name=name)
    return result


@gradient("Rsqrt")
def _rsqrt_grad(op: Any, grad: Any) -> Any:
    y = op.outputs[0]
    return -0.5 * grad * conjugate(y * y * y)


# -- exponentials ------------------------------------------------------------------------------------------------------

define("Exp", shape=shape_rules.unchanged, allowed=FLOATING)


def exp(x: Any, name: str | None = None) -> Tensor:
    """e to the power x."""
    result: Tensor = apply("Exp", [x], name=name)
    return result


@gradient("Exp")
def _exp_grad(op: Any, grad: Any) -> Any:
    return grad * conjugate(op.outputs[0])


define("Log", shape=shape_rules.unchanged, allowed=FLOATING)


def log(x: Any, name: str | None = None) -> Tensor:
    """The natural logarithm; -inf of 0, NaN of negative numbers."""
    result: Tensor = apply("Log", [x], name=name)
    return result


@gradient("Log")
def _log_grad(op: Any, grad: Any) -> Any:
    return grad / conjugate(op.inputs[0])


define("Tanh", shape=shape_rules.unchanged, allowed=FLOATING)


def tanh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic tangent."""
    result: Tensor = apply("Tanh", [x], name=name)
    return result


@gradient("Tanh")
def _tanh_grad(op: Any, grad: Any) -> Any:
    y = op.outputs[0]
    return grad * conjugate(1 - y * y)


define("Sigmoid", shape=shape_rules.unchanged, allowed=FLOATING)


def sigmoid(x: Any, name: str | None = None) -> Tensor:
    """1 / (1 + exp(-x))."""
    result: Tensor = apply("Sigmoid", [x], name=name)
    return result


@gradient("Sigmoid")
def _sigmoid_grad(op: Any, grad: Any) -> Any:
    y = op.outputs[0]
    return grad * conjugate(y * (1 - y))


define("Erf", shape=shape_rules.unchanged, allowed=REAL)


def erf(x: Any, name: str | None = None) -> Tensor:
    """The error function, 2/√π · ∫₀ˣ exp(-t²) dt."""
    result: Tensor = apply("Erf", [x], name=name)
    return result


@gradient("Erf")
def _erf_grad(op: Any, grad: Any) -> Any:
    x = op.inputs[0]
    return grad * (2 / _sqrt(pi)) * exp(-x * x)


# -- trigonometry ------------------------------------------------------------------------------------------------------

define("Sin", shape=shape_rules.unchanged, allowed=FLOATING)


def sin(x: Any, name: str | None = None) -> Tensor:
    """The sine; `x` is in radians."""
    result: Tensor = apply("Sin", [x], name=name)
    return result


@gradient("Sin")
def _sin_grad(op: Any, grad: Any) -> Any:
    return grad * conjugate(cos(op.inputs[0]))


define("Cos", shape=shape_rules.unchanged, allowed=FLOATING)


def cos(x: Any, name: str | None = None) -> Tensor:
    """The cosine; `x` is in radians."""
    result: Tensor = apply("Cos", [x], name=name)
    return result


@gradient("Cos")
def _cos_grad(op: Any, grad: Any) -> Any:
    return -grad * conjugate(sin(op.inputs[0]))


# -- rounding ----------------------------------------------------------------------------------------------------------

define("Floor", shape=shape_rules.unchanged, allowed=REAL)


def floor(x: Any, name: str | None = None) -> Tensor:
    """The greatest whole number that is not greater than x."""
    result: Tensor = apply("Floor", [x], name=name)
    return result


define("Ceil", shape=shape_rules.unchanged, allowed=REAL)


def ceil(x: Any, name: str | None = None) -> Tensor:
    """The least whole number that is not less than x."""
    result: Tensor = apply("Ceil", [x], name=name)
    return result


not_differentiable("Floor", "Ceil")


def round(x: Any, name: str | None = None) -> Tensor:
    """The nearest whole number, floor(x + 0.5): halves are rounded up. Ints as they are."""
    tensor = convert_to_tensor(x, name="x")
    return tensor if tensor.dtype.is_integer else floor(tensor + 0.5, name)


# -- tests -------------------------------------------------------------------------------------------------------------

define("IsNan", shape=shape_rules.unchanged, allowed=REAL, result=bool_)


def is_nan(x: Any, name: str | None = None) -> Tensor:
    """Whether x is NaN: bool."""
    result: Tensor = apply("IsNan", [x], name=name)
    return result


define("IsInf", shape=shape_rules.unchanged, allowed=REAL, result=bool_)


def is_inf(x: Any, name: str | None = None) -> Tensor:
    """Whether x is infinite, of either sign: bool."""
    result: Tensor = apply("IsInf", [x], name=name)
    return result


define("IsFinite", shape=shape_rules.unchanged, allowed=REAL, result=bool_)


def is_finite(x: Any, name: str | None = None) -> Tensor:
    """Whether x is neither infinite nor NaN: bool."""
    result: Tensor = apply("IsFinite", [x], name=name)
    return result


not_differentiable("IsNan", "IsInf", "IsFinite")

negative = neg
reciprocal = inv
