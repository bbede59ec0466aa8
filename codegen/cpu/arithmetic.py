"""Arithmetic of one element beyond Python's operators, and the accumulators of reductions.

abs sign square                 ints wrap (abs of the least int is itself); sign(NaN) is NaN, sign(±0) is ±0
sqrt rsqrt reciprocal           IEEE square root, 1/√x, 1/x
floor ceil rint trunc           to a whole float; rint: half to even
isnan isinf isfinite            of floats → bool
fma(x, y, z)                    x·y + z rounded once
div mod                         floats: IEEE division, remainder with the sign of x (fmod); ints: truncating, as C,
                                but x/0 and x mod 0 are 0 and the least int / −1 wraps. Never traps
floordiv                        the floor of the quotient
maximum minimum                 NaN if either is NaN; of +0 and −0 any. Bools: or, and
ipow(x, n)                      ints: wraps; negative n: 0 unless x is ±1
shl shr                         ints; the count is taken modulo the width; shr of a signed int keeps the sign
round_f16(x)                    the float16 nearest to a float32, as a float32
float_bits bits_float           the same bits as an int (i32, i64) and back
mulhi_u32(x, y)                 high half of the 64-bit product of two uint32
acc_add acc_mul                 s + v and s · v; floats may be added in any order, so that sums run in vectors
acc_max acc_min                 maximum and minimum of a running value
acc_or acc_and                  of bools
"""

from __future__ import annotations

from .dialect import (
    BOOL,
    F32,
    F64,
    I32,
    I64,
    SHORT_NAME,
    U32,
    U64,
    DialectError,
    Emitter,
    Primitive,
    Rule,
    Signature,
    Type,
    define,
    fixed,
    kind_of,
    same,
    signature,
)
from .intrinsics import binary, convert
from .llvm_text import REGISTER_TYPE, Builder, bits, constant, is_float, is_signed

# ---- one operand --------------------------------------------------------------------------------------------------


def llvm_suffix(dtype: str) -> str:
    """How LLVM's overloaded intrinsics name the type: f32, i32."""
    return dtype if is_float(dtype) else REGISTER_TYPE[dtype]


def intrinsic(b: Builder, name: str, dtype: str, *args: str, flags: str = "") -> str:
    llvm_type = REGISTER_TYPE[dtype]
    return b.call(llvm_type, f"llvm.{name}.{llvm_suffix(dtype)}", *((llvm_type, a) for a in args), flags=flags)


def float_intrinsic(name: str) -> Emitter:
    return lambda b, sig, args: intrinsic(b, name, kind_of(sig), *args)


for _name, _llvm in {
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "rint": "roundeven",
    "trunc": "trunc",
}.items():
    define(_name, same(1, "f"))(float_intrinsic(_llvm))
define("fma", same(3, "f"))(float_intrinsic("fma"))


@define("abs", same(1, "iuf"))
def emit_abs(b: Builder, sig: Signature, args: list[str]) -> str:
    dtype = kind_of(sig)
    if is_float(dtype):
        return intrinsic(b, "fabs", dtype, args[0])
    if not is_signed(dtype):
        return args[0]
    llvm_type = REGISTER_TYPE[dtype]
    return b.call(llvm_type, f"llvm.abs.{llvm_type}", (llvm_type, args[0]), ("i1", "false"))


@define("sign", same(1, "iuf"))
def emit_sign(b: Builder, sig: Signature, args: list[str]) -> str:
    dtype, (x,) = kind_of(sig), args
    llvm_type = REGISTER_TYPE[dtype]
    zero, one = constant(0, dtype), constant(1, dtype)
    if is_float(dtype):
        unit = intrinsic(b, "copysign", dtype, one, x)
        keep = b.value(f"fcmp ueq {llvm_type} {x}, {zero}")  # zero or NaN
        return b.value(f"select i1 {keep}, {llvm_type} {x}, {llvm_type} {unit}")
    positive = b.value(f"icmp ne {llvm_type} {x}, 0")
    unit = b.value(f"zext i1 {positive} to {llvm_type}")
    if not is_signed(dtype):
        return unit
    negative = b.value(f"icmp slt {llvm_type} {x}, 0")
    return b.value(f"select i1 {negative}, {llvm_type} -1, {llvm_type} {unit}")


