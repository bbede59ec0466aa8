"""Addresses of library functions that plans call: today the CBLAS that NumPy itself is linked with.

A plan names a function as the CBLAS standard does ("cblas_sgemm"). Builds of NumPy export it under several names:
`scipy_cblas_sgemm64_` in NumPy's wheels (OpenBLAS with 64-bit integers), `cblas_sgemm64_` or `cblas_sgemm64` in ILP64
builds, `cblas_sgemm` in builds with 32-bit integers. SciPy is not imported: its OpenBLAS is another copy, and the two
fight for the cores when both run threads.
"""

from __future__ import annotations

import ctypes
import importlib
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SPELLINGS = (("scipy_", "64_", 64), ("", "64_", 64), ("", "_64", 64), ("scipy_", "", 32), ("", "", 32))
_BLAS_FILE = re.compile(r"lib[\w.+-]*(blas|blis|flexi|mkl_rt)[\w.+-]*\.so")
_LP64_MACHINES = ("x86_64", "aarch64")


class SymbolError(RuntimeError):
    """A plan needs a library function that this process does not have. The message says what to install."""


@dataclass(frozen=True)
class BlasLibrary:
    """A CBLAS in this process.

    `integer_bits` 32 means that sizes and strides above 2**31-1 cannot be passed. Kernels pass all integers as 64-bit
    words; on x86-64 and AArch64 Linux a callee that takes 32-bit ones reads the low half of the same register or
    stack slot.
    """

    path: str
    prefix: str
    suffix: str
    integer_bits: int
    handle: ctypes.CDLL

    def address(self, function: str) -> int | None:
        """Address of the function that CBLAS or OpenBLAS calls `function`, or None."""
        return _address(self.handle, f"{self.prefix}{function}{self.suffix}")

    def threads_functions(self) -> tuple[int, int] | None:
        """Addresses of OpenBLAS' `int get_num_threads()` and `void set_num_threads(int)`; None for other libraries."""
        get, put = self.address("openblas_get_num_threads"), self.address("openblas_set_num_threads")
        return (get, put) if get and put else None


def resolve(name: str) -> int:
    """Address of the function `name`. Raises SymbolError if the name is unknown here or no library has it."""
    if not name.startswith("cblas_"):
        raise SymbolError(f"flowc knows no library function {name!r}; it knows the functions of CBLAS (cblas_…)")
    address = blas_library().address(name)
    if address is None:
        raise SymbolError(
            f"{blas_library().path} has no {name}; install NumPy from its wheel: pip install --force numpy"
        )
    return address


@cache
def blas_library() -> BlasLibrary:
    """The CBLAS that NumPy uses, else one that is loaded in this process. Raises SymbolError if there is none."""
    tried = []
    for path in _candidates():
        try:
            handle = ctypes.CDLL(path)
        except OSError:
            continue
        tried.append(path)
        for prefix, suffix, bits in _SPELLINGS:
            if _address(handle, f"{prefix}cblas_sgemm{suffix}"):
                return _checked(BlasLibrary(path, prefix, suffix, bits, handle))
    raise SymbolError(
        "no CBLAS was found, so matrices cannot be multiplied: install NumPy from its wheel, "
        f"(pip install --force numpy) which brings OpenBLAS. Looked in: {', '.join(tried)}"
    )


def _checked(library: BlasLibrary) -> BlasLibrary:
    if library.integer_bits == 32 and platform.machine() not in _LP64_MACHINES:
        raise SymbolError(
            f"{library.path} takes 32-bit integers, which flowc supports on {' and '.join(_LP64_MACHINES)} only: "
            "install NumPy from its wheel (pip install --force numpy), whose OpenBLAS takes 64-bit ones"
        )
    return library


def _candidates() -> Iterator[str]:
    """NumPy's core first: the lookup of a symbol in a loaded module goes on through the libraries it is linked with."""
    yield importlib.import_module("numpy._core._multiarray_umath").__file__ or ""
    maps = Path("/proc/self/maps")
    if maps.exists():
        files = {line.split(maxsplit=5)[5].strip() for line in maps.read_text().splitlines() if line.count("/")}
        yield from sorted(path for path in files if _BLAS_FILE.match(Path(path).name))


def _address(library: ctypes.CDLL, name: str) -> int | None:
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    except AttributeError:
        return None
