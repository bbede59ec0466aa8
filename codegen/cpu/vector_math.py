"""exp, log, tanh, sin, erf, pow … as straight-line LLVM IR without branches or calls, which the vectoriser widens.

float32: all of them; `bench/ulp.py` prints the greatest errors over all 2³² inputs. float64: exp, expm1, log, log1p,
tanh and sigmoid; the others are the C library's, one element at a time. NaN, infinities, zeros (with their signs) and
denormals are as C99's Annex F says. Minimax coefficients come from `bench/minimax.py`.

Methods: exp, log: argument reduction and minimax polynomial (W. J. Cody and W. Waite, Software Manual for the
Elementary Functions, 1980). sin, cos: the angle in right angles as a float64 pair, the multiple of 2π that lies in
the exponent taken out by a factor chosen by size (after M. H. Payne and R. N. Hanek, 1983). pow: float64 throughout.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

from .arithmetic import intrinsic
from .dialect import Emitter, Signature, define, kind_of, same
from .intrinsics import convert
from .llvm_text import REGISTER_TYPE, Builder, constant

# exp(r) = 1 + r + r²·p(r), |r| ≤ ½ log 2
EXP32 = (0.5000000095701159, 0.16666518306108563, 0.04166620413752408, 0.008368953504268271, 0.0013950602377816948)
# expm1(r) = r + r²·p(r), to full relative precision
EXPM1_32 = (
    0.5000000046664613, 0.16666666817899628, 0.041666353539158735,
    0.008333272830829798, 0.0013941102226372683, 0.00019914302337217837,
)  # fmt: skip
# log(1+f) = f − f²/2 + f³·p(f), √½ ≤ 1+f ≤ √2
LOG32 = (
    0.33333316725657325, -0.25000810402838375, 0.20002286293650104, -0.16624554133662559,
    0.14181191527300224, -0.1312875352385745, 0.12881649967815725, -0.07859618018099035,
)  # fmt: skip
# sin(π/2·f) = f·p(f²), cos(π/2·f) = p(f²), |f| ≤ 0.57
SIN32 = (1.570796313080126, -0.6459627442422177, 0.07967175467176633, -0.004578584603511548)
COS32 = (0.9999999998250166, -1.233700523174538, 0.2536688431151521, -0.020857740509632523, 0.0008989968637391759)
# erf(x) = x + x·p(x²) for |x| ≤ 0.93;  erfc(x) = exp(−x·p(x)) for 0.92 ≤ x ≤ 4
ERF32 = (
    0.1283791500371773, -0.376124943181885, 0.11281802785401887,
    -0.02676556742545256, 0.004990980817441433, -0.0005976896416054839,
)  # fmt: skip
ERFC32 = (
    1.1283775586509934, 0.636212113972913, 0.10456724518948712,
    -0.022414609485181872, 0.003056833655986139, -0.00019354553654418733,
)  # fmt: skip
# float64: log2(1+f) = f·p(f);  2^r = p(r), |r| ≤ ½
LOG2 = (
    1.4426950408667778, -0.7213475207459265, 0.480898362509449, -0.36067369950616857, 0.2885372017046647,
    -0.24045172868524708, 0.20617751148911231, -0.18033584379204484, 0.15876418443822915, -0.1427685245465133,
    0.14446021252781113, -0.14442189178915954, 0.07954590477591811,
)  # fmt: skip
EXP2 = (
    0.9999999999592247, 0.6931471805348228, 0.24022651216701169, 0.05550410976779162,
    0.009618025188954068, 0.0013333422094101248, 0.0001546986438768505, 1.531659122647269e-05,
)  # fmt: skip

LOG2_E = 1.4426950408889634
INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True)
class Range:
    """What exp, log and their like need to know of a float dtype."""

    ln2_high: float  # few bits: its product with an exponent is exact
    ln2_low: float
    exp: tuple[float, ...]
    expm1: tuple[float, ...]
    exp_bounds: tuple[float, float]  # beyond them exp is 0 or infinite
    expm1_least: float  # below it expm1 is −1
    tanh_greatest: float  # beyond it tanh is 1
    root_half: int  # bits of √½
    tiny: float  # least normal number


TAYLOR_EXP = tuple(1 / math.factorial(n + 2) for n in range(12))
RANGES = {
    "f32": Range(
        ln2_high=0.693145751953125,
        ln2_low=1.4286068203094173e-06,
        exp=EXP32,
        expm1=EXPM1_32,
        exp_bounds=(-104.5, 89.0),
        expm1_least=-25.0,
        tanh_greatest=10.0,
        root_half=0x3F3504F3,
        tiny=2.0**-126,
    ),
    "f64": Range(
        ln2_high=0.693147180369123816490,
        ln2_low=1.90821492927058770002e-10,
        exp=TAYLOR_EXP,
        expm1=TAYLOR_EXP,
        exp_bounds=(-746.0, 710.0),
        expm1_least=-45.0,
        tanh_greatest=20.0,
        root_half=0x3FE6A09E667F3BCD,
        tiny=2.0**-1022,
    ),
}
HALF_PI_HIGH = 1.57079637050628662109375
HALF_PI_LOW = SIN32[0] - HALF_PI_HIGH


class Real:
    """Appends operations on one float dtype; an operand is an SSA name or a Python number."""

    def __init__(self, b: Builder, dtype: str) -> None:
        self.b, self.dtype, self.type = b, dtype, REGISTER_TYPE[dtype]
        self.width = int(dtype[1:])
        self.int_type = f"i{self.width}"
        self.mantissa_bits = {32: 23, 64: 52}[self.width]
        self.bias = {32: 127, 64: 1023}[self.width]
        # added to a number of small magnitude, it leaves the nearest whole number in the low bits
        self.rounder = 1.5 * 2.0**self.mantissa_bits
        self.range = RANGES[dtype]

    def text(self, v: str | float) -> str:
        return v if isinstance(v, str) else constant(v, self.dtype)

    def op(self, name: str, x: str | float, y: str | float) -> str:
        return self.b.value(f"{name} {self.type} {self.text(x)}, {self.text(y)}")

    def add(self, x: str | float, y: str | float) -> str:
        return self.op("fadd", x, y)

    def sub(self, x: str | float, y: str | float) -> str:
        return self.op("fsub", x, y)

    def mul(self, x: str | float, y: str | float) -> str:
        return self.op("fmul", x, y)

    def div(self, x: str | float, y: str | float) -> str:
        return self.op("fdiv", x, y)

    def fma(self, x: str | float, y: str | float, z: str | float) -> str:
        return intrinsic(self.b, "fma", self.dtype, self.text(x), self.text(y), self.text(z))

    def neg(self, x: str) -> str:
        return self.b.value(f"fneg {self.type} {x}")

    def abs(self, x: str) -> str:
        return intrinsic(self.b, "fabs", self.dtype, x)

    def copysign(self, x: str, sign: str) -> str:
        return intrinsic(self.b, "copysign", self.dtype, x, sign)

    def polynomial(self, x: str, coefficients: tuple[float, ...]) -> str:
        total: str | float = coefficients[-1]
        for c in coefficients[-2::-1]:
            total = self.fma(total, x, c)
        return self.text(total)

    def test(self, predicate: str, x: str | float, y: str | float) -> str:
        return self.op(f"fcmp {predicate}", x, y)

    def select(self, condition: str, x: str | float, y: str | float) -> str:
        return self.b.value(f"select i1 {condition}, {self.type} {self.text(x)}, {self.type} {self.text(y)}")

    def at_most(self, x: str, bound: float) -> str:
        """min(x, bound), NaN kept."""
        return self.select(self.test("ogt", x, bound), bound, x)

    def at_least(self, x: str, bound: float) -> str:
        return self.select(self.test("olt", x, bound), bound, x)

    # ---- bits

    def bits(self, x: str) -> str:
        return self.b.value(f"bitcast {self.type} {x} to {self.int_type}")

    def from_bits(self, x: str) -> str:
        return self.b.value(f"bitcast {self.int_type} {x} to {self.type}")

    def int_op(self, name: str, x: str, y: str | int) -> str:
        return self.b.value(f"{name} {self.int_type} {x}, {y}")

    def power_of_two(self, k: str) -> str:
        """2^k; of k's bits only the lowest count, so that the bits of `k + rounder` will do."""
        shifted = self.int_op("shl", k, self.mantissa_bits)
        return self.from_bits(self.int_op("add", shifted, self.bias << self.mantissa_bits))

    def nearest(self, x: str, factor: float) -> tuple[str, str]:
        """n = x·factor rounded to a whole number, as a float and as bits whose lowest are n."""
        shifted = self.fma(x, factor, self.rounder)
        return self.sub(shifted, self.rounder), self.bits(shifted)

    def from_small_int(self, k: str) -> str:
        """An int of few bits as a float: vectors of 64-bit ints have no cheap conversion everywhere."""
        if self.width == 32:
            return convert(self.b, "i32", "f32", k)
        (rounder_bits,) = struct.unpack("<q", struct.pack("<d", self.rounder))
        return self.sub(self.from_bits(self.int_op("add", k, rounder_bits)), self.rounder)