@define("square", same(1, "iuf"))
def emit_square(b: Builder, sig: Signature, args: list[str]) -> str:
    dtype = kind_of(sig)
    return binary(b, "fmul contract" if is_float(dtype) else "mul", dtype, args[0], args[0])


@define("reciprocal", same(1, "f"))
def emit_reciprocal(b: Builder, sig: Signature, args: list[str]) -> str:
    return binary(b, "fdiv", kind_of(sig), constant(1, kind_of(sig)), args[0])


@define("rsqrt", same(1, "f"))
def emit_rsqrt(b: Builder, sig: Signature, args: list[str]) -> str:
    return emit_reciprocal(b, sig, [intrinsic(b, "sqrt", kind_of(sig), args[0])])


def classify(test: str) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        dtype = kind_of(sig)
        return binary(b, f"fcmp {test}", dtype, intrinsic(b, "fabs", dtype, args[0]), constant(float("inf"), dtype))

    return emit


define("isnan", same(1, "f", BOOL))(lambda b, sig, args: binary(b, "fcmp uno", kind_of(sig), args[0], args[0]))
define("isinf", same(1, "f", BOOL))(classify("oeq"))
define("isfinite", same(1, "f", BOOL))(classify("olt"))


@define("round_f16", fixed(F32, F32))
def emit_round_f16(b: Builder, sig: Signature, args: list[str]) -> str:
    half = b.value(f"fptrunc float {args[0]} to half")
    return b.value(f"fpext half {half} to float")


@define("half_of", fixed(F32, F64))
def emit_half_of(b: Builder, sig: Signature, args: list[str]) -> str:
    """Round to odd first (the last bit says that something was lost), so that rounding twice rounds right."""
    (x,) = args
    near = b.value(f"fptrunc double {x} to float")
    back = b.value(f"fpext float {near} to double")
    pattern = b.value(f"bitcast float {near} to i32")
    outside = b.value(f"fcmp ogt double {intrinsic(b, 'fabs', 'f64', back)}, {intrinsic(b, 'fabs', 'f64', x)}")
    step = b.value(f"select i1 {outside}, i32 -1, i32 1")
    even = b.value(f"icmp eq i32 {b.value(f'and i32 {pattern}, 1')}, 0")
    finite = b.value(f"fcmp one double {intrinsic(b, 'fabs', 'f64', back)}, {constant(float('inf'), 'f64')}")
    inexact = b.value(f"fcmp one double {back}, {x}")
    moved = b.value(f"and i1 {b.value(f'and i1 {even}, {inexact}')}, {finite}")
    odd = b.value(f"select i1 {moved}, i32 {b.value(f'add i32 {pattern}, {step}')}, i32 {pattern}")
    return emit_round_f16(b, sig, [b.value(f"bitcast i32 {odd} to float")])


# ---- bits ---------------------------------------------------------------------------------------------------------

SAME_WIDTH: dict[Type, Type] = {
    F32: I32,
    F64: I64,
    I32: F32,
    U32: F32,
    I64: F64,
    U64: F64,
}


def bitcast_rule(kinds: str) -> Rule:
    def rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
        if len(args) != 1 or args[0] not in SAME_WIDTH or SHORT_NAME[args[0]][0] not in kinds:
            raise DialectError(f"{self} is not defined for {args}")
        return signature(SAME_WIDTH[args[0]], args[0])

    return rule


