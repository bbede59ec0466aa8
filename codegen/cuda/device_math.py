"""What the C library computes for the CPU's kernels, for GPUs: written in the dialect, in float64, as LLVM IR to link.

    fmod                     exact: long division of the mantissas
    sin cos tan              the angle modulo a right angle, from three parts of π/2 or (large ones) 192 bits of 2/π
    atan2                    the angle reduced to π/16 by quotients, then its series
    pow                      log2 as a pair of float64 numbers, times y, then exp2
    erf erfc                 the series of exp(-x²) with positive terms; a continued fraction beyond 2.25
    lgamma                   series about 1 and 2, Stirling's beyond 12, reflection below 1/2

Errors stay below 4 ULP of float64 (erfc below 16; lgamma of negative numbers: near its zeros absolutely). Each function
takes and returns float64 as int64 bits, so that it can be compiled and tested on the CPU as well. Sources: M. H. Payne
and R. N. Hanek, 1983; NIST Digital Library of Mathematical Functions, chapters 4, 5 and 7.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

_SIGN: Final = -(1 << 63)
_SIZE: Final = (1 << 63) - 1
_INFINITE: Final = 0x7FF << 52
_NAN: Final = (0x7FF << 52) | (1 << 51)
_UNIT: Final = 1 << 52


def _horner(x: str, coefficients: list[float]) -> str:
    """The polynomial of `x` with these coefficients, from that of 1 on, as source."""
    text = repr(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        text = f"fma({x}, f64({text}), {c!r})" if "fma" not in text else f"fma({x}, {text}, {c!r})"
    return text


FMOD: Final = f"""
def fmod_bits(p, q):
    sign = p & {_SIGN}
    a = p & {_SIZE}
    b = q & {_SIZE}
    if b == 0 or a >= {_INFINITE} or b > {_INFINITE}:
        return {_NAN}
    if a < b:
        return p
    exponent = imax(b >> 52, 1)
    left = imax(a >> 52, 1) - exponent
    divisor = b & {_UNIT - 1}
    if b >= {_UNIT}:
        divisor = divisor | {_UNIT}
    rest = a & {_UNIT - 1}
    if a >= {_UNIT}:
        rest = rest | {_UNIT}
    rest = imod(rest, divisor)
    while left > 0:
        step = imin(left, 10)
        rest = imod(shl(rest, step), divisor)
        left = left - step
    if rest == 0:
        return sign
    while rest < {_UNIT} and exponent > 1:
        rest = rest << 1
        exponent = exponent - 1
    if rest < {_UNIT}:
        return sign | rest
    return sign | (exponent << 52) | (rest & {_UNIT - 1})
"""

# → q (the quadrant), r + low, the angle from it
_REDUCED: Final = f"""
    x = bits_float(p)
    size = p & {_SIZE}
    if size >= {_INFINITE}:
        return {_NAN}
    q = i64(0)
    r = x
    low = f64(0.0)
    if abs(x) < 100000.0:
        turns = rint(x * {2 / math.pi!r})
        q = i64(turns)
        first = fma(-turns, f64({math.pi / 2!r}), x)
        product = turns * {6.123233995736766e-17!r}
        lost = fma(turns, f64({6.123233995736766e-17!r}), -product)
        r = first - product
        low = ((first - r) - product) - lost - turns * {-1.4973849048591833e-33!r}
    else:
        exponent = (size >> 52) - 1075
        m = u64((size & {_UNIT - 1}) | {_UNIT})
        start = imax(exponent - 2, 0)
        excess = u64(imax(2 - exponent, 0))
        at = start >> 6
        shift = u64(start & 63)
        a = two_over_pi(at)
        b = two_over_pi(at + 1)
        c = two_over_pi(at + 2)
        d = two_over_pi(at + 3)
        if shift > 0:
            back = u64(64) - shift
            a = shl(a, shift) | shr(b, back)
            b = shl(b, shift) | shr(c, back)
            c = shl(c, shift) | shr(d, back)
        if excess > 0:
            back = u64(64) - excess
            c = shr(c, excess) | shl(b, back)
            b = shr(b, excess) | shl(a, back)
            a = shr(a, excess)
        lowest = mulhi_u64(m, c)
        middle = m * b + lowest
        carry = u64(0)
        if middle < lowest:
            carry = u64(1)
        high = m * a + mulhi_u64(m, b) + carry
        q = i64(shr(high + {1 << 61}, u64(62)))
        part = i64(high - shl(u64(q), u64(62)))
        top = f64(part)
        left = f64(part - i64(top)) + f64(shr(middle, u64(11))) * {2.0**-53!r}
        sum = (top + left) * {2.0**-62!r}
        rest = (top - (top + left)) * {2.0**-62!r} + left * {2.0**-62!r}
        r = sum * {math.pi / 2!r}
        low = fma(sum, f64({math.pi / 2!r}), -r) + sum * 6.123233995736766e-17 + rest * {math.pi / 2!r}
        if x < 0.0:
            q = -q
            r = -r
            low = -low
    z = r * r