# ---- exponentials, float32 and float64 ----------------------------------------------------------------------------


def reduce_exp(f: Real, x: str) -> tuple[str, str, str]:
    """x = n·log 2 + r: n as a float, n as bits, r."""
    n, n_bits = f.nearest(x, LOG2_E)
    minus = f.neg(n)
    return n, n_bits, f.fma(minus, f.range.ln2_low, f.fma(minus, f.range.ln2_high, x))


def emit_exp(f: Real, x: str) -> str:
    """The scale is applied as two factors, since 2^n alone may over- or underflow where the result does not."""
    least, greatest = f.range.exp_bounds
    n, n_bits, r = reduce_exp(f, f.at_least(f.at_most(x, greatest), least))
    square = f.mul(r, r)
    y = f.add(f.fma(square, f.polynomial(r, f.range.exp), r), 1.0)
    _, half_bits = f.nearest(n, 0.5)
    scaled = f.mul(y, f.power_of_two(half_bits))
    return f.mul(scaled, f.power_of_two(f.int_op("sub", n_bits, half_bits)))


def half_expm1(f: Real, x: str) -> str:
    """(exp(x) − 1)/2 for x within the range where 2^(n−1) is a float."""
    _, n_bits, r = reduce_exp(f, x)
    p = f.fma(f.mul(r, r), f.polynomial(r, f.range.expm1), r)
    half_scale = f.power_of_two(f.int_op("sub", n_bits, 1))
    return f.fma(half_scale, p, f.sub(half_scale, 0.5))


