"""The machine's memory bandwidth: STREAM's triad a = b + s · c over 16 Mi float32, by C with OpenMP.

Not a work of flowc's: the yardstick of `mul_add` and `adam`. It needs a C compiler.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.work import Arrays, Case, Work, random

SIZE = 16 << 20
SCALE = 3.0
ALIGNMENT = 64
SOURCE = Path(__file__).resolve().parent.parent / "triad.c"
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")


def values() -> list[Any]:
    return [random(SIZE, seed=seed) for seed in (1, 2)]


def expected() -> Arrays:
    b, c = values()
    return {"a": b + np.float64(SCALE) * c}


def aligned_zeros(size: int) -> Any:
    """float32[size] that starts at a multiple of `ALIGNMENT` bytes, its pages already touched."""
    raw = np.zeros(size * 4 + ALIGNMENT, np.uint8)
    raw[:] = 0
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * 4].view(np.float32)


@cache
def library() -> ctypes.CDLL:
    """`triad.c`, compiled for this processor. Raises RuntimeError without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise RuntimeError("no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "triad.so"
        subprocess.run([compiler, *FLAGS, str(SOURCE), "-o", str(target)], check=True)
        return ctypes.CDLL(str(target))


def _in_c(symbol: str) -> Case:
    function = library()[symbol]
    function.restype = None
    function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_float, ctypes.c_ssize_t]
    a, (b, c) = aligned_zeros(SIZE), values()
    addresses = [array.ctypes.data for array in (a, b, c)]
    keep = (a, b, c)
    return Case(lambda: function(*addresses, SCALE, SIZE), lambda: {"a": keep[0]})


def in_c() -> Case:
    return _in_c("triad")


def in_c_streaming() -> Case:
    return _in_c("triad_stream")


WORK = Work(
    name="triad",
    title="triad a = b + s*c, 16M float32",
    targets=(),
    systems={"native.c": in_c, "native.c-streaming": in_c_streaming},
    expected=expected,
    bytes_moved=3 * 4 * SIZE,
)
