"""Every name that kernel source may use: its typing rule and its LLVM IR.

    ptr_f32(address, scope)   a buffer of float32 (also b1 i8 … u64 f16 f64) at an int64 address; memory of different
                              scopes (small ints ≥ 0) never overlaps, −1: nothing is known
    advance(buffer, k)        the same buffer k elements further on;   address(buffer) its int64 address
    f32(x), i8(x), b1(x) …    conversion: of floats that fit no i32 or i64, NaN too, to the least one (as x86 and NumPy
                              do), to other ints the nearest one and 0 for NaN; ints to narrower ints wrap
    select(c, a, b)           a where c, else b; both are evaluated, no branch
    range                     as Python's, for vector loops whose last vector is masked: good for any length
    wide_range                the same for long loops of little work: more vectors at once, then a scalar remainder
    unrolled_range            for loops of a few rounds, known where they are written: no loop is left
    imin imax                 of two int64;   idiv imod: of int64, truncating, the divisor must not be 0

The tables of arithmetic, reductions, calls and atomics follow below, each entry with its meaning.
"""

from __future__ import annotations

import ast

from .dialect import (
    BOOL,
    I64,
    SCALARS,
    SHORT_NAME,
    VOID,
    Buffer,
    DialectError,
    Emitter,
    Number,
    Primitive,
    Rule,
    Signature,
    Type,
    common_type,
    define,
    fixed,
    kind_of,
    same,
    signature,
    typed,
)
from .llvm_text import ITEM_SIZE, MEMORY_TYPE, REGISTER_TYPE, Builder, bits, constant, is_float, is_signed

# ---- buffers ------------------------------------------------------------------------------------------------------


def pointer_rule(dtype: str) -> Rule:
    def rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
        if len(args) != 2 or not isinstance(args[1], Number) or args[0] != I64:
            raise DialectError(f"{self} takes an int64 address and a scope written as a number, not {args}")
        return signature(Buffer(dtype, int(args[1].value)), I64, I64)

    return rule


def emit_pointer(b: Builder, sig: Signature, args: list[str]) -> str:
    return b.value(f"inttoptr i64 {args[0]} to ptr")


for _dtype in MEMORY_TYPE:
    define(f"ptr_{_dtype}", pointer_rule(_dtype))(emit_pointer)


def advance_rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
    if len(args) != 2 or not isinstance(args[0], Buffer) or typed(args[1]) != I64:
        raise DialectError(f"{self} takes a buffer and an int64, not {args}")
    return signature(args[0], args[0], I64)


@define("advance", advance_rule)
def emit_advance(b: Builder, sig: Signature, args: list[str]) -> str:
    return element_pointer(b, buffer_of(sig), args[0], args[1])


def element_pointer(b: Builder, buffer: Buffer, base: str, index: str) -> str:
    return b.value(f"getelementptr inbounds {MEMORY_TYPE[buffer.dtype]}, ptr {base}, i64 {index}")


def address_rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
    if len(args) != 1 or not isinstance(args[0], Buffer):
        raise DialectError(f"{self} takes a buffer, not {args}")
    return signature(I64, args[0])


@define("address", address_rule)
def emit_address(b: Builder, sig: Signature, args: list[str]) -> str:
    return b.value(f"ptrtoint ptr {args[0]} to i64")


def item_rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
    buffer, index = args[:2]
    if not isinstance(buffer, Buffer) or typed(index) != I64:
        raise DialectError(f"{buffer}[{index}]: only buffers are indexed, and only by int64")
    if len(args) == 2:
        return signature(buffer.element, buffer, I64)
    if not isinstance(args[2], Number) and args[2] != buffer.element:
        raise DialectError(f"{buffer}[…] = {args[2]}: cast the value to {buffer.element}")
    return signature(VOID, buffer, I64, buffer.element)


def buffer_of(sig: Signature) -> Buffer:
    buffer = sig.args[0]
    assert isinstance(buffer, Buffer)  # the typing rules have seen to it
    return buffer


def emit_load(b: Builder, sig: Signature, args: list[str]) -> str:
    buffer = buffer_of(sig)
    pointer = element_pointer(b, buffer, *args)
    suffix = f", align {ITEM_SIZE[buffer.dtype]}{b.scope_suffix(buffer.scope)}"
    loaded = b.value(f"load {MEMORY_TYPE[buffer.dtype]}, ptr {pointer}{suffix}")
    if buffer.dtype == "b1":
        return b.value(f"icmp ne i8 {loaded}, 0")
    if buffer.dtype == "f16":
        return b.value(f"fpext half {loaded} to float")
    return loaded


