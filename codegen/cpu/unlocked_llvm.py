"""LLVM's two long calls without llvmlite's lock, so that threads compile at the same time.

llvmlite lets one thread at a time into LLVM. LLVM itself asks for less: threads may work at once on modules of
different contexts, each with passes and a target machine of its own, as its own ThinLTO does. These are the same
functions of the same library, called through a handle of ctypes that holds no lock (and, as all of them, not the GIL).
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from llvmlite.binding import ffi


@cache
def _function(name: str) -> Any:
    """A function of the library that llvmlite has loaded, with the types that llvmlite gave it."""
    locked = getattr(ffi.lib, name)
    function = getattr(ctypes.CDLL(ffi.lib._name, handle=ffi.lib._handle), name)
    function.argtypes, function.restype = locked.argtypes, locked.restype
    return function


def run_passes(passes: Any, module: Any, builder: Any) -> None:
    """`passes.run(module, builder)`, for a module in a context that no other thread uses."""
    _function("LLVMPY_RunNewModulePassManager")(passes, module, builder)


def emit_object(machine: Any, module: Any) -> bytes:
    """`machine.emit_object(module)`, for a machine and a context that no other thread uses."""
    error = ctypes.c_char_p()
    buffer = _function("LLVMPY_TargetMachineEmitToMemory")(machine, module, 1, ctypes.byref(error))
    if not buffer:
        raise RuntimeError((error.value or b"no object code").decode())
    try:
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)
