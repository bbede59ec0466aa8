"""Every primitive, for every dtype it is defined for, against NumPy in exact integers or float64."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bench.ulp import compiled
from flowc.codegen.cpu import primitives
from flowc.codegen.cpu.primitives import SHORT, spell, spell_cast, spell_reduction

Array = npt.NDArray[Any]
FLOATS = ("float16", "float32", "float64")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
UNARY = {p for p, (template, _, _) in primitives.TABLE.items() if "{1}" not in template}
BINARY = {p for p, (template, _, _) in primitives.TABLE.items() if "{1}" in template and "{2}" not in template}


def defined(prims: set[str], dtype: str) -> list[str]:
    found = []
    for prim in sorted(prims):
        try:
            primitives.entry(prim, dtype)
        except KeyError:
            continue
        found.append(prim)
    return found


def run(lines: Sequence[str], inputs: Sequence[Array], output_dtypes: Sequence[str]) -> list[Array]:
    """A kernel that stores the expressions `lines` of x, y, z (elements of the inputs) into one output each."""
    n = len(inputs[0])
    outputs = [np.zeros(n, d) for d in output_dtypes]
    source = ["def k(args, lo, hi):", "    a = ptr_i64(args, -1)"]
    for i, array in enumerate([*inputs, *outputs]):
        source.append(f"    p{i} = ptr_{SHORT[array.dtype.name]}(a[{i}], {i})")
    source.append("    for i in range(lo, hi):")
    source += [f"        {'xyz'[i]} = p{i}[i]" for i in range(len(inputs))]
    source += [f"        p{len(inputs) + i}[i] = {line}" for i, line in enumerate(lines)]
    words = np.array([array.ctypes.data for array in [*inputs, *outputs]], np.int64)
    compiled("\n".join(source) + "\n", "k")(words.ctypes.data, 0, n)
    return outputs


@functools.cache
def operands(dtype: str) -> tuple[Array, Array]:
    """All pairs of awkward values, and random ones."""
    random = np.random.default_rng(1)
    if dtype == "bool":
        values, more = np.array([False, True]), random.integers(0, 2, (2, 50)).astype(bool)
    elif dtype in INTS:
        info = np.iinfo(dtype)
        special = {0, 1, 2, 3, 7, info.max, info.max - 1, info.min, info.min + 1, info.max // 2}
        special |= {-1, -2, -3, -7} if info.min else set()
        values = np.array(sorted(special), dtype)
        more = random.integers(info.min, info.max, (2, 200), dtype, endpoint=True)
        more[:, :100] //= np.array(max(1, info.max // 30), dtype)
    else:
        f = np.finfo(dtype)
        positive = [0.0, 1.0, 0.5, 1.5, 2.5, 3.0, 7.25, 100.0, f.max, f.tiny, f.smallest_subnormal, np.inf, np.nan]
        values = np.array(positive + [-v for v in positive], dtype)
        more = (random.standard_normal((2, 300)) * 5).astype(dtype)
    x, y = np.meshgrid(values, values)
    return np.concatenate([x.ravel(), more[0]]), np.concatenate([y.ravel(), more[1]])


def wrapped(values: Sequence[int], dtype: str) -> Array:
    """Python ints cut to the width of `dtype`."""
    size = np.dtype(dtype).itemsize
    cut = [(v & ((1 << 8 * size) - 1)).to_bytes(size, "little") for v in values]
    return np.frombuffer(b"".join(cut), dtype)


def truncated(a: int, b: int) -> int:
    if b == 0:
        return 0
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def int_power(a: int, n: int) -> int:
    if n < 0:
        return a ** (-n % 2) if abs(a) == 1 else 0
    return pow(a, n, 1 << 64) if n < 1 << 64 else 0


INT_REFERENCE: dict[str, Callable[..., int]] = {
    "neg": lambda a: -a,
    "abs": abs,
    "sign": lambda a: (a > 0) - (a < 0),
    "square": lambda a: a * a,
    "bitwise_not": lambda a: ~a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": truncated,
    "mod": lambda a, b: a - truncated(a, b) * b if b else 0,
    "floordiv": lambda a, b: a // b if b else 0,
    "pow": int_power,
    "maximum": max,
    "minimum": min,
    "bitwise_and": lambda a, b: a & b,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
}
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}
BOOL_REFERENCE: dict[str, Callable[..., Any]] = {
    "not": np.logical_not,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "maximum": np.logical_or,
    "minimum": np.logical_and,
    "eq": np.equal,
    "ne": np.not_equal,
}


def safe_lgamma(v: float) -> float:
    """math.lgamma with the infinities that it raises for."""
    try:
        return math.lgamma(v)
    except (ValueError, OverflowError):
        return math.inf


erf, erfc, lgamma = (np.vectorize(f, otypes=[np.float64]) for f in (math.erf, math.erfc, safe_lgamma))


FLOAT_REFERENCE: dict[str, Callable[..., Array]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": lambda a: np.where(a == 0, a, np.sign(a)),
    "square": np.square,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "reciprocal": lambda a: 1 / a,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "tanh": np.tanh,
    "sigmoid": lambda a: np.where(a < 0, np.exp(-np.abs(a)), 1) / (1 + np.exp(-np.abs(a))),
    "erf": erf,
    "erfc": erfc,
    "lgamma": lgamma,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "mod": np.fmod,
    "floordiv": lambda a, b: np.floor(a / b),
    "pow": np.power,
    "atan2": np.arctan2,
    "maximum": np.maximum,
    "minimum": np.minimum,
    **COMPARE,
}
# units in the last place by which a result may differ; the others are rounded right
TRANSCENDENTAL = "exp expm1 log log1p sin cos tan tanh sigmoid erf erfc lgamma rsqrt pow atan2"
TOLERANCE = dict.fromkeys(TRANSCENDENTAL.split(), 4.0)


def assert_close(prim: str, got: Array, want: Array, inputs: Sequence[Array]) -> None:
    """`want` in float64 (or the dtype of `got`); equal NaN, infinities and signs of zeros."""
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        unit = np.maximum(np.abs(np.spacing(rounded)), np.finfo(got.dtype).smallest_subnormal).astype(np.float64)
        error = np.abs(got.astype(np.float64) - want) / unit
    special = ~np.isfinite(rounded) | (want == 0)
    alike = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    if prim not in ("maximum", "minimum"):  # of +0 and −0 they may give any
        alike &= (np.signbit(got) == np.signbit(rounded)) | np.isnan(got)
    # a float16 result is a float32 one rounded once more, which may double the last place's error of ½
    allowed = TOLERANCE.get(prim, 0.5000001) + (0.51 if got.dtype == np.float16 and prim in TOLERANCE else 0)
    if prim == "lgamma" and got.dtype == np.float64:
        allowed = 1e5  # Python's own, which is the reference here, is the less accurate one
    bad = np.where(special, ~alike, ~(error <= allowed))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        values = ", ".join(repr(array[i]) for array in inputs)
        raise AssertionError(f"{prim}({values}) is {got[i]!r}, not {want[i]!r} ({bad.sum()} of {bad.size} wrong)")


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_primitives(dtype: str) -> None:
    x, y = operands(dtype)
    cases = [(p, ["x"]) for p in defined(UNARY, dtype)] + [(p, ["x", "y"]) for p in defined(BINARY, dtype)]
    results = run(
        [spell(p, dtype, args) for p, args in cases],
        [x, y],
        [primitives.result_dtype(p, dtype) for p, _ in cases],
    )
    for (prim, args), got in zip(cases, results, strict=True):
        inputs = [x, y][: len(args)]
        # float64 cannot be checked in a wider type: NumPy's own functions are good to an ulp or two
        with np.errstate(all="ignore"):
            wide = [array.astype(np.float64) for array in inputs]
            if prim == "floordiv":  # the quotient is rounded before it is cut
                wide = [array.astype(np.float32 if dtype == "float16" else dtype) for array in inputs]
            want = FLOAT_REFERENCE[prim](*wide)
            if prim == "floordiv":
                want = want.astype(np.float64)
        if got.dtype == bool:
            np.testing.assert_array_equal(got, want, prim)
        else:
            assert_close(prim, got, want, inputs)


@pytest.mark.parametrize("dtype", INTS)
def test_int_primitives(dtype: str) -> None:
    x, y = operands(dtype)
    cases = [(p, ["x"]) for p in defined(UNARY, dtype)] + [(p, ["x", "y"]) for p in defined(BINARY, dtype)]
    results = run(
        [spell(p, dtype, args) for p, args in cases],
        [x, y],
        [primitives.result_dtype(p, dtype) for p, _ in cases],
    )
    bits = 8 * np.dtype(dtype).itemsize
    reference = INT_REFERENCE | {
        "shift_left": lambda a, b: a << (b % bits),
        "shift_right": lambda a, b: a >> (b % bits),
    }
    for (prim, args), got in zip(cases, results, strict=True):
        rows = zip(x.tolist(), y.tolist(), strict=True)
        if prim in COMPARE:
            want = COMPARE[prim](x, y)
        else:
            want = wrapped([reference[prim](*row[: len(args)]) for row in rows], dtype)
        np.testing.assert_array_equal(got, want, prim)


def test_bool_primitives() -> None:
    x, y = operands("bool")
    cases = [(p, ["x"]) for p in defined(UNARY, "bool")] + [(p, ["x", "y"]) for p in defined(BINARY, "bool")]
    results = run([spell(p, "bool", args) for p, args in cases], [x, y], ["bool"] * len(cases))
    for (prim, args), got in zip(cases, results, strict=True):
        np.testing.assert_array_equal(got, BOOL_REFERENCE[prim](*[x, y][: len(args)]), prim)


def test_select_and_literals() -> None:
    """Every dtype at once: `select` by a comparison, with constants of every kind."""
    for dtype in ("bool", *INTS, *FLOATS):
        x, y = operands(dtype)
        least, greatest = primitives.limits(dtype)
        lines = [
            spell("select", dtype, [spell("ne", dtype, ["x", "y"]), "x", primitives.literal(1, dtype)]),
            primitives.literal(least, dtype),
            primitives.literal(greatest, dtype),
        ]
        chosen, low, high = run(lines, [x, y], [dtype] * 3)
        np.testing.assert_array_equal(chosen, np.where(x != y, x, np.array(1, dtype)))
        assert (low == least).all()
        assert (high == greatest).all()
    minus_zero, nan, tenth = run(
        [primitives.literal(v, "float32") for v in (-0.0, math.nan, 0.1)], [operands("float32")[0]], ["float32"] * 3
    )
    assert np.signbit(minus_zero).all()
    assert np.isnan(nan).all()
    assert (tenth == np.float32(0.1)).all()


def int_reference(value: float, target: str) -> int:
    """As an int: the least one for what no int32 or int64 holds, the nearest one and 0 for NaN for other types."""
    info = np.iinfo(target)
    whole = 0 if math.isnan(value) else int(max(-1e300, min(1e300, value)))
    if target in ("int32", "int64"):
        return info.min if math.isnan(value) or not info.min <= whole <= info.max else whole
    return int(max(info.min, min(info.max, whole)))


def cast_reference(x: Array, target: str) -> Array:
    with np.errstate(all="ignore"):
        if target == "bool":
            return x != 0
        if x.dtype.kind == "f" and target in INTS:
            return np.array([int_reference(v, target) for v in x.tolist()], target)
        return x.astype(target)


@pytest.mark.parametrize("source", ["bool", *INTS, *FLOATS])
def test_casts(source: str) -> None:
    x, _ = operands(source)
    targets = [t for t in ("bool", *INTS, *FLOATS) if t != source]
    for target, got in zip(targets, run([spell_cast(source, t, "x") for t in targets], [x], targets), strict=True):
        want = cast_reference(x, target)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want, f"{source} → {target}")


REDUCE: dict[str, Callable[[Array], Any]] = {
    "add": np.add.reduce,
    "mul": np.multiply.reduce,
    "max": np.maximum.reduce,
    "min": np.minimum.reduce,
    "and": np.logical_and.reduce,
    "or": np.logical_or.reduce,
}


def reduced(dtype: str, reductions: Sequence[str], x: Array) -> Array:
    """The reductions of x, one loop each."""
    source = ["def k(args, lo, hi):", "    a = ptr_i64(args, -1)"]
    source += [f"    x = ptr_{SHORT[dtype]}(a[0], 0)", f"    o = ptr_{SHORT[dtype]}(a[1], 1)"]
    for i, reduction in enumerate(reductions):
        source += [
            f"    s{i} = {primitives.identity(reduction, dtype)}",
            "    for i in range(lo, hi):",
            f"        s{i} = {spell_reduction(reduction, dtype, f's{i}', 'x[i]')}",
            f"    o[{i}] = s{i}",
        ]
    out = np.zeros(len(reductions), dtype)
    words = np.array([x.ctypes.data, out.ctypes.data], np.int64)
    compiled("\n".join(source) + "\n", "k")(words.ctypes.data, 0, len(x))
    return out


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "uint64", "float32", "float64"])
def test_reductions(dtype: str) -> None:
    reductions = ["and", "or"] if dtype == "bool" else ["add", "mul", "max", "min"]
    random = np.random.default_rng(2)
    for n in (0, 1, 5, 16, 100, 1003):
        if dtype.startswith("float"):
            x = random.uniform(0.9, 1.1, n).astype(dtype)
        elif dtype == "bool":
            x = random.random(n) < 0.01
        else:
            x = random.integers(1, 5, n).astype(dtype)
        got = reduced(dtype, reductions, x)
        for reduction, value in zip(reductions, got, strict=True):
            if n == 0:
                continue  # the identities, checked by test_identities
            want = REDUCE[reduction](x, dtype=dtype) if reduction in ("add", "mul") else REDUCE[reduction](x)
            np.testing.assert_allclose(value, want, rtol=2e-6 if dtype.startswith("float") else 0)


def test_extremes_propagate_nan_wherever_it_stands() -> None:
    for position in (0, 15, 16, 63, 99):
        x = np.arange(100, dtype=np.float32)
        x[position] = np.nan
        assert np.isnan(reduced("float32", ["max", "min"], x)).all()


def test_identities() -> None:
    empty = np.zeros(0, np.float32)
    assert reduced("float32", ["add", "mul", "max", "min"], empty).tolist() == [0, 1, -math.inf, math.inf]
    assert reduced("int8", ["add", "mul", "max", "min"], np.zeros(0, np.int8)).tolist() == [0, 1, -128, 127]


def test_undefined_combinations_are_refused() -> None:
    for prim, dtype in (("exp", "int32"), ("and", "float32"), ("add", "bool"), ("bitwise_and", "float64")):
        with pytest.raises(KeyError, match=f"{prim} is not defined for {dtype}"):
            spell(prim, dtype, ["x", "y"])
    with pytest.raises(KeyError, match="reduction"):
        spell_reduction("add", "bool", "s", "v")


def test_costs_are_positive() -> None:
    for dtype in ("bool", *INTS, *FLOATS):
        for prim in defined(set(primitives.TABLE), dtype):
            assert primitives.cost(prim, dtype) > 0