def emit_store(b: Builder, sig: Signature, args: list[str]) -> str:
    buffer = buffer_of(sig)
    base, index, value = args
    if buffer.dtype == "b1":
        value = b.value(f"zext i1 {value} to i8")
    elif buffer.dtype == "f16":
        value = b.value(f"fptrunc float {value} to half")
    pointer = element_pointer(b, buffer, base, index)
    suffix = f", align {ITEM_SIZE[buffer.dtype]}{b.scope_suffix(buffer.scope)}"
    b.do(f"store {MEMORY_TYPE[buffer.dtype]} {value}, ptr {pointer}{suffix}")
    return ""


GET_ITEM = Primitive("getitem", item_rule, emit_load)
SET_ITEM = Primitive("setitem", item_rule, emit_store)


# ---- conversions --------------------------------------------------------------------------------------------------


def convert(b: Builder, source: str, target: str, value: str) -> str:
    """`value` of dtype `source` as `target`: see the table above."""
    if source == target:
        return value
    old, new = REGISTER_TYPE[source], REGISTER_TYPE[target]
    if target == "b1":
        return b.value(f"fcmp une {old} {value}, 0.0" if is_float(source) else f"icmp ne {old} {value}, 0")
    if is_float(source) and is_float(target):
        return b.value(f"{'fpext' if target == 'f64' else 'fptrunc'} {old} {value} to {new}")
    if is_float(source):
        return float_to_int(b, source, target, value)
    if is_float(target):
        return b.value(f"{'si' if is_signed(source) else 'ui'}tofp {old} {value} to {new}")
    if source != "b1" and bits(source) >= bits(target):
        return value if bits(source) == bits(target) else b.value(f"trunc {old} {value} to {new}")
    return b.value(f"{'sext' if is_signed(source) else 'zext'} {old} {value} to {new}")


def float_to_int(b: Builder, source: str, target: str, value: str) -> str:
    """See the table above. (LLVM's own fptosi is undefined beyond the range, and fptosi.sat seldom vectorises.)"""
    old, new = REGISTER_TYPE[source], REGISTER_TYPE[target]
    signed = is_signed(target)
    least, beyond = (-(2 ** (bits(target) - 1)), 2 ** (bits(target) - 1)) if signed else (0, 2 ** bits(target))
    low, high = constant(float(least), source), constant(float(beyond), source)
    inside = b.value(
        f"and i1 {b.value(f'fcmp oge {old} {value}, {low}')}, {b.value(f'fcmp olt {old} {value}, {high}')}"
    )
    safe = b.value(f"select i1 {inside}, {old} {value}, {old} {constant(0, source)}")
    whole = b.value(f"fpto{'s' if signed else 'u'}i {old} {safe} to {new}")
    if target in ("i32", "i64"):
        return b.value(f"select i1 {inside}, {new} {whole}, {new} {least}")
    above = b.value(f"fcmp oge {old} {value}, {high}")
    whole = b.value(f"select i1 {above}, {new} {beyond - 1}, {new} {whole}")
    if not signed:
        return whole
    below = b.value(f"fcmp olt {old} {value}, {low}")
    return b.value(f"select i1 {below}, {new} {least}, {new} {whole}")


def cast_rule(dtype: str) -> Rule:
    def rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
        if len(args) != 1 or not (isinstance(args[0], Number) or args[0] in SHORT_NAME):
            raise DialectError(f"{self} takes one scalar, not {args}")
        return signature(SCALARS[dtype], SCALARS[dtype] if isinstance(args[0], Number) else args[0])

    return rule


def emit_cast(b: Builder, sig: Signature, args: list[str]) -> str:
    return convert(b, kind_of(sig), SHORT_NAME[sig.return_type], args[0])


for _dtype in SCALARS:
    define(_dtype, cast_rule(_dtype))(emit_cast)


# ---- operators ----------------------------------------------------------------------------------------------------


def binary(b: Builder, opcode: str, dtype: str, x: str, y: str) -> str:
    return b.value(f"{opcode} {REGISTER_TYPE[dtype]} {x}, {y}")


