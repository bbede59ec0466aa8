"""Complex numbers: their parts, conjugate and modulus.

The gradient of a real loss with respect to z = x + iy is dL/dx + i·dL/dy: holomorphic functions pass it on times the
conjugate of their derivative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.dtypes import COMPLEX, DType, complex64, complex128, float32, float64
from flowc.framework.graph import Tensor
from flowc.framework.registry import define, gradient
from flowc.ops.array_ops import ones_like, zeros_like
from flowc.ops.broadcasting_ops import unbroadcast

__all__ = ["complex", "complex_abs", "conj", "imag", "real"]

_COMPLEX_OF: dict[DType, DType] = {float32: complex64, float64: complex128}
_REAL_OF: dict[DType, DType] = {complex64: float32, complex128: float64}


def _complex_type(types: Sequence[DType], attrs: Mapping[str, Any]) -> Sequence[DType]:
    return [_COMPLEX_OF[types[0]]]


def _real_type(types: Sequence[DType], attrs: Mapping[str, Any]) -> Sequence[DType]:
    return [_REAL_OF[types[0]]]


define("Complex", shape=shape_rules.broadcast, allowed=frozenset(_COMPLEX_OF), result=_complex_type, inputs="real imag")


def complex(real: Any, imag: Any, name: str | None = None) -> Tensor:
    """real + i·imag: complex64 of two float32 tensors, complex128 of two float64 ones."""
    return apply("Complex", [real, imag], name=name)


@gradient("Complex")
def _complex_grad(op: Any, grad: Any) -> Any:
    return unbroadcast(op, real(grad), imag(grad))


define("Real", shape=shape_rules.unchanged, allowed=COMPLEX, result=_real_type, inputs="in")


def real(in_: Any, name: str | None = None) -> Tensor:
    """The real part."""
    return apply("Real", [in_], name=name)


@gradient("Real")
def _real_grad(op: Any, grad: Any) -> Any:
    return complex(grad, zeros_like(grad))


define("Imag", shape=shape_rules.unchanged, allowed=COMPLEX, result=_real_type, inputs="in")


def imag(in_: Any, name: str | None = None) -> Tensor:
    """The imaginary part."""
    return apply("Imag", [in_], name=name)


@gradient("Imag")
def _imag_grad(op: Any, grad: Any) -> Any:
    return complex(zeros_like(grad), grad)


define("Conj", shape=shape_rules.unchanged, allowed=COMPLEX, inputs="in")


def conj(in_: Any, name: str | None = None) -> Tensor:
    """The complex conjugate: the imaginary part with the other sign."""
    return apply("Conj", [in_], name=name)


@gradient("Conj")
def _conj_grad(op: Any, grad: Any) -> Any:
    return conj(grad)


define("ComplexAbs", shape=shape_rules.unchanged, allowed=COMPLEX, result=_real_type, inputs="x")


def complex_abs(x: Any, name: str | None = None) -> Tensor:
    """The modulus √(a² + b²) of a + ib, without overflow on the way: a real tensor."""
    return apply("ComplexAbs", [x], name=name)


@gradient("ComplexAbs")
def _complex_abs_grad(op: Any, grad: Any) -> Any:
    """The direction z / |z|, and 0 at 0."""
    z, modulus = op.inputs[0], op.outputs[0]
    divisor = apply("Select", [apply("Equal", [modulus, 0]), ones_like(modulus), modulus])
    scale = grad / divisor
    return complex(scale * real(z), scale * imag(z))
