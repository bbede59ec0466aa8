"""Accuracy of the vector math on a sample of all float32 inputs (`python bench/ulp.py` takes all), and that it runs in
vectors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.ulp import BINARY, UNARY, compiled, measure
from flowc.codegen.cpu.compiler import ir_to_assembly, lower_to_ir
from flowc.codegen.cpu.target import Target, host_target
from flowc.codegen.cpu.vector_math import BOTH, FLOAT32

# greatest errors over all 2³² inputs, rounded up: a change that makes one worse must say so here
ULP = {
    "exp": 1.05, "expm1": 1.5, "log": 0.9, "log1p": 1.5, "tanh": 2.45, "sigmoid": 2.45, "sin": 2.05, "cos": 2.0,
    "tan": 3.8, "erf": 1.3, "pow": 0.6, "sqrt": 0.5, "rsqrt": 1.5, "reciprocal": 0.5,
}  # fmt: skip
SOURCE = """\
def k(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_f32(a[0], 0)
    o = ptr_f32(a[1], 1)
    for i in range(lo, hi):
        o[i] = {}
"""


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_error_is_within_the_stated_bound(name: str) -> None:
    report = measure(name, stride=4093)
    assert report.wrong == 0, str(report)
    assert report.error <= ULP[name], str(report)


def test_every_bound_meets_the_promise() -> None:
    assert set(FLOAT32) <= set(ULP)
    assert max(ULP.values()) <= 4


def apply(expression: str, values: list[float]) -> np.ndarray:
    x = np.array(values, np.float32)
    out = np.zeros_like(x)
    words = np.array([x.ctypes.data, out.ctypes.data], np.int64)
    compiled(SOURCE.format(expression), "k")(words.ctypes.data, 0, len(x))
    return out


def test_special_values() -> None:
    inf, nan = np.inf, np.nan
    assert apply("exp(x[i])", [-inf, inf, -104.0, 88.8, -0.0]).tolist() == [0, inf, 0, inf, 1]
    assert apply("exp(x[i])", [-103.0])[0] == np.float32(1.401298464324817e-45)
    assert apply("log(x[i])", [0.0, -0.0, inf, 1.0]).tolist() == [-inf, -inf, inf, 0]
    assert np.isnan(apply("log(x[i])", [-1.0, -inf, nan])).all()
    assert apply("sigmoid(x[i])", [-inf, inf, -1e30, 1e30, 0.0]).tolist() == [0, 1, 0, 1, 0.5]
    assert apply("tanh(x[i])", [-inf, inf, 1e-45]).tolist() == [-1, 1, np.float32(1e-45)]
    for name in ("tanh", "sin", "tan", "erf", "expm1", "log1p"):
        assert np.signbit(apply(f"{name}(x[i])", [-0.0, 0.0])).tolist() == [True, False], name
    for name in ("sin", "cos", "tan"):
        assert np.isnan(apply(f"{name}(x[i])", [inf, -inf, nan])).all(), name
    for name in FLOAT32.keys() - {"pow"}:
        assert np.isnan(apply(f"{name}(x[i])", [nan])).all(), name


def test_special_powers() -> None:
    """C99, F.9.4.4."""
    inf, nan = np.inf, np.nan
    cases = [
        (0.0, -1.0, inf), (-0.0, -1.0, -inf), (-0.0, -2.0, inf), (-0.0, 3.0, -0.0), (0.0, 0.5, 0.0),
        (-1.0, inf, 1.0), (-1.0, -inf, 1.0), (1.0, nan, 1.0), (nan, 0.0, 1.0), (nan, 1.0, nan), (2.0, nan, nan),
        (-8.0, 1 / 3, nan), (0.5, -inf, inf), (2.0, -inf, 0.0), (0.5, inf, 0.0), (2.0, inf, inf),
        (-inf, -3.0, -0.0), (-inf, -2.0, 0.0), (-inf, 3.0, -inf), (-inf, 0.5, inf), (inf, -1.0, 0.0), (inf, 2.0, inf),
        (-2.0, 3.0, -8.0), (-2.0, 16777217.0, inf), (2.0, -149.0, 2.0**-149), (1.0, inf, 1.0), (-2.0, inf, inf),
    ]  # fmt: skip
    source = SOURCE.replace("    o =", "    y = ptr_f32(a[2], 2)\n    o =").format("pow(x[i], y[i])")
    x, y, want = (np.array(column, np.float32) for column in zip(*cases, strict=True))
    out = np.zeros_like(x)
    words = np.array([x.ctypes.data, out.ctypes.data, y.ctypes.data], np.int64)
    compiled(source, "k")(words.ctypes.data, 0, len(x))
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(np.signbit(out[want == 0]), np.signbit(want[want == 0]))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no wider type to compare with")
@pytest.mark.parametrize("name", sorted(BOTH))
def test_float64(name: str) -> None:
    """Against NumPy's long double, within 3 ULP."""
    random = np.random.default_rng(4)
    powers = 2.0 ** random.uniform(-1070, 1023, 5000)
    x = np.concatenate([random.uniform(-745, 710, 5000), random.standard_normal(20000), powers, -powers])
    x = np.abs(x) if name == "log" else np.where(x <= -1, -x, x) if name == "log1p" else x
    out = np.zeros_like(x)
    words = np.array([x.ctypes.data, out.ctypes.data], np.int64)
    compiled(SOURCE.replace("f32", "f64").format(f"{name}(x[i])"), "k")(words.ctypes.data, 0, len(x))
    with np.errstate(all="ignore"):
        wide = x.astype(np.longdouble)
        truth = 1 / (1 + np.exp(-wide)) if name == "sigmoid" else getattr(np, name)(wide)
        want = truth.astype(np.float64)
        unit = np.maximum(np.abs(np.spacing(want)), np.finfo(np.float64).smallest_subnormal)
        error = np.abs(out - truth) / unit
    finite = np.isfinite(want)
    np.testing.assert_array_equal(out[~finite], want[~finite])
    assert error[finite].max() < 3


def test_scalar_remainder_equals_vector_body() -> None:
    """An element's value must not depend on where it stands: cores may split work anywhere."""
    x = np.random.default_rng(3).standard_normal(1000).astype(np.float32)
    for name in FLOAT32.keys() - {"pow"}:
        for loop in ("range", "wide_range"):
            kernel = compiled(SOURCE.replace("range", loop).format(f"{name}(x[i])"), "k")
            whole, parts = np.zeros_like(x), np.zeros_like(x)
            for out, cuts in ((whole, [0, 1000]), (parts, [0, 1, 18, 35, 500, 997, 1000])):
                words = np.array([x.ctypes.data, out.ctypes.data], np.int64)
                for low, high in itertools.pairwise(cuts):
                    kernel(words.ctypes.data, low, high)
            np.testing.assert_array_equal(whole, parts, name)


@pytest.mark.parametrize("name", sorted(FLOAT32))
@pytest.mark.parametrize("cpu", ["x86-64-v3", "x86-64-v4"])
def test_runs_in_vectors(name: str, cpu: str) -> None:
    if not host_target().triple.startswith("x86_64"):
        pytest.skip("the assembly looked for is x86-64's")
    text = lower_to_ir(SOURCE.format(f"{name}(x[i])" if name != "pow" else "pow(x[i], x[i])"), "k")
    assembly = ir_to_assembly(text, Target(host_target().triple, cpu, ""))
    assert ("%zmm" if cpu == "x86-64-v4" else "%ymm") in assembly
    assert "call" not in assembly