"""
_SINES: Final = [(-1) ** n / math.factorial(2 * n + 1) for n in range(1, 9)]
_COSINES: Final = [(-1) ** n / math.factorial(2 * n) for n in range(2, 10)]
_BOTH: Final = f"""
    sine = r + fma(r * z, {_horner("z", _SINES)}, low * (1.0 - 0.5 * z))
    half = 0.5 * z
    near = 1.0 - half
    cosine = near + (((1.0 - near) - half) + fma(z * z, {_horner("z", _COSINES)}, -r * low))
"""
SIN: Final = f"""
def sin_bits(p):{_REDUCED}{_BOTH}
    if size == 0:
        return p
    value = select((q & 1) == 1, cosine, sine)
    return float_bits(select((q & 2) == 2, -value, value))
"""
COS: Final = f"""
def cos_bits(p):{_REDUCED}{_BOTH}
    value = select((q & 1) == 1, sine, cosine)
    return float_bits(select(((q + 1) & 2) == 2, -value, value))
"""
TAN: Final = f"""
def tan_bits(p):{_REDUCED}{_BOTH}
    if size == 0:
        return p
    return float_bits(select((q & 1) == 1, -cosine / sine, sine / cosine))
"""


def _tangent_error() -> float:
    """How much more the angle is than with tan π/8 = √2 - 1 rounded to float64."""
    scale = 1 << 160
    exact = math.isqrt(2 * scale * scale) - scale
    rounded = int(math.tan(math.pi / 8) * 2**60) * (scale >> 60)
    return (exact - rounded) / scale * math.cos(math.pi / 8) ** 2


_TANGENT_ERROR: Final = _tangent_error()
_ATAN: Final = [(-1) ** n / (2 * n + 1) for n in range(1, 12)]
ATAN2: Final = f"""
def atan2_bits(p, q):
    y = bits_float(p)
    x = bits_float(q)
    if y != y or x != x:
        return {_NAN}
    a = abs(y)
    b = abs(x)
    if a == INF and b == INF:
        a = f64(1.0)
        b = f64(1.0)
    steep = a > b
    upper = select(steep, b, a)
    lower = select(steep, a, b)
    if lower > 1e300:
        upper = upper * {2.0**-60!r}
        lower = lower * {2.0**-60!r}
    elif lower < 1e-290:
        upper = upper * {2.0**300!r}
        lower = lower * {2.0**300!r}
    angle = f64(0.0)
    rest = f64(0.0)
    if lower > 0.0 and lower < INF:
        t = upper / lower
        if t > {math.tan(3 * math.pi / 16)!r}:
            angle = f64({math.pi / 4!r})
            rest = f64({3.061616997868383e-17!r})
            t = (upper - lower) / (upper + lower)
        elif t > {math.tan(math.pi / 16)!r}:
            angle = f64({math.pi / 8!r})
            rest = f64({1.5308084989341915e-17!r})
            t = fma(f64({-math.tan(math.pi / 8)!r}), lower, upper) / fma(f64({math.tan(math.pi / 8)!r}), upper, lower)
            rest = rest - {_TANGENT_ERROR!r}
        z = t * t
        rest = rest + fma(t * z, {_horner("z", _ATAN)}, f64(0.0))
        angle = angle + (t + rest)
    if steep:
        angle = {math.pi / 2!r} - (angle - 6.123233995736766e-17)
    if q < 0:
        angle = {math.pi!r} - (angle - 1.2246467991473532e-16)
    return float_bits(select(p < 0, -angle, angle))
"""

# exp(-a²), a² exact
_POWER: Final = """
    high = bits_float(float_bits(a) & -134217728)
    power = exp(-high * high) * exp((high - a) * (high + a))
"""
# erf(a) = erf + rest
_SERIES: Final = f"""
        z = 2.0 * a * a
        term = f64(1.0)
        total = f64(1.0)
        lost = f64(0.0)
        n = f64(3.0)
        while term > total * 1e-18:
            term = term * z / n
            old = total
            total = old + term
            lost = lost + (term - (total - old))
            n = n + 2.0
        size = {2 / math.sqrt(math.pi)!r} * a * power
        erf = size * total
        rest = fma(size, total, -erf) + size * lost
