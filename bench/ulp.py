"""Greatest error of the float32 vector math, in units in the last place of the true result.

    python bench/ulp.py              all functions, all 2³² float32 inputs (pow: 2³² pairs)
    python bench/ulp.py exp tanh     these
    python bench/ulp.py --stride 997 every 997th input

The truth is the C library's float64 function. A result counts as wrong, whatever its error, if NaN, an infinity or the
sign of a zero is missing or misplaced.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import math
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import llvmlite.binding as llvm
import numpy as np

from flowc.codegen.cpu.compiler import emit_object, target_machine
from flowc.codegen.cpu.target import host_target

UNARY = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "sin", "cos", "tan", "erf", "sqrt", "rsqrt", "reciprocal")
BINARY = ("pow",)
TRUTH = {
    "sigmoid": "1.0 / (1.0 + c_exp(-f64(x)))",
    "sqrt": "sqrt(f64(x))",
    "rsqrt": "1.0 / sqrt(f64(x))",
    "reciprocal": "1.0 / f64(x)",
}

SOURCE = """\
def measure(args, first, last):
    a = ptr_i64(args, -1)
    worst = ptr_f64(a[0], 0)
    where = ptr_i64(a[1], 1)
    stride = a[2]
    greatest = f64(-1.0)
    at = i64(0)
    wrong = i64(0)
    wrong_at = i64(0)
    for step in range(first, last):
        i = step * stride
        x = bits_float(i32(i))
        {second}
        y = {name}({got})
        truth = {truth}
        nearest = f32(truth)
        exponent = imax(i64(float_bits(nearest)) & 0x7F800000, 0x00800000)
        unit = f64(bits_float(i32(exponent))) * {epsilon}
        error = abs(f64(y) - truth) / unit
        special = isnan(nearest) | isinf(nearest) | isnan(y) | isinf(y) | ((nearest == 0.0) & (y == 0.0))
        both_nan = isnan(nearest) & isnan(y)
        alike = both_nan | ((y == nearest) & ((float_bits(y) < 0) == (float_bits(nearest) < 0)))
        if special:
            if not alike:
                wrong = wrong + 1
                wrong_at = i
        elif error > greatest:
            greatest = error
            at = i
    worst[0] = greatest
    where[0] = at
    where[1] = wrong
    where[2] = wrong_at
"""
# an exponent for every base: a multiplicative hash of the base's bits, half of them moderate numbers
SECOND = """\
h = u32(i) * 2654435769
        h = (h ^ (h >> 15)) * 2246822519
        z = select((h & 1) == 0, bits_float(i32(h)), f32(i32(h) >> 8) * 0.00001)"""


@dataclass
class Report:
    name: str
    inputs: int
    error: float
    at: int  # bits of the (first) input where it is greatest
    wrong: int
    wrong_at: int

    def __str__(self) -> str:
        (x,) = struct.unpack("<f", struct.pack("<I", self.at & 0xFFFFFFFF))
        line = f"{self.name:10} {self.error:6.3f} ULP at {x!r}, {self.inputs} inputs"
        if not self.wrong:
            return line
        (x,) = struct.unpack("<f", struct.pack("<I", self.wrong_at & 0xFFFFFFFF))
        return f"{line}; {self.wrong} special values wrong, such as at {x!r}"


def compiled(source: str, name: str) -> Callable[[int, int, int], None]:
    """The kernel as a function of Python; it runs without the GIL."""
    target = host_target()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine(target))
    engine.add_object_file(llvm.ObjectFileRef.from_data(emit_object(source, name, target=target)))
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    function = prototype(engine.get_function_address(name))
    function.engine = engine  # keeps the code alive
    return function


def measure(name: str, stride: int = 1, threads: int = 2) -> Report:
    """The error of one function over every `stride`-th of the 2³² bit patterns."""
    binary = name in BINARY
    source = SOURCE.format(
        name=name,
        second=SECOND if binary else "",
        got="x, z" if binary else "x",
        truth=TRUTH.get(name, f"c_{name}({'f64(x), f64(z)' if binary else 'f64(x)'})"),
        epsilon=repr(2.0**-23),
    )
    kernel = compiled(source, "measure")
    inputs = (1 << 32) // stride
    edges = np.linspace(0, inputs, 64 * threads + 1).astype(np.int64)

    def chunk(bounds: tuple[int, int]) -> tuple[float, int, int, int]:
        worst, where = np.zeros(1), np.zeros(3, np.int64)
        words = np.array([worst.ctypes.data, where.ctypes.data, stride], np.int64)
        kernel(words.ctypes.data, *bounds)
        return float(worst[0]), int(where[0]), int(where[1]), int(where[2])

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(chunk, itertools.pairwise(edges.tolist())))
    error, at, _, _ = max(parts)
    wrong_at = next((p[3] for p in parts if p[2]), 0)
    return Report(name, inputs, error, at, sum(p[2] for p in parts), wrong_at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("functions", nargs="*", default=[*UNARY, *BINARY])
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for name in options.functions:
        start = time.perf_counter()
        report = measure(name, options.stride, options.threads)
        print(f"{report}  ({time.perf_counter() - start:.1f} s)", flush=True)
        if math.isnan(report.error):
            raise SystemExit(f"{name}: no finite result was compared")


if __name__ == "__main__":
    main()
