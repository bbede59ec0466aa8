"""Loading object code: what cannot be linked raises instead of ending the process, and names need not be unique."""

from __future__ import annotations

import ctypes

import llvmlite.binding as llvm
import pytest

from flowc.codegen.cpu.compiler import target_machine
from flowc.codegen.cpu.target import host_target
from flowc.runtime.loader import LoadError, defined_symbols, load, load_all


def assembled(body: str) -> bytes:
    machine = target_machine(host_target())
    return bytes(machine.emit_object(llvm.parse_assembly(body)))


def returning(value: int, name: str = "answer") -> bytes:
    return assembled(f"define i64 @{name}() {{ ret i64 {value} }}")


def called(address: int) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int64)(address)())


def test_two_objects_may_define_one_name() -> None:
    first, second = load_all([(returning(1), "answer"), (returning(2), "answer")])
    assert (called(first), called(second)) == (1, 2)


def test_the_same_code_is_loaded_once() -> None:
    assert load(returning(3), "answer") == load(returning(3), "answer")


def test_functions_of_libc_and_libm_are_found() -> None:
    code = assembled("declare i64 @llabs(i64)\ndefine i64 @f() { %x = call i64 @llabs(i64 -7) ret i64 %x }")
    assert defined_symbols(code) == ({"f"}, {"llabs"})
    assert called(load(code, "f")) == 7


def test_missing_symbols_are_named() -> None:
    code = assembled("declare i64 @no_such_thing()\ndefine i64 @g() { %x = call i64 @no_such_thing() ret i64 %x }")
    with pytest.raises(LoadError, match="'g' needs symbols that this process lacks: no_such_thing"):
        load(code, "g")
    with pytest.raises(LoadError, match="has no function 'other'; it has: answer"):
        load(returning(4), "other")


@pytest.mark.parametrize("code", [b"", b"text", b"\x7fELF\x02\x01" + bytes(10), returning(5)[:100]])
def test_what_is_no_object_is_refused(code: bytes) -> None:
    with pytest.raises(LoadError, match="no object code for this machine"):
        load(code, "answer")


def test_code_of_another_machine_is_refused() -> None:
    code = bytearray(returning(6))
    code[18] ^= 0xFF
    with pytest.raises(LoadError, match="machine number"):
        load(bytes(code), "answer")