def arithmetic(name: str) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        dtype = kind_of(sig)
        return binary(b, f"f{name} contract" if is_float(dtype) else name, dtype, *args)

    return emit


def bitwise(name: str, unsigned: str | None = None) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        dtype = kind_of(sig)
        return binary(b, name if is_signed(dtype) or unsigned is None else unsigned, dtype, *args)

    return emit


def comparison(name: str) -> Emitter:
    """Of floats: ordered, so false for NaN, but `!=` is true for it."""

    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        dtype = kind_of(sig)
        if is_float(dtype):
            return binary(b, f"fcmp {'une' if name == 'ne' else 'o' + name}", dtype, *args)
        sign = "" if name in ("eq", "ne") else ("s" if is_signed(dtype) else "u")
        return binary(b, f"icmp {sign}{name}", dtype, *args)

    return emit


def emit_neg(b: Builder, sig: Signature, args: list[str]) -> str:
    dtype = kind_of(sig)
    if is_float(dtype):
        return b.value(f"fneg {REGISTER_TYPE[dtype]} {args[0]}")
    return binary(b, "sub", dtype, "0", args[0])


def emit_not(b: Builder, sig: Signature, args: list[str]) -> str:
    return binary(b, "xor", kind_of(sig), args[0], constant(True, "b1") if kind_of(sig) == "b1" else "-1")


OPERATORS: dict[type[ast.AST], Primitive] = {
    ast.Add: Primitive("+", same(2, "iuf"), arithmetic("add")),
    ast.Sub: Primitive("-", same(2, "iuf"), arithmetic("sub")),
    ast.Mult: Primitive("*", same(2, "iuf"), arithmetic("mul")),
    ast.Div: Primitive("/", same(2, "f"), arithmetic("div")),
    ast.BitAnd: Primitive("&", same(2, "biu"), bitwise("and")),
    ast.BitOr: Primitive("|", same(2, "biu"), bitwise("or")),
    ast.BitXor: Primitive("^", same(2, "biu"), bitwise("xor")),
    ast.LShift: Primitive("<<", same(2, "iu"), bitwise("shl")),
    ast.RShift: Primitive(">>", same(2, "iu"), bitwise("ashr", "lshr")),
    ast.Eq: Primitive("==", same(2, "biuf", BOOL), comparison("eq")),
    ast.NotEq: Primitive("!=", same(2, "biuf", BOOL), comparison("ne")),
    ast.Lt: Primitive("<", same(2, "iuf", BOOL), comparison("lt")),
    ast.LtE: Primitive("<=", same(2, "iuf", BOOL), comparison("le")),
    ast.Gt: Primitive(">", same(2, "iuf", BOOL), comparison("gt")),
    ast.GtE: Primitive(">=", same(2, "iuf", BOOL), comparison("ge")),
    ast.USub: Primitive("unary -", same(1, "iuf"), emit_neg),
    ast.Not: Primitive("not", same(1, "b"), emit_not),
    ast.Invert: Primitive("~", same(1, "biu"), emit_not),
}


# ---- selection and index arithmetic -------------------------------------------------------------------------------


def select_rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
    if len(args) != 3 or args[0] != BOOL:
        raise DialectError(f"{self} takes a bool and two values, not {args}")
    common = common_type(self, args[1:])
    return signature(common, BOOL, common, common)


@define("select", select_rule)
def emit_select(b: Builder, sig: Signature, args: list[str]) -> str:
    llvm_type = REGISTER_TYPE[kind_of(sig, 1)]
    return b.value(f"select i1 {args[0]}, {llvm_type} {args[1]}, {llvm_type} {args[2]}")


for _name, _opcode in {"idiv": "sdiv", "imod": "srem"}.items():
    define(_name, fixed(I64, I64, I64))(bitwise(_opcode))


@define("imin", fixed(I64, I64, I64))
def emit_imin(b: Builder, sig: Signature, args: list[str]) -> str:
    return b.call("i64", "llvm.smin.i64", ("i64", args[0]), ("i64", args[1]))


@define("imax", fixed(I64, I64, I64))
def emit_imax(b: Builder, sig: Signature, args: list[str]) -> str:
    return b.call("i64", "llvm.smax.i64", ("i64", args[0]), ("i64", args[1]))