"""
# tail = erfc(a)
_FRACTION: Final = f"""
        k = rint(60.0 + 700.0 / (a * a))
        fraction = a
        while k > 0.0:
            fraction = a + 0.5 * k / fraction
            k = k - 1.0
        tail = power / fraction * {1 / math.sqrt(math.pi)!r}
"""
ERF: Final = f"""
def erf_bits(p):
    x = bits_float(p)
    a = abs(x)
    if x != x:
        return p
    value = f64(1.0)
    if a < 6.0:{_POWER.replace("    ", "        ")}
        if a < 1.0:{_SERIES.replace("        ", "            ", 0).replace(chr(10) + "    ", chr(10) + "        ")}
            value = erf + rest
        else:{_FRACTION.replace(chr(10) + "    ", chr(10) + "        ")}
            value = 1.0 - tail
    return float_bits(select(p < 0, -value, value))
"""
ERFC: Final = f"""
def erfc_bits(p):
    x = bits_float(p)
    a = abs(x)
    if x != x:
        return p
    if x > 27.5:
        return 0
    if x < -6.0:
        return float_bits(f64(2.0)){_POWER}
    if a < 0.75:{_SERIES}
        return float_bits(select(x < 0.0, 1.0 + (erf + rest), (1.0 - erf) - rest))
    else:{_FRACTION}
        return float_bits(select(x < 0.0, 2.0 - tail, tail))
"""


def _zeta_less_one(k: int) -> float:
    """ζ(k) - 1, by its series and the Euler–Maclaurin rest."""
    n = 400
    rest = n ** (1 - k) / (k - 1) - n**-k / 2 + k * n ** (-k - 1) / 12 - k * (k + 1) * (k + 2) * n ** (-k - 3) / 720
    return math.fsum([*(float(i) ** -k for i in range(2, n + 1)), rest])


_GAMMA: Final = 0.5772156649015329
# log Γ(2+z) = z·(1-γ) + Σ (-1)^k·(ζ(k)-1)·z^k/k
_ABOUT_TWO: Final = [1 - _GAMMA, *((-1) ** k * _zeta_less_one(k) / k for k in range(2, 34))]
_STIRLING: Final = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156]
LGAMMA: Final = f"""
def lgamma_bits(p):
    x = bits_float(p)
    if x != x:
        return p
    if abs(x) == INF:
        return {_INFINITE}
    a = x
    reflected = f64(0.0)
    if x < 0.5:
        whole = rint(x)
        if whole == x:
            return {_INFINITE}
        if abs(x) < 1e-17:
            return float_bits(-log(abs(x)))
        z = {math.pi!r} * (x - whole)
        z = z * z
        sine = {math.pi!r} * abs(x - whole) * fma(z, {_horner("z", _SINES)}, f64(1.0))
        if abs(x - whole) > 0.25:
            z = {math.pi!r} * (0.5 - abs(x - whole))
            z = z * z
            sine = fma(z, fma(z, {_horner("z", _COSINES)}, -0.5), 1.0)
        reflected = log({math.pi!r} / sine)
        a = 1.0 - x
    value = f64(0.0)
    if a < 1.5:
        z = a - 1.0
        value = fma(z, {_horner("z", _ABOUT_TWO)}, -log1p(z))
    elif a < 12.0:
        product = f64(1.0)
        while a > 2.5:
            a = a - 1.0
            product = product * a
        z = a - 2.0
        value = z * {_horner("z", _ABOUT_TWO)} + log(product)
    else:
        inverse = 1.0 / a
        z = inverse * inverse
        rest = {0.5 * math.log(2 * math.pi) - 0.5!r} + inverse * {_horner("z", _STIRLING)}
        value = (a - 0.5) * (log(a) - 1.0) + rest
    return float_bits(select(x < 0.5, reflected - value, value))
