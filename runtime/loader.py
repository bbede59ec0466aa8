"""Turns object code into functions in memory, without importing LLVM.

LLVM's MCJIT links an object in some 0.1 ms. It aborts the process for a symbol that it cannot resolve, so each object's
symbol table is read first and missing symbols raise `LoadError`. What is loaded stays for the life of the process,
and even while it exits: threads of the pool may be asleep inside it.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import platform
import struct
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from flowc.runtime.buffers import immortalise

_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOL_TABLE = 2  # section type SHT_SYMTAB
_UNDEFINED = 0  # section index SHN_UNDEF
_LOCAL = 0  # binding STB_LOCAL
_MACHINE_NUMBERS = {"x86_64": 62, "aarch64": 183, "riscv64": 243}  # e_machine
_LINKER_MADE = {"_GLOBAL_OFFSET_TABLE_"}


class LoadError(RuntimeError):
    """Object code cannot be used in this process. The message names the missing symbols or what is wrong with it."""


def load(object_code: bytes, name: str) -> int:
    """Address of the function `name` in `object_code`. The same code is loaded once a process. Raises LoadError."""
    return load_all([(object_code, name)])[0]


def load_all(objects: Sequence[tuple[bytes, str]]) -> list[int]:
    """Addresses of one function in each object, linked together in one step. Raises LoadError before any is linked."""
    with _lock:
        keys = [(name, hashlib.sha256(code).digest()) for code, name in objects]
        new = {key: code for key, (code, _) in zip(keys, objects, strict=True) if key not in _addresses}
        symbols = {key: _linkable(code, key[0]) for key, code in new.items()}
        owners = {key: _add_to_an_engine(code, symbols[key]) for key, code in new.items()}
        for engine in set(owners.values()):
            engine.finish()
        _addresses.update({key: engine.address(key[0]) for key, engine in owners.items()})
        return [_addresses[key] for key in keys]


def defined_symbols(object_code: bytes) -> tuple[set[str], set[str]]:
    """The global symbols that an ELF object defines, and those that it needs. Raises LoadError if it is none."""
    try:
        return _read_symbols(object_code)
    except (struct.error, ValueError, IndexError) as error:
        raise LoadError(f"this is no object code for this machine: {error}") from None


def _read_symbols(code: bytes) -> tuple[set[str], set[str]]:
    header = _ELF_HEADER.unpack_from(code)
    if header[0][:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit little-endian ELF header")
    if header[2] != _MACHINE_NUMBERS.get(platform.machine(), header[2]):
        raise ValueError(f"it is for machine number {header[2]}, this is {platform.machine()}")
    offset, count = header[6], header[12]
    sections = [_SECTION_HEADER.unpack_from(code, offset + i * _SECTION_HEADER.size) for i in range(count)]
    defined: set[str] = set()
    undefined: set[str] = set()
    for section in sections:
        if section[1] == _SYMBOL_TABLE:
            names = code[sections[section[6]][4] :][: sections[section[6]][5]]
            for name, info, _, where, _, _ in _SYMBOL.iter_unpack(code[section[4] :][: section[5]]):
                if name and info >> 4 != _LOCAL:
                    text = names[name : names.index(0, name)].decode()
                    (undefined if where == _UNDEFINED else defined).add(text)
    return defined, undefined - _LINKER_MADE


def _linkable(code: bytes, name: str) -> set[str]:
    """The symbols that `code` defines, after making sure that it can be linked and has `name`."""
    defined, undefined = defined_symbols(code)
    if name not in defined:
        raise LoadError(f"the object code has no function {name!r}; it has: {', '.join(sorted(defined)) or 'none'}")
    missing = [symbol for symbol in sorted(undefined) if not _provide(symbol)]
    if missing:
        raise LoadError(f"the object code of {name!r} needs symbols that this process lacks: {', '.join(missing)}")
    return defined


@cache
def _provide(symbol: str) -> bool:
    """Tells LLVM where a function of the C library, libm or the interpreter is; False if nothing has it."""
    for library in _libraries():
        try:
            address = ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
        except AttributeError:
            continue
        _llvm().add_symbol(symbol, address)
        return True
    return False


@cache
def _libraries() -> list[ctypes.CDLL]:
    libraries = [ctypes.CDLL(None)]
    for name in ("libm.so.6", "libgcc_s.so.1"):
        try:
            libraries.append(ctypes.CDLL(name))
        except OSError:
            continue
    return libraries


@cache
def _llvm() -> Any:
    """llvmlite's binding, imported at first use (some 50 ms) and made ready for this machine."""
    llvm: Any = importlib.import_module("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


class _Engine:
    """One MCJIT engine: a name space of symbols. It is never disposed of."""

    def __init__(self) -> None:
        llvm = _llvm()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        immortalise(self._engine)
        self._objects: list[Any] = []
        self.symbols: set[str] = set()

    def add(self, code: bytes, symbols: set[str]) -> None:
        reference = _llvm().ObjectFileRef.from_data(code)
        self._engine.add_object_file(reference)
        self._objects.append(reference)  # the engine refers to its buffer
        self.symbols |= symbols

    def finish(self) -> None:
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        return int(self._engine.get_function_address(name))


_lock = threading.RLock()
_engines: list[_Engine] = []
_addresses: dict[tuple[str, bytes], int] = {}
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _add_to_an_engine(code: bytes, symbols: set[str]) -> _Engine:
    """Two objects may define the same name, one engine may not."""
    engine = next((engine for engine in _engines if engine.symbols.isdisjoint(symbols)), None)
    if engine is None:
        engine = _Engine()
        _engines.append(engine)
    engine.add(code, symbols)
    return engine
