"""Python's way to the runtime's native functions: loads them, and makes the builtin that runs an instance.

There are two routes into a run. The builtin reads NumPy's array structs natively, which is right only for the layout
that `_layout_problem` tests at start-up on a CPython with a GIL. Elsewhere `entry` is a Python function that does the
same through ctypes, some µs slower; `entry_problem()` says why, and `doctor` prints it.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from flowc.codegen.plan import Runtime
from flowc.runtime.buffers import Words, address_of, aligned_words, immortalise
from flowc.runtime.forks import renew_in_child
from flowc.runtime.kernels import load_functions
from flowc.runtime.layout import Host, Row
from flowc.runtime.native_code import FUNCTIONS

ARRAY_IS_CONTIGUOUS_ALIGNED = 0x0001 | 0x0100  # NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED
ARRAY_IS_WRITEABLE = 0x0400
_METH_FASTCALL = 0x0080

_Three = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)  # releases the GIL during the call
_ThreeWithGil = ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)


class _MethodDefinition(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


@dataclass(frozen=True)
class _Native:
    """Addresses of the functions, and the host table that they find each other and the interpreter by."""

    addresses: dict[str, int]
    host: Words
    acquire: Callable[[int, int, int], int]
    try_acquire: Callable[[int, int, int], int]
    release: Callable[[int, int, int], int]
    launch: Callable[[int, int, int], int]
    run: Callable[[int, int, int], int]
    try_run: Callable[[int, int, int], int]
    method: _MethodDefinition


def worker_address() -> int:
    """The start routine of the pool's threads."""
    return _native().addresses["worker"]


def launch_address() -> int:
    """flowc_launch: for native code that starts a region itself."""
    return _native().addresses["launch"]


def run_address() -> int:
    """flowc_run, for an instance's block."""
    return _native().addresses["run"]


def runtime_address(which: Runtime) -> int:
    """What kernels of a plan need, but for the block of an instance."""
    if which is Runtime.RUN_ROWS:
        return _native().addresses["run_rows"]
    return _function_address(ctypes.CDLL(None).realloc)


def host_address() -> int:
    """The host table."""
    return address_of(_native().host)


def lock(word: int) -> None:
    """Waits for the lock at address `word`, without the GIL."""
    _native().acquire(word, 0, 0)


def try_lock(word: int) -> bool:
    """Takes the lock at address `word` if it is free. Holds the GIL, as the builtin does when it takes it."""
    return bool(_native().try_acquire(word, 1, 0))


def unlock(word: int) -> None:
    """Gives the lock at address `word` back."""
    _native().release(word, 0, 0)


def launch(pool: int, kernel: int, args: int, units: int, chunks: int) -> None:
    """Runs one kernel over a started pool, without the GIL."""
    row = np.zeros(Row.SIZE, np.int64)
    row[[Row.KERNEL, Row.ARGS, Row.UNITS]] = kernel, args, units
    _native().launch(pool, address_of(row), chunks)


def run(block: int) -> int:
    """Runs the instance whose block is at this address, without the GIL; returns DONE, FAULT or STALE."""
    return _native().run(block, 0, 0)


def try_run(block: int) -> int:
    """The same with the GIL held throughout; LOCKED, and nothing is done, if another run has the session's lock."""
    return _native().try_run(block, 1, 0)


def call(function: int, argument: int) -> int:
    """Calls a C function of one integer at an address."""
    return int(_Three(function)(argument, 0, 0))


def make_entry(block: Words, owner: object) -> Callable[..., bool | None]:
    """The builtin `entry(*arrays)` of the instance with this block; keeps `owner` alive. See native_code.ENTRY."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
    entry: Callable[..., bool | None] = make(ctypes.addressof(_native().method), block, owner)
    return entry


@cache
def entry_problem() -> str | None:
    """Why runs cannot enter through the builtin in this interpreter, or None."""
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} is not CPython"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this CPython is built without the GIL"
    if sys.getsizeof(object()) != 16:
        return f"objects have a header of {sys.getsizeof(object())} bytes, not 16"
    return _layout_problem()


def _layout_problem() -> str | None:
    """Compares the words of array structs with what NumPy says of these arrays."""
    samples: list[np.ndarray[Any, Any]] = [np.empty((3, 5, 7), np.float32), np.empty((), np.int64), np.empty(4)[::2]]
    for array in samples:
        words = (ctypes.c_int64 * 9).from_address(id(array))
        sizes = (ctypes.c_int64 * array.ndim).from_address(words[4]) if array.ndim else ()
        found = words[1], words[2], words[3] & 0xFFFFFFFF, tuple(sizes), words[7], words[8] & 0xFFFF
        flags = int(array.flags.num)
        if found != (id(np.ndarray), address_of(array), array.ndim, array.shape, id(array.dtype), flags & 0xFFFF):
            return f"NumPy {np.__version__} lays its arrays out in a way that flowc does not know"
    return None


_lock = threading.Lock()
renew_in_child(sys.modules[__name__], "_lock", threading.Lock)
_loaded: _Native | None = None


def _native() -> _Native:
    global _loaded
    if _loaded is None:
        with _lock:
            _loaded = _loaded or _load()
    return _loaded


def _load() -> _Native:
    addresses = dict(zip(FUNCTIONS, load_functions(list(FUNCTIONS.values())), strict=True))
    host = _host_table(addresses)
    method = _MethodDefinition(b"entry", addresses["entry"], _METH_FASTCALL, None)
    native = _Native(
        addresses,
        host,
        acquire=_Three(addresses["acquire"]),
        try_acquire=_ThreeWithGil(addresses["acquire"]),
        release=_Three(addresses["release"]),
        launch=_Three(addresses["launch"]),
        run=_Three(addresses["run"]),
        try_run=_ThreeWithGil(addresses["run"]),
        method=method,
    )
    immortalise(native)
    return native


def _host_table(addresses: dict[str, int]) -> Words:
    python, libc = ctypes.pythonapi, ctypes.CDLL(None)
    host = aligned_words(Host.SIZE)
    host[Host.SAVE_THREAD] = _function_address(python.PyEval_SaveThread)
    host[Host.RESTORE_THREAD] = _function_address(python.PyEval_RestoreThread)
    host[Host.INC_REF] = _function_address(python.Py_IncRef)
    host[Host.TRUE], host[Host.FALSE], host[Host.NONE] = id(True), id(False), id(None)
    host[Host.ARRAY_TYPE] = id(np.ndarray)
    host[Host.CLOCK_GETTIME] = _function_address(libc.clock_gettime)
    host[Host.SCHED_YIELD] = _function_address(libc.sched_yield)
    host[Host.ACQUIRE], host[Host.RELEASE] = addresses["acquire"], addresses["release"]
    host[Host.LAUNCH] = addresses["launch"]
    return host


def _function_address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