"""

_LOG2_E: Final = (1.4426950408889634, 2.0355273740931033e-17)
_ATANH: Final = [1 / (2 * n + 1) for n in range(2, 13)]  # from s⁵/5 on
_EXP2: Final = [math.log(2) ** n / math.factorial(n) for n in range(2, 15)]
POW: Final = f"""
def pow_bits(p, q):
    x = bits_float(p)
    y = bits_float(q)
    if y == 0.0 or x == 1.0:
        return float_bits(f64(1.0))
    if x != x or y != y:
        return {_NAN}
    a = abs(x)
    if abs(y) == INF:
        if a == 1.0:
            return float_bits(f64(1.0))
        return select((a > 1.0) == (y > 0.0), {_INFINITE}, i64(0))
    whole = trunc(y) == y
    odd = whole and trunc(0.5 * y) != 0.5 * y
    sign = select(odd, p & {_SIGN}, i64(0))
    if a == 0.0 or a == INF:
        return sign | select((a > 1.0) == (y > 0.0), {_INFINITE}, i64(0))
    if x < 0.0 and not whole:
        return {_NAN}
    if a == 1.0:
        return sign | float_bits(a)
    size = float_bits(a)
    extra = i64(0)
    if size < {_UNIT}:
        size = float_bits(a * {2.0**54!r})
        extra = -54
    e = ((size - {0x3FE6A09E667F3BCD}) >> 52) + extra
    m = bits_float(size - ((e - extra) << 52))
    top = m - 1.0
    bottom = m + 1.0
    bottom_low = m - (bottom - 1.0)
    s = top / bottom
    s_low = (fma(-s, bottom, top) - s * bottom_low) / bottom
    z = s * s
    z_low = fma(s, s, -z) + 2.0 * s * s_low
    third = z * {1 / 3!r}
    third_low = fma(z, f64({1 / 3!r}), -third) + z * {1.850371707708594e-17!r} + z_low * {1 / 3!r}
    tail = z * z * {_horner("z", _ATANH)}
    factor = 1.0 + third
    factor_low = ((1.0 - factor) + third) + third_low + tail
    total = s * factor
    total_low = fma(s, factor, -total) + s * factor_low + s_low * factor
    log = total * {2 * _LOG2_E[0]!r}
    log_low = fma(total, f64({2 * _LOG2_E[0]!r}), -log) + total * {2 * _LOG2_E[1]!r} + total_low * {2 * _LOG2_E[0]!r}
    base = f64(e)
    high = base + log
    low = ((base - high) + log) + log_low
    if abs(y) > 1e19:
        return sign | select((high + low > 0.0) == (y > 0.0), {_INFINITE}, i64(0))
    power = y * high
    power_low = fma(y, high, -power) + y * low
    if power > 1100.0:
        return sign | {_INFINITE}
    if power < -1200.0:
        return sign
    n = rint(power)
    f = (power - n) + power_low
    value = fma(f * f, {_horner("f", _EXP2)}, fma(f, f64({math.log(2)!r}), f64(1.0)))
    half = rint(0.5 * n)
    value = value * bits_float((i64(half) + 1023) << 52) * bits_float((i64(n - half) + 1023) << 52)
    return sign | float_bits(value)
"""

_SOURCES: Final = {
    "fmod": FMOD, "sin": SIN, "cos": COS, "tan": TAN, "atan2": ATAN2,
    "erf": ERF, "erfc": ERFC, "lgamma": LGAMMA, "pow": POW,
}  # fmt: skip
_PARAMETERS: Final = {"fmod": 2, "atan2": 2, "pow": 2}
LIBRARY: Final = frozenset({*_SOURCES, *(f"{name}f" for name in _SOURCES)})


@cache
def source_of(name: str) -> str:
    """The dialect's source of `name_bits`."""
    return _SOURCES[name]


@cache
def definition(name: str) -> str:
    """LLVM IR of the C function `name`, for a module of its own."""
    from flowc.codegen.cpu.compiler import lower_to_ir
    from flowc.codegen.cuda import intrinsics  # noqa: F401  it defines the names

    base = name if name in _SOURCES else name.removesuffix("f")
    count = _PARAMETERS.get(base, 1)
    text = lower_to_ir(source_of(base), f"{base}_bits", f"i64({','.join(['i64'] * count)})")
    kind = "double" if name == base else "float"
    lines = [f"define {kind} @{name}({', '.join(f'{kind} %a{i}' for i in range(count))}) #0 {{"]
    for i in range(count):
        lines += [f"  %w{i} = fpext float %a{i} to double"] if kind == "float" else []
        lines += [f"  %b{i} = bitcast double %{'w' if kind == 'float' else 'a'}{i} to i64"]
    lines += [f"  %r = call i64 @{base}_bits({', '.join(f'i64 %b{i}' for i in range(count))})"]
    lines += ["  %d = bitcast i64 %r to double"]
    lines += ["  %f = fptrunc double %d to float"] if kind == "float" else []
    text = text.replace("define i64", "define internal i64").replace("i1 MASKED_LOOPS", "i1 false")
    return text + "\n".join([*lines, f"  ret {kind} %{'f' if kind == 'float' else 'd'}", "}", ""])
