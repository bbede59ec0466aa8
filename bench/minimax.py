"""Fit the polynomials of codegen/cpu/vector_math.py: `python bench/minimax.py` prints their coefficients.

Remez's exchange in extended precision for a polynomial p of least max |weight(x) · (p(x) − f(x))|. The functions come
from Taylor series where a closed form would cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Real = np.longdouble
Array = npt.NDArray[np.longdouble]
Function = Callable[[Array], Array]


def solve(matrix: Array, right: Array) -> Array:
    """Gaussian elimination with pivoting, in extended precision."""
    a = np.concatenate([matrix, right[:, None]], axis=1)
    n = len(a)
    for i in range(n):
        pivot = i + int(np.argmax(np.abs(a[i:, i])))
        a[[i, pivot]] = a[[pivot, i]]
        a[i] /= a[i, i]
        for j in range(n):
            if j != i:
                a[j] -= a[j, i] * a[i]
    return a[:, -1]


def evaluate(coefficients: Array, x: Array) -> Array:
    total = np.zeros_like(x)
    for c in coefficients[::-1]:
        total = total * x + c
    return total


def minimax(f: Function, weight: Function, low: float, high: float, degree: int) -> tuple[Array, float]:
    """Coefficients, lowest first, and the greatest weighted error."""
    count = degree + 2
    grid = np.linspace(Real(low), Real(high), 20001, dtype=Real)
    target, weights = f(grid), weight(grid)
    weights = np.maximum(weights, weights.max() * Real(1e-4))  # a zero at 0 would leave the system singular
    nodes = (
        (grid[0] + grid[-1]) - (grid[-1] - grid[0]) * np.cos(np.arange(count, dtype=Real) * Real(math.pi) / (count - 1))
    ) / 2
    picked = np.clip(np.searchsorted(grid, nodes), 0, len(grid) - 1)
    coefficients = np.zeros(degree + 1, Real)
    for _ in range(30):
        x = grid[picked]
        signs = np.where(np.arange(count) % 2 == 0, Real(1), Real(-1)) / weights[picked]
        matrix = np.concatenate([x[:, None] ** np.arange(degree + 1), signs[:, None]], axis=1)
        coefficients = solve(matrix, target[picked])[:-1]
        error = weights * (evaluate(coefficients, grid) - target)
        extrema = alternating_extrema(error, count)
        if len(extrema) < count or np.array_equal(extrema, picked):
            break
        picked = extrema
    return coefficients, float(np.max(np.abs(error)))


def alternating_extrema(error: Array, count: int) -> npt.NDArray[np.int64]:
    """Positions of the greatest error in each run of one sign: of them `count` neighbouring ones."""
    edges = np.flatnonzero(np.diff(np.sign(error))) + 1
    runs = np.split(np.arange(len(error)), edges)
    best = np.array([run[np.argmax(np.abs(error[run]))] for run in runs])
    while len(best) > count:
        drop = 0 if abs(error[best[0]]) < abs(error[best[-1]]) else len(best) - 1
        best = np.delete(best, drop)
    return best


def series(term: Callable[[int], Real], count: int = 60) -> Function:
    """Σ term(n) xⁿ."""
    terms = np.array([term(n) for n in range(count)], Real)
    return lambda x: evaluate(terms, x)


def factorial(n: int) -> Real:
    return Real(math.factorial(n))


PI = Real("3.14159265358979323846264338327950288")
LN2 = Real("0.693147180559945309417232121458176568")
ERF_SCALE = 2 / np.sqrt(PI)


def alternating(n: int) -> int:
    return -1 if n % 2 else 1


def erf_series(x: Array) -> Array:
    """erf(√x)/√x − 1."""
    return series(lambda n: ERF_SCALE * alternating(n) / (factorial(n) * (2 * n + 1)))(x) - 1


def erfc_exponent(x: Array) -> Array:
    """(−log(erfc x))/x, by the continued fraction of erfc where its series would cancel."""
    values = []
    for v in x:
        if v < Real(1.5):
            erfc = 1 - v * (erf_series(np.array([v * v]))[0] + 1)
        else:
            fraction = Real(0)
            for k in range(400, 0, -1):
                fraction = Real(k) / 2 / (v + fraction)
            erfc = np.exp(-v * v) / (np.sqrt(PI) * (v + fraction))
        values.append(-np.log(erfc) / v)
    return np.array(values, Real)


def log1p_rest(x: Array) -> Array:
    """(log(1+x) − x + x²/2)/x³."""
    small = series(lambda n: Real(alternating(n)) / (n + 3), 40)(x)
    with np.errstate(all="ignore"):
        closed = (np.log1p(x) - x + x * x / 2) / x**3
    return np.where(np.abs(x) < Real(0.1), small, closed)


def log2_quotient(x: Array) -> Array:
    """log2(1+x)/x."""
    with np.errstate(all="ignore"):
        return np.where(x == 0, 1 / LN2, np.log1p(x) / x / LN2)


def one(x: Array) -> Array:
    return np.ones_like(x)


HALF_LN2 = float(LN2) / 2 * 1.001
ROOT = float(np.sqrt(Real(2)))
QUARTER = 0.57  # of a right angle to either side, and what the reduction's rounding adds

FITS: dict[str, tuple[Function, Function, float, float, int]] = {
    # exp(r) = 1 + r + r² · p(r)
    "EXP32": (series(lambda n: 1 / factorial(n + 2)), lambda x: x * x, -HALF_LN2, HALF_LN2, 4),
    "EXP64": (series(lambda n: 1 / factorial(n + 2)), lambda x: x * x, -HALF_LN2, HALF_LN2, 9),
    # expm1(r) = r + r² · p(r), relative to r
    "EXPM1_32": (series(lambda n: 1 / factorial(n + 2)), lambda x: np.abs(x), -HALF_LN2, HALF_LN2, 5),
    "EXPM1_64": (series(lambda n: 1 / factorial(n + 2)), lambda x: np.abs(x), -HALF_LN2, HALF_LN2, 10),
    # log(1 + f) = f − f²/2 + f³ · p(f)
    "LOG32": (log1p_rest, lambda x: x * x, 1 / ROOT - 1, ROOT - 1, 7),
    "LOG64": (log1p_rest, lambda x: x * x, 1 / ROOT - 1, ROOT - 1, 20),
    # sin(π/2 · f) = f · p(f²), cos alike
    "SIN32": (series(lambda n: alternating(n) * (PI / 2) ** (2 * n + 1) / factorial(2 * n + 1)), one, 0, QUARTER**2, 3),
    "COS32": (series(lambda n: alternating(n) * (PI / 2) ** (2 * n) / factorial(2 * n)), one, 0, QUARTER**2, 4),
    # erf(x) = x + x · p(x²);  −log(erfc x) = x · p(x)
    "ERF32": (erf_series, one, 0, 0.93**2, 5),
    "ERFC32": (erfc_exponent, lambda x: x * np.exp(-x * x), 0.92, 4.0, 5),
    # log2(1 + f) = f · p(f);  2^r = p(r), both in float64 for pow in float32
    "LOG2": (log2_quotient, one, 1 / ROOT - 1, ROOT - 1, 12),
    "EXP2": (series(lambda n: LN2**n / factorial(n)), one, -0.5005, 0.5005, 7),
}


def main() -> None:
    for name, (f, weight, low, high, degree) in FITS.items():
        coefficients, error = minimax(f, weight, low, high, degree)
        print(f"# {name}: weighted error 2^{math.log2(error):.1f}")
        print(f"{name} = ({', '.join(repr(float(c)) for c in coefficients)})")


if __name__ == "__main__":
    main()