@define("float_bits", bitcast_rule("f"))
@define("bits_float", bitcast_rule("iu"))
def emit_bitcast(b: Builder, sig: Signature, args: list[str]) -> str:
    old, new = REGISTER_TYPE[kind_of(sig)], REGISTER_TYPE[SHORT_NAME[sig.return_type]]
    return b.value(f"bitcast {old} {args[0]} to {new}")


@define("mulhi_u32", fixed(U32, U32, U32))
def emit_mulhi(b: Builder, sig: Signature, args: list[str]) -> str:
    x, y = (b.value(f"zext i32 {a} to i64") for a in args)
    high = b.value(f"lshr i64 {b.value(f'mul nuw i64 {x}, {y}')}, 32")
    return b.value(f"trunc i64 {high} to i32")


def shift(signed: str, unsigned: str) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        dtype = kind_of(sig)
        count = binary(b, "and", dtype, args[1], str(bits(dtype) - 1))
        return binary(b, signed if is_signed(dtype) else unsigned, dtype, args[0], count)

    return emit


define("shl", same(2, "iu"))(shift("shl", "shl"))
define("shr", same(2, "iu"))(shift("ashr", "lshr"))


# ---- quotients ----------------------------------------------------------------------------------------------------


def quotient(b: Builder, dtype: str, x: str, y: str) -> tuple[str, str]:
    """The truncated quotient of ints, 0 where y is 0; and whether it is."""
    t = REGISTER_TYPE[dtype]
    zero = b.value(f"icmp eq {t} {y}, 0")
    if bits(dtype) < 64:
        # exact in a float with twice as many bits, and unlike integer division it runs in vectors
        wide = "f32" if bits(dtype) < 32 else "f64"
        xf, yf = convert(b, dtype, wide, x), convert(b, dtype, wide, y)
        divisor = b.value(f"select i1 {zero}, {REGISTER_TYPE[wide]} {constant(1, wide)}, {REGISTER_TYPE[wide]} {yf}")
        exact = binary(b, "fdiv", wide, xf, divisor)
        # one bit more than dtype has, since the least int / −1 must wrap
        whole = b.value(f"fptosi {REGISTER_TYPE[wide]} {exact} to i{64 if bits(dtype) == 32 else 32}")
        result = b.value(f"trunc i{64 if bits(dtype) == 32 else 32} {whole} to {t}")
    elif is_signed(dtype):
        minus = b.value(f"icmp eq {t} {y}, -1")
        unsafe = b.value(f"or i1 {zero}, {minus}")
        divisor = b.value(f"select i1 {unsafe}, {t} 1, {t} {y}")
        negated = binary(b, "sub", dtype, "0", x)
        result = b.value(f"select i1 {minus}, {t} {negated}, {t} {binary(b, 'sdiv', dtype, x, divisor)}")
    else:
        result = binary(b, "udiv", dtype, x, b.value(f"select i1 {zero}, {t} 1, {t} {y}"))
    return b.value(f"select i1 {zero}, {t} 0, {t} {result}"), zero


def remainder(b: Builder, dtype: str, x: str, y: str, q: str) -> str:
    return binary(b, "sub", dtype, x, binary(b, "mul", dtype, q, y))


@define("div", same(2, "iuf"))
def emit_div(b: Builder, sig: Signature, args: list[str]) -> str:
    dtype = kind_of(sig)
    return binary(b, "fdiv", dtype, *args) if is_float(dtype) else quotient(b, dtype, *args)[0]


@define("mod", same(2, "iuf"))
def emit_mod(b: Builder, sig: Signature, args: list[str]) -> str:
    dtype, (x, y) = kind_of(sig), args
    if is_float(dtype):
        return binary(b, "frem", dtype, x, y)
    q, zero = quotient(b, dtype, x, y)
    t = REGISTER_TYPE[dtype]
    return b.value(f"select i1 {zero}, {t} 0, {t} {remainder(b, dtype, x, y, q)}")


