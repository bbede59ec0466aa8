"""Elementwise ops: each is a scalar primitive, or a few."""

from __future__ import annotations

from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import checked, dense, full, invalid, refuse_strings
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import CASTABLE, DType, bfloat16, bool_, complex64, float32, float64
from flowc.framework.errors import UnimplementedError

UNARY: Final = {
    "Abs": "abs",
    "Ceil": "ceil",
    "ComplexAbs": "complex_abs",
    "Conj": "conj",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Imag": "imag",
    "IsFinite": "isfinite",
    "IsInf": "isinf",
    "IsNan": "isnan",
    "LogicalNot": "not",
    "Neg": "neg",
    "Real": "real",
    "Rsqrt": "rsqrt",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sqrt": "sqrt",
    "Square": "square",
    "Tanh": "tanh",
}
BINARY: Final = {
    "Add": "add",
    "Complex": "complex",
    "Equal": "eq",
    "Greater": "gt",
    "GreaterEqual": "ge",
    "Less": "lt",
    "LessEqual": "le",
    "LogicalAnd": "and",
    "LogicalOr": "or",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "NotEqual": "ne",
    "Sub": "sub",
}
DIVISION: Final = {"Div": "div", "Mod": "mod"}


@lowering(*UNARY)
def unary(p: Program, op: LoweredOp, x: Node) -> Node:
    return p.map(UNARY[op.type], x, dtype=op.dtypes[0])


@lowering(*BINARY)
def binary(p: Program, op: LoweredOp, x: Node, y: Node) -> Node:
    return p.map(BINARY[op.type], x, y, dtype=op.dtypes[0])


@lowering(*DIVISION)
def division(p: Program, op: LoweredOp, x: Node, y: Node) -> Node:
    """Of integers, truncated; a divisor of 0 fails the run, or the compilation if it is known."""
    if op.dtypes[0].is_integer:
        divisor = op.values[1]
        if divisor is None:
            y = checked(p, "check_nonzero", y, "Integer division by zero")
        elif op.shapes[0].count(0) == 0 and not divisor.all():
            raise invalid("Integer division by zero")
    return p.map(DIVISION[op.type], x, y)


@lowering("Inv")
def inverse(p: Program, op: LoweredOp, x: Node) -> Node:
    if not op.dtypes[0].is_integer:
        return p.map("reciprocal", x)
    return p.map("div", p.scalar(1, x.dtype), checked(p, "check_nonzero", x, "Integer division by zero"))


@lowering("Pow")
def power(p: Program, op: LoweredOp, x: Node, y: Node) -> Node:
    """Of complex numbers exp(y · log x), and by definition where x is 0."""
    result = p.map("pow", x, y)
    if not result.dtype.is_complex or result.attr != "pow":
        return result
    zero, one, nan = (p.scalar(value, result.dtype) for value in (0, 1, complex("nan+nanj")))
    real_y = p.map("real", y, dtype=_part(result))
    positive = p.map("gt", real_y, p.scalar(0, real_y.dtype))
    of_zero = p.map("select", p.map("eq", y, zero), one, p.map("select", positive, zero, nan))
    return p.map("select", p.map("eq", x, zero), of_zero, result)


def _part(z: Node) -> DType:
    return float32 if z.dtype is complex64 else float64


@lowering("Cast")
def cast(p: Program, op: LoweredOp, x: Node) -> Node:
    """As C converts; a complex number is true unless both parts are 0. A bfloat16 goes by way of float32."""
    if not CASTABLE.issuperset((x.dtype, op.dtypes[0])):
        raise UnimplementedError(None, None, f"Cast {x.dtype.name} to {op.dtypes[0].name} is not supported")
    if x.dtype is bfloat16:
        return p.cast(p.call("widen_bfloat16", [dense(p, x)], x.shape, float32), op.dtypes[0])
    if op.dtypes[0] is bfloat16:
        return p.call("truncate_bfloat16", [dense(p, p.cast(x, float32))], x.shape, bfloat16)
    if x.dtype.is_complex and op.dtypes[0] is bool_:
        return p.map("ne", x, p.scalar(0, x.dtype))
    return p.cast(x, op.dtypes[0])


@lowering("Select")
def select(p: Program, op: LoweredOp, condition: Node, x: Node, y: Node) -> Node:
    """A vector condition chooses rows."""
    refuse_strings(x.dtype, "Select")
    trailing = (1,) * (len(x.shape) - len(condition.shape))
    return p.map("select", p.reshape(condition, condition.shape + trailing), x, y)


@lowering("Identity", "StopGradient")
def identity(p: Program, op: LoweredOp, x: Node) -> Node:
    return x


@lowering("ZerosLike")
def zeros_like(p: Program, op: LoweredOp, x: Node) -> Node:
    return full(p, x.shape, 0, x.dtype)