def emit_expm1(f: Real, x: str) -> str:
    half = half_expm1(f, f.at_least(f.at_most(x, f.range.exp_bounds[1]), f.range.expm1_least))
    return f.copysign(f.add(half, half), x)


def emit_tanh(f: Real, x: str) -> str:
    """m/(m + 1) with m = (exp(2|x|) − 1)/2."""
    size = f.at_most(f.abs(x), f.range.tanh_greatest)
    m = half_expm1(f, f.add(size, size))
    return f.copysign(f.div(m, f.add(m, 1.0)), x)


def emit_sigmoid(f: Real, x: str) -> str:
    """With e = exp(−|x|), which cannot overflow: 1/(1 + e), for negative x e/(1 + e)."""
    e = emit_exp(f, f.neg(f.abs(x)))
    return f.div(f.select(f.test("olt", x, 0.0), e, 1.0), f.add(e, 1.0))


# ---- logarithms, float32 and float64 ------------------------------------------------------------------------------


def log_of_product(f: Real, m: str, exponent: str) -> str:
    """log((1 + m)·2^exponent) for √½ ≤ 1 + m ≤ √2."""
    half_square = f.mul(f.mul(m, m), 0.5)
    tail = log_tail32(f, m) if f.width == 32 else log_tail64(f, m, half_square)
    tail = f.fma(exponent, f.range.ln2_low, tail)
    return f.fma(exponent, f.range.ln2_high, f.add(m, f.sub(tail, half_square)))