@define("floordiv", same(2, "iuf"))
def emit_floordiv(b: Builder, sig: Signature, args: list[str]) -> str:
    dtype, (x, y) = kind_of(sig), args
    if is_float(dtype):
        return intrinsic(b, "floor", dtype, binary(b, "fdiv", dtype, x, y))
    q, zero = quotient(b, dtype, x, y)
    if not is_signed(dtype):
        return q
    t = REGISTER_TYPE[dtype]
    rest = remainder(b, dtype, x, y, q)
    inexact = b.value(f"icmp ne {t} {rest}, 0")
    opposite = b.value(f"icmp slt {t} {binary(b, 'xor', dtype, x, y)}, 0")
    below = b.value(f"and i1 {inexact}, {opposite}")
    lower = binary(b, "add", dtype, q, b.value(f"sext i1 {below} to {t}"))
    return b.value(f"select i1 {zero}, {t} 0, {t} {lower}")


# repeated squaring; a negative exponent leaves 1 for x = 1, ±1 for x = −1 and 0 for others
POWER_FUNCTION = """\
define internal {t} @power_{dtype}({t} %x, {t} %n) nounwind {{
entry:
  %negative = icmp {less} {t} %n, 0
  %up = add {t} %x, 1
  %unit = icmp ult {t} %up, 3
  %odd_unit = icmp ne {t} %x, 0
  %kept = and i1 %unit, %odd_unit
  %vanishes = xor i1 %kept, true
  %zero = and i1 %negative, %vanishes
  br i1 %zero, label %vanish, label %loop
vanish:
  ret {t} 0
loop:
  %result = phi {t} [ 1, %entry ], [ %product, %loop ]
  %base = phi {t} [ %x, %entry ], [ %squared, %loop ]
  %left = phi {t} [ %n, %entry ], [ %half, %loop ]
  %odd = trunc {t} %left to i1
  %factor = select i1 %odd, {t} %base, {t} 1
  %product = mul {t} %result, %factor
  %squared = mul {t} %base, %base
  %half = lshr {t} %left, 1
  %more = icmp ne {t} %half, 0
  br i1 %more, label %loop, label %done
done:
  ret {t} %product
}}"""


@define("ipow", same(2, "iu"))
def emit_ipow(b: Builder, sig: Signature, args: list[str]) -> str:
    dtype = kind_of(sig)
    t = REGISTER_TYPE[dtype]
    # for unsigned exponents "less than 0" must be false: `ult 0` is
    less = "slt" if is_signed(dtype) else "ult"
    b.definitions[f"power_{dtype}"] = POWER_FUNCTION.format(t=t, dtype=dtype, less=less)
    return b.value(f"call {t} @power_{dtype}({t} {args[0]}, {t} {args[1]})")


# ---- extremes and accumulators ------------------------------------------------------------------------------------


def extreme(name: str) -> Emitter:
    """`name`: max or min."""

    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        dtype = kind_of(sig)
        if dtype == "b1":
            return binary(b, "or" if name == "max" else "and", dtype, *args)
        if is_float(dtype):
            return intrinsic(b, f"{name}imum", dtype, *args, flags="nsz")
        return intrinsic(b, f"{'s' if is_signed(dtype) else 'u'}{name}", dtype, *args)

    return emit


for _name in ("max", "min"):
    define(f"{_name}imum", same(2, "biuf"))(extreme(_name))
    define(f"acc_{_name}", same(2, "biuf"))(extreme(_name))


def accumulate(name: str) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        dtype = kind_of(sig)
        return binary(b, f"f{name} reassoc contract" if is_float(dtype) else name, dtype, *args)

    return emit


define("acc_add", same(2, "iuf"))(accumulate("add"))
define("acc_mul", same(2, "iuf"))(accumulate("mul"))
define("acc_or", same(2, "b"))(lambda b, sig, args: binary(b, "or", "b1", *args))
define("acc_and", same(2, "b"))(lambda b, sig, args: binary(b, "and", "b1", *args))
