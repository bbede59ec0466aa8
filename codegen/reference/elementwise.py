"""What the elementwise ops mean. Integers wrap around; floats follow IEEE 754; shapes broadcast as in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, cast, invalid, reference, wide
from flowc.framework.dtypes import CASTABLE, bfloat16, float32
from flowc.framework.errors import UnimplementedError

_erf = np.frompyfunc(math.erf, 1, 1)
_UNARY: dict[str, Callable[[Array], Any]] = {
    "Neg": np.negative,
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Ceil": np.ceil,
    "Floor": np.floor,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tanh": np.tanh,
    "Square": lambda x: x * x,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Erf": lambda x: np.asarray(_erf(x), np.float64),
    "Conj": np.conj,
    "Real": np.real,
    "Imag": np.imag,
    "ComplexAbs": np.abs,
    "IsNan": np.isnan,
    "IsInf": np.isinf,
    "IsFinite": np.isfinite,
    "LogicalNot": np.logical_not,
}
_BINARY: dict[str, Callable[[Array, Array], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "LogicalAnd": np.logical_and,
    "LogicalOr": np.logical_or,
    "Equal": np.equal,
    "NotEqual": np.not_equal,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
}


def _register_tables() -> None:
    for op_type, unary in _UNARY.items():
        reference(op_type)(lambda op, x, function=unary: function(wide(x)))
    for op_type, binary in _BINARY.items():
        reference(op_type)(lambda op, x, y, function=binary: function(wide(x), wide(y)))


_register_tables()


@reference("Identity", "StopGradient")
def _identity(op: ReferenceOp, x: Array) -> Array:
    return x


@reference("Cast")
def _cast(op: ReferenceOp, x: Array) -> Array:
    """As C converts: floats to ints towards zero, complex to real by dropping the imaginary part, non-zero to True.

    A bfloat16, held as an uint16, is the upper half of a float32.
    """
    source, target = op.attrs.get("SrcT", op.dtypes[0]), op.dtypes[0]
    if not CASTABLE.issuperset((source, target)):
        raise UnimplementedError(None, None, f"Cast {source.name} to {target.name} is not supported")
    if source is bfloat16:
        x = (x.astype(np.uint32) << 16).view(np.float32)
    if target is bfloat16:
        return np.asarray(np.asarray(cast(x, float32)).view(np.uint32) >> 16)
    return x != 0 if op.dtype.kind == "b" else x


@reference("Complex")
def _complex(op: ReferenceOp, real: Array, imag: Array) -> Array:
    real, imag = np.broadcast_arrays(real, imag)
    result = np.empty(real.shape, op.dtype)
    result.real, result.imag = real, imag
    return result


@reference("Abs")
def _abs(op: ReferenceOp, x: Array) -> Array:
    return np.asarray(np.abs(wide(x)))


@reference("Sign")
def _sign(op: ReferenceOp, x: Array) -> Array:
    """-1, 0 or 1; NaN for NaN; x / |x| for complex numbers, 0 for 0."""
    return np.asarray(np.where(x == 0, x, np.sign(wide(x))))


@reference("AddN")
def _add_n(op: ReferenceOp, *inputs: Array) -> Array:
    total = wide(inputs[0])
    for x in inputs[1:]:
        total = total + wide(x)
    return total


@reference("Div")
def _div(op: ReferenceOp, x: Array, y: Array) -> Array:
    """x / y; integers towards zero, as C has it."""
    if op.dtype.kind not in "iu":
        return np.asarray(wide(x) / wide(y))
    _refuse_zero(x, y)
    quotient = np.asarray(x // y)
    inexact_negative = (quotient * y != x) & ((x < 0) != (y < 0))
    return np.asarray(quotient + inexact_negative)


@reference("Inv")
def _inv(op: ReferenceOp, x: Array) -> Array:
    return np.asarray(_div(op, np.ones_like(x), x))


@reference("Mod")
def _mod(op: ReferenceOp, x: Array, y: Array) -> Array:
    """The remainder of the division that rounds towards zero: it has the sign of x."""
    if op.dtype.kind in "iu":
        _refuse_zero(x, y)
    return np.asarray(np.fmod(wide(x), wide(y)))


def _refuse_zero(x: Array, y: Array) -> None:
    if np.broadcast(x, y).size and not y.all():
        invalid("Integer division by zero")


@reference("Pow")
def _pow(op: ReferenceOp, x: Array, y: Array) -> Array:
    """x to the power y. For integers: wraps around; a negative power gives the real result rounded towards zero."""
    if op.dtype.kind not in "iu":
        return np.asarray(np.float_power(x, y))  # power takes x^0.5 for √x, and -0 and -inf fare otherwise there
    x, y = np.broadcast_arrays(x, y)
    sign = np.where(y % 2 == 0, np.abs(x), x)
    inverse = np.where(np.abs(x) == 1, sign, 0)
    return np.asarray(np.where(y < 0, inverse, np.power(x, np.maximum(y, 0))))


@reference("Select")
def _select(op: ReferenceOp, condition: Array, x: Array, y: Array) -> Array:
    """x where the condition holds, else y; a vector condition chooses whole rows, a scalar one everything."""
    trailing = (1,) * (x.ndim - condition.ndim)
    return np.where(condition.reshape(condition.shape + trailing), x, y)


# -- activations -------------------------------------------------------------------------------------------------------


@reference("Sigmoid")
def _sigmoid(op: ReferenceOp, x: Array) -> Array:
    return sigmoid(wide(x))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow for real x."""
    if x.dtype.kind == "c":
        return np.asarray(1 / (1 + np.exp(-x)))
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, small, 1) / (1 + small))


@reference("Relu")
def _relu(op: ReferenceOp, x: Array) -> Array:
    return np.maximum(x, 0)


@reference("Relu6")
def _relu6(op: ReferenceOp, x: Array) -> Array:
    return np.minimum(np.maximum(x, 0), 6)


@reference("Elu")
def _elu(op: ReferenceOp, x: Array) -> Array:
    x = wide(x)
    return np.where(x < 0, np.expm1(x), x)


@reference("Softplus")
def _softplus(op: ReferenceOp, x: Array) -> Array:
    """log(1 + e^x)."""
    return np.asarray(np.logaddexp(wide(x), 0))


@reference("Softsign")
def _softsign(op: ReferenceOp, x: Array) -> Array:
    x = wide(x)
    return np.asarray(x / (1 + np.abs(x)))


@reference("ReluGrad")
def _relu_grad(op: ReferenceOp, grad: Array, features: Array) -> Array:
    return np.where(features > 0, grad, 0)


@reference("Relu6Grad")
def _relu6_grad(op: ReferenceOp, grad: Array, features: Array) -> Array:
    return np.where((features > 0) & (features < 6), grad, 0)


@reference("EluGrad")
def _elu_grad(op: ReferenceOp, grad: Array, outputs: Array) -> Array:
    return np.where(outputs < 0, wide(grad) * (wide(outputs) + 1), wide(grad))


@reference("SoftplusGrad")
def _softplus_grad(op: ReferenceOp, grad: Array, features: Array) -> Array:
    return np.asarray(wide(grad) * sigmoid(wide(features)))


@reference("SoftsignGrad")
def _softsign_grad(op: ReferenceOp, grad: Array, features: Array) -> Array:
    return np.asarray(wide(grad) / np.square(1 + np.abs(wide(features))))