def log_tail32(f: Real, m: str) -> str:
    """log(1 + m) − m + m²/2."""
    return f.mul(f.mul(f.mul(m, m), m), f.polynomial(m, LOG32))


def log_tail64(f: Real, m: str, half_square: str) -> str:
    """The same by the series of 2 artanh(s), s = m/(2 + m): half the terms, and its first ones cancel exactly."""
    s = f.div(m, f.add(m, 2.0))
    z = f.mul(s, s)
    rest = f.mul(z, f.polynomial(z, tuple(2 / (2 * n + 3) for n in range(11))))
    return f.mul(s, f.add(half_square, rest))


def split_exponent(f: Real, x: str) -> tuple[str, str]:
    """x = m·2^e with √½ ≤ m < √2, for positive normal x: the bits of e and of m."""
    pattern = f.bits(x)
    e = f.int_op("ashr", f.int_op("sub", pattern, f.range.root_half), f.mantissa_bits)
    return e, f.int_op("sub", pattern, f.int_op("shl", e, f.mantissa_bits))


def emit_log(f: Real, x: str) -> str:
    tiny = f.test("olt", x, f.range.tiny)
    e, m = split_exponent(f, f.select(tiny, f.mul(x, 2.0**f.mantissa_bits), x))
    exponent = f.from_small_int(e)
    exponent = f.select(tiny, f.sub(exponent, float(f.mantissa_bits)), exponent)
    y = log_of_product(f, f.sub(f.from_bits(m), 1.0), exponent)
    return log_specials(f, x, y, 0.0)


def log_specials(f: Real, x: str, y: str, pole: float) -> str:
    y = f.select(f.test("oeq", x, INF), INF, y)
    y = f.select(f.test("oeq", x, pole), -INF, y)
    return f.select(f.test("ult", x, pole), NAN, y)


def emit_log1p(f: Real, x: str) -> str:
    """The exponent is that of 1 + x, but the mantissa comes from x by one fused operation, so nothing cancels."""
    e, _ = split_exponent(f, f.add(x, 1.0))
    # 2^-e in two steps, since it may be denormal
    quadruple = f.int_op("sub", str((f.bias + 2) << f.mantissa_bits), f.int_op("shl", e, f.mantissa_bits))
    scale = f.mul(f.from_bits(quadruple), 0.25)
    m = f.fma(x, scale, f.sub(scale, 1.0))
    y = log_of_product(f, m, f.from_small_int(e))
    return f.select(f.test("oeq", x, 0.0), x, log_specials(f, x, y, -1.0))


# ---- float32: trigonometry ----------------------------------------------------------------------------------------

# 2^shift · 2/π modulo 4 (right angles in a turn) as a float64 pair: |x| ≥ 2^(shift+23) is a multiple of 2^shift
TURNS = (
    (0, 0.6366197723675814, -3.935735335036497e-17),
    (27, -0.5529460512772132, 3.808591801500832e-17),
    (54, 1.2910009524680295, -3.862804515881076e-17),
    (79, -0.3284762738195453, 2.3488816399632256e-17),
)


