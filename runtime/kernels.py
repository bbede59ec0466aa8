"""From kernels' sources to addresses: this process's table, else the cache on disk, else the compiler.

Only the last step imports LLVM, and only when something is missing. What was compiled goes to disk for the next
process.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from flowc.codegen.cpu.target import Target, codegen_fingerprint, host_target
from flowc.codegen.plan import Kernel
from flowc.runtime import loader
from flowc.runtime.forks import renew_in_child
from flowc.runtime.kernel_cache import content_key, store

KERNEL_SIGNATURE = "void(i64,i64,i64)"  # args, lo, hi
_SOURCE_LENGTH = 8  # an entry on disk: length of the source, source (for readers), object code


@dataclass(frozen=True)
class NativeFunction:
    """Source in the kernel dialect, the symbol that it defines, and the symbol's C signature."""

    name: str
    source: str
    signature: str = KERNEL_SIGNATURE


@dataclass
class KernelStatistics:
    """What this process did to get its kernels. Times in ms."""

    in_memory: int = 0
    from_disk: int = 0
    compiled: int = 0
    compile_ms: float = 0.0
    load_ms: float = 0.0


statistics = KernelStatistics()
_lock = threading.RLock()
_objects: dict[NativeFunction, bytes] = {}


renew_in_child(sys.modules[__name__], "_lock", threading.RLock)


class _ForkGate:
    """Lets a fork wait until no thread compiles: locks within LLVM would stay locked in the child.

    To be opened when the compiler has been imported: the hooks of a fork run last registered first, and those of what
    the compiler uses (logging, thread pools) take locks that a compilation needs to end.
    """

    def __init__(self) -> None:
        self._held: threading.RLock | None = None
        os.register_at_fork(before=self._enter, after_in_parent=self._leave, after_in_child=self._leave)

    def _enter(self) -> None:
        _lock.acquire()
        self._held = _lock

    def _leave(self) -> None:
        held, self._held = self._held, None
        if held is not None:  # None: this gate was made during the fork
            held.release()


_gate = cache(_ForkGate)


def compile_kernels(kernels: Sequence[Kernel], needed_soon: Iterable[NativeFunction] = ()) -> list[int]:
    """Addresses of `kernels`, each compiled once a process at most. Raises DialectError for a source that cannot be.

    `needed_soon`: functions that are compiled in the same go, which is quicker than in two.
    """
    functions = [as_function(kernel) for kernel in kernels]
    return _load(functions, object_codes([*functions, *needed_soon])[: len(functions)])


def as_function(kernel: Kernel) -> NativeFunction:
    """The kernel as the native function that it is."""
    return NativeFunction(kernel.name, kernel.source)


def install(objects: Mapping[NativeFunction, bytes]) -> None:
    """Makes object code from a file known, so that these functions are not compiled. It is executed: check it before.

    A file that is to run in a fresh process without a compiler holds its plan's kernels and
    `native_code.FUNCTIONS.values()`, each with its source and what `object_codes` gives.
    """
    with _lock:
        for function, code in objects.items():
            _objects.setdefault(function, code)


def load_functions(functions: Sequence[NativeFunction]) -> list[int]:
    """Addresses of `functions`, compiled where no cache has them."""
    return _load(functions, object_codes(functions))


def _load(functions: Sequence[NativeFunction], codes: Sequence[bytes]) -> list[int]:
    start = time.perf_counter()
    addresses = loader.load_all([(code, function.name) for code, function in zip(codes, functions, strict=True)])
    statistics.load_ms += 1e3 * (time.perf_counter() - start)
    return addresses


def object_codes(functions: Sequence[NativeFunction]) -> list[bytes]:
    """Object code of `functions` for this machine, compiled where no cache has it."""
    with _lock:
        unknown = [function for function in dict.fromkeys(functions) if function not in _objects]
        statistics.in_memory += len(functions) - len(unknown)
        if unknown:
            _objects.update(_from_disk(unknown))
            _objects.update(_compile([function for function in unknown if function not in _objects]))
        return [_objects[function] for function in functions]


def _from_disk(functions: list[NativeFunction]) -> dict[NativeFunction, bytes]:
    cached = store("kernels")
    found = {function: entry for function in functions if (entry := cached.get(function_key(function))) is not None}
    statistics.from_disk += len(found)
    return {function: _unpack(entry) for function, entry in found.items()}


def _compile(functions: list[NativeFunction]) -> dict[NativeFunction, bytes]:
    if not functions:
        return {}
    from flowc.codegen.cpu.compiler import emit_objects

    _gate()
    start = time.perf_counter()
    codes = emit_objects((function.source, function.name, function.signature) for function in functions)
    made = dict(zip(functions, codes, strict=True))
    statistics.compile_ms += 1e3 * (time.perf_counter() - start)
    statistics.compiled += len(made)
    cached = store("kernels")
    for function, code in made.items():
        cached.put(function_key(function), _pack(function.source.encode(), code))
    return made


def function_key(function: NativeFunction, target: Target | None = None) -> str:
    """The key in the cache: all that decides what the object code is."""
    where = target or host_target()
    return content_key(
        function.source,
        function.name,
        function.signature,
        where.triple,
        where.cpu,
        where.features,
        codegen_fingerprint(),
    )


def _pack(source: bytes, code: bytes) -> bytes:
    return len(source).to_bytes(_SOURCE_LENGTH, "little") + source + code


def _unpack(entry: bytes) -> bytes:
    return entry[_SOURCE_LENGTH + int.from_bytes(entry[:_SOURCE_LENGTH], "little") :]
