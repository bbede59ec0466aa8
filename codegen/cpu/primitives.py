"""How the loop IR's scalar primitives are spelled in CPU kernel source: the one table of this target.

Values of float16 are float32 variables that are rounded after every operation that can need it. Complex numbers are
pairs of real values before they get here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

SHORT = {
    "bool": "b1",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
}
FLOATS, INTS, BOOL = "f", "iu", "b"

# primitive → (template, kinds of dtype it is defined for, cycles a float32 or int32 element costs in vector code)
TABLE: dict[str, tuple[str, str, float]] = {
    "neg": ("(-{0})", FLOATS + INTS, 0.06),
    "abs": ("abs({0})", FLOATS + INTS, 0.06),
    "sign": ("sign({0})", FLOATS + INTS, 0.2),
    "square": ("square({0})", FLOATS + INTS, 0.06),
    "sqrt": ("sqrt({0})", FLOATS, 0.8),
    "rsqrt": ("rsqrt({0})", FLOATS, 1.6),
    "reciprocal": ("reciprocal({0})", FLOATS, 0.8),
    "exp": ("exp({0})", FLOATS, 0.9),
    "expm1": ("expm1({0})", FLOATS, 1.3),
    "log": ("log({0})", FLOATS, 1.3),
    "log1p": ("log1p({0})", FLOATS, 1.6),
    "sin": ("sin({0})", FLOATS, 2.0),
    "cos": ("cos({0})", FLOATS, 2.0),
    "tan": ("tan({0})", FLOATS, 3.0),
    "tanh": ("tanh({0})", FLOATS, 1.3),
    "sigmoid": ("sigmoid({0})", FLOATS, 1.6),
    "erf": ("erf({0})", FLOATS, 1.5),
    "erfc": ("erfc({0})", FLOATS, 40.0),
    "lgamma": ("lgamma({0})", FLOATS, 60.0),
    "floor": ("floor({0})", FLOATS, 0.12),
    "ceil": ("ceil({0})", FLOATS, 0.12),
    "round": ("rint({0})", FLOATS, 0.12),
    "isnan": ("isnan({0})", FLOATS, 0.06),
    "isinf": ("isinf({0})", FLOATS, 0.1),
    "isfinite": ("isfinite({0})", FLOATS, 0.1),
    "not": ("(~{0})", BOOL, 0.06),
    "bitwise_not": ("(~{0})", INTS, 0.06),
    "add": ("({0} + {1})", FLOATS + INTS, 0.06),
    "sub": ("({0} - {1})", FLOATS + INTS, 0.06),
    "mul": ("({0} * {1})", FLOATS + INTS, 0.06),
    "div": ("div({0}, {1})", FLOATS + INTS, 0.8),
    "mod": ("mod({0}, {1})", FLOATS + INTS, 2.0),
    "floordiv": ("floordiv({0}, {1})", FLOATS + INTS, 1.0),
    "pow": ("pow({0}, {1})", FLOATS, 4.0),
    "atan2": ("atan2({0}, {1})", FLOATS, 40.0),
    "maximum": ("maximum({0}, {1})", FLOATS + INTS + BOOL, 0.2),
    "minimum": ("minimum({0}, {1})", FLOATS + INTS + BOOL, 0.2),
    "eq": ("({0} == {1})", FLOATS + INTS + BOOL, 0.06),
    "ne": ("({0} != {1})", FLOATS + INTS + BOOL, 0.06),
    "lt": ("({0} < {1})", FLOATS + INTS, 0.06),
    "le": ("({0} <= {1})", FLOATS + INTS, 0.06),
    "gt": ("({0} > {1})", FLOATS + INTS, 0.06),
    "ge": ("({0} >= {1})", FLOATS + INTS, 0.06),
    "and": ("({0} & {1})", BOOL, 0.06),
    "or": ("({0} | {1})", BOOL, 0.06),
    "xor": ("({0} ^ {1})", BOOL, 0.06),
    "bitwise_and": ("({0} & {1})", INTS, 0.06),
    "bitwise_or": ("({0} | {1})", INTS, 0.06),
    "bitwise_xor": ("({0} ^ {1})", INTS, 0.06),
    "shift_left": ("shl({0}, {1})", INTS, 0.1),
    "shift_right": ("shr({0}, {1})", INTS, 0.1),
    "select": ("select({0}, {1}, {2})", FLOATS + INTS + BOOL, 0.06),
}
# where a dtype's kind is spelled or costs differently
OVERRIDES: dict[tuple[str, str], tuple[str, float]] = {
    ("pow", "i"): ("ipow({0}, {1})", 15.0),
    ("pow", "u"): ("ipow({0}, {1})", 15.0),
    ("mod", "f"): ("mod({0}, {1})", 20.0),
}
PREDICATES = {"eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "not"}
# of float16 operands these give a float16 as they are
EXACT = {"neg", "abs", "sign", "floor", "ceil", "round", "maximum", "minimum", "select", "mod"}
# float64 versions that the C library computes one element at a time, in cycles
SCALAR_FLOAT64 = {"sin": 20.0, "cos": 20.0, "tan": 40.0, "erf": 40.0, "pow": 40.0}

REDUCTIONS = {
    "add": "acc_add({0}, {1})",
    "mul": "acc_mul({0}, {1})",
    "max": "acc_max({0}, {1})",
    "min": "acc_min({0}, {1})",
    "and": "acc_and({0}, {1})",
    "or": "acc_or({0}, {1})",
}


def entry(prim: str, dtype: str) -> tuple[str, float]:
    """Template and cost of `prim` for operands of `dtype`. Raises KeyError if it is not defined for them."""
    kind = SHORT[dtype][0]
    if (prim, kind) in OVERRIDES:
        return OVERRIDES[prim, kind]
    template, kinds, cycles = TABLE[prim]
    if kind not in kinds:
        raise KeyError(f"{prim} is not defined for {dtype}")
    return template, cycles


def spell(prim: str, dtype: str, args: Sequence[str]) -> str:
    """Source of `prim` applied to the expressions `args`, `dtype` being that of the operands (of `select`: the last
    two). Raises KeyError for a primitive that is not defined for the dtype."""
    text = entry(prim, dtype)[0].format(*args)
    if dtype == "float16" and prim not in EXACT and prim not in PREDICATES:
        return f"round_f16({text})"
    return text


def spell_cast(source: str, target: str, arg: str) -> str:
    """Source of `arg` converted from dtype `source` to `target`. Floats to ints: see `intrinsics`."""
    if source == target or (source == "float16" and target == "float32"):
        return arg
    if target == "float16":
        if source in ("bool", "int8", "uint8"):
            return f"f32({arg})"
        if source in ("int32", "uint32", "int64", "uint64", "float64"):
            return f"half_of({arg if source == 'float64' else f'f64({arg})'})"
        return f"round_f16({arg if source == 'float32' else f'f32({arg})'})"
    return f"{SHORT[target]}({arg})"


def spell_reduction(reduction: str, dtype: str, accumulator: str, value: str) -> str:
    """Source of `accumulator` with `value` taken in. Sums of float16 are to be accumulated as float32."""
    if reduction not in REDUCTIONS or (SHORT[dtype] == "b1") != (reduction in ("and", "or")):
        raise KeyError(f"reduction {reduction} is not defined for {dtype}")
    return REDUCTIONS[reduction].format(accumulator, value)


def literal(value: float | int | bool, dtype: str) -> str:
    """Source of the constant `value` with exactly this dtype: `f32(0.5)`, `i64(3)`, `f32(-INF)`, `True`."""
    if dtype == "bool":
        return "True" if value else "False"
    short = SHORT[dtype]
    if short[0] != "f":
        return f"{short}({int(value)})"
    value = float(value)
    if dtype == "float16" and math.isfinite(value):
        try:
            (value,) = struct.unpack("<e", struct.pack("<e", value))
        except OverflowError:
            value = math.copysign(math.inf, value)
    if math.isnan(value):
        text = "NAN"
    elif math.isinf(value):
        text = "INF" if value > 0 else "-INF"
    else:
        text = repr(value)
    return f"{'f64' if dtype == 'float64' else 'f32'}({text})"


def result_dtype(prim: str, dtype: str) -> str:
    """The dtype that `prim` of operands of `dtype` has."""
    return "bool" if prim in PREDICATES else dtype


def limits(dtype: str) -> tuple[float | int, float | int]:
    """Least and greatest value; of floats the infinities."""
    short = SHORT[dtype]
    if short[0] == "b":
        return False, True
    if short[0] == "f":
        return -math.inf, math.inf
    bits = int(short[1:])
    return (0, (1 << bits) - 1) if short[0] == "u" else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def identity(reduction: str, dtype: str) -> str:
    """Source of what a reduction starts from."""
    least, greatest = limits(dtype)
    values = {"add": 0, "mul": 1, "max": least, "min": greatest, "and": True, "or": False}
    return literal(values[reduction], dtype)


def cost(prim: str, dtype: str) -> float:
    """Rough cycles an element on a core with 512-bit vectors: to weigh recomputing against storing."""
    cycles = entry(prim, dtype)[1]
    if dtype == "float64" and prim in SCALAR_FLOAT64:
        return SCALAR_FLOAT64[prim]
    if dtype in ("float64", "int64", "uint64"):
        wide = 10.0 if SHORT[dtype][0] != "f" and prim in ("div", "mod", "floordiv") else 2.0
        return cycles * wide
    return cycles