def reduce_angle(f: Real, x: str) -> tuple[str, str]:
    """|x| = (4·i + k + r) right angles with |r| ≤ 0.57: k's bits modulo 4 in an int32, and r."""
    d = Real(f.b, "f64")
    size = f.abs(x)
    _, high, low = TURNS[0]
    scale: str | float = 1.0
    chosen_high: str | float = high
    chosen_low: str | float = low
    for shift, high, low in TURNS[1:]:
        large = f.test("oge", size, 2.0 ** (shift + 23))
        scale = f.select(large, 2.0**-shift, scale)
        chosen_high, chosen_low = d.select(large, high, chosen_high), d.select(large, low, chosen_low)
    z = convert(f.b, "f32", "f64", f.mul(size, scale))
    product = d.mul(z, chosen_high)
    rest = d.fma(z, chosen_low, d.fma(z, chosen_high, d.neg(product)))
    shifted = d.add(product, d.rounder)
    r = d.add(d.sub(product, d.sub(shifted, d.rounder)), rest)
    quadrant = f.b.value(f"trunc i64 {d.bits(shifted)} to i32")
    return quadrant, convert(f.b, "f64", "f32", r)


def sine_and_cosine(f: Real, r: str) -> tuple[str, str]:
    """sin and cos of π/2·r. The first coefficient, π/2, is taken as a sum so that its rounding does not count."""
    square = f.mul(r, r)
    tail = f.fma(square, f.polynomial(square, SIN32[1:]), HALF_PI_LOW)
    return f.fma(r, HALF_PI_HIGH, f.mul(r, tail)), f.polynomial(square, COS32)


def odd(f: Real, quadrant: str) -> str:
    return f.int_op("icmp ne", f.int_op("and", quadrant, 1), 0)


def with_sign_bit(f: Real, y: str, bit_one: str) -> str:
    """y, negated where bit 1 of `bit_one` is set."""
    sign = f.int_op("shl", f.int_op("and", bit_one, 2), 30)
    return f.from_bits(f.int_op("xor", f.bits(y), sign))


def sin32(f: Real, x: str) -> str:
    quadrant, r = reduce_angle(f, x)
    sine, cosine = sine_and_cosine(f, r)
    y = with_sign_bit(f, f.select(odd(f, quadrant), cosine, sine), quadrant)
    negative = f.int_op("and", f.bits(x), -(1 << 31))
    return f.from_bits(f.int_op("xor", f.bits(y), negative))


def cos32(f: Real, x: str) -> str:
    quadrant, r = reduce_angle(f, x)
    sine, cosine = sine_and_cosine(f, r)
    return with_sign_bit(f, f.select(odd(f, quadrant), sine, cosine), f.int_op("add", quadrant, 1))


def tan32(f: Real, x: str) -> str:
    """sin/cos, in odd quadrants −cos/sin."""
    quadrant, r = reduce_angle(f, x)
    sine, cosine = sine_and_cosine(f, r)
    swap = odd(f, quadrant)
    y = f.div(f.select(swap, f.neg(cosine), sine), f.select(swap, sine, cosine))
    negative = f.int_op("and", f.bits(x), -(1 << 31))
    return f.from_bits(f.int_op("xor", f.bits(y), negative))


# ---- float32: erf and pow -----------------------------------------------------------------------------------------


def erf32(f: Real, x: str) -> str:
    size = f.at_most(f.abs(x), 4.0)
    small = f.fma(size, f.polynomial(f.mul(size, size), ERF32), size)
    exponent = f.mul(f.neg(size), f.polynomial(size, ERFC32))
    _, n_bits, r = reduce_exp(f, exponent)
    complement = f.mul(f.add(f.fma(f.mul(r, r), f.polynomial(r, EXP32), r), 1.0), f.power_of_two(n_bits))
    large = f.sub(1.0, complement)
    return f.copysign(f.select(f.test("olt", size, 0.927), small, large), x)


def pow32(f: Real, x: str, y: str) -> str:
    d = Real(f.b, "f64")
    logarithm = log2_64(d, convert(f.b, "f32", "f64", f.abs(x)))
    product = d.mul(convert(f.b, "f32", "f64", y), logarithm)
    product = d.at_least(d.at_most(product, 200.0), -200.0)
    n, n_bits = d.nearest(product, 1.0)
    power = d.mul(d.polynomial(d.sub(product, n), EXP2), d.power_of_two(n_bits))
    return pow_specials(f, x, y, convert(f.b, "f64", "f32", power))


def log2_64(d: Real, x: str) -> str:
    """log2 of a float32's magnitude; −inf, inf and NaN as they should be. Denormal float32 are normal here."""
    e, mantissa = split_exponent(d, x)
    m = d.sub(d.from_bits(mantissa), 1.0)
    y = d.fma(m, d.polynomial(m, LOG2), d.from_small_int(e))
    y = d.select(d.test("ueq", x, INF), x, y)
    return d.select(d.test("oeq", x, 0.0), -INF, y)


def pow_specials(f: Real, x: str, y: str, power: str) -> str:
    """The sign for negative x, NaN for a fraction's power of it, and the exponents and bases that always give 1."""
    whole = f.test("oeq", intrinsic(f.b, "trunc", f.dtype, y), y)
    half = f.mul(y, 0.5)
    odd_y = f.b.value(f"and i1 {whole}, {f.test('une', intrinsic(f.b, 'trunc', f.dtype, half), half)}")
    negative = f.b.value(f"icmp slt i32 {f.bits(x)}, 0")
    flipped = f.b.value(f"and i1 {negative}, {odd_y}")
    result = f.select(flipped, f.neg(power), power)
    finite_negative = f.b.value(f"and i1 {f.test('olt', x, 0.0)}, {f.test('ogt', x, -INF)}")
    undefined = f.b.value(f"and i1 {finite_negative}, {f.b.value(f'xor i1 {whole}, true')}")
    result = f.select(undefined, NAN, result)
    minus_one = f.b.value(f"and i1 {f.test('oeq', x, -1.0)}, {f.test('oeq', f.abs(y), INF)}")
    always = f.b.value(f"or i1 {f.test('oeq', x, 1.0)}, {f.test('oeq', y, 0.0)}")
    return f.select(f.b.value(f"or i1 {always}, {minus_one}"), 1.0, result)


# ---- the names ----------------------------------------------------------------------------------------------------


def library_call(b: Builder, name: str, dtype: str, args: list[str]) -> str:
    """The C library's function, one element at a time."""
    t = REGISTER_TYPE[dtype]
    return b.call(t, name + ("f" if dtype == "f32" else ""), *((t, a) for a in args))


BOTH: dict[str, Callable[..., str]] = {
    "exp": emit_exp,
    "expm1": emit_expm1,
    "log": emit_log,
    "log1p": emit_log1p,
    "tanh": emit_tanh,
    "sigmoid": emit_sigmoid,
}
FLOAT32 = BOTH | {"sin": sin32, "cos": cos32, "tan": tan32, "erf": erf32, "pow": pow32}
VECTORISED = {"f32": FLOAT32, "f64": BOTH}


def library_emitter(name: str) -> Emitter:
    return lambda b, sig, args: library_call(b, name, kind_of(sig), args)


def emitter(name: str) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        dtype = kind_of(sig)
        vectorised = VECTORISED[dtype].get(name)
        return vectorised(Real(b, dtype), *args) if vectorised else library_call(b, name, dtype, args)

    return emit


for _name in (*FLOAT32, "erfc", "lgamma", "atan2"):
    define(_name, same(2 if _name in ("pow", "atan2") else 1, "f"))(emitter(_name))

# the C library's own, as c_exp …: what the others are measured against
for _name in FLOAT32.keys() - {"sigmoid"}:
    define(f"c_{_name}", same(2 if _name == "pow" else 1, "f"))(library_emitter(_name))
