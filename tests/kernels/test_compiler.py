"""The dialect's rules and errors, what an object file holds, and the intrinsics that reach outside arithmetic."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from flowc.codegen.cpu import compiler
from flowc.codegen.cpu.compiler import emit_object, emit_objects, lower_to_ir
from flowc.codegen.cpu.dialect import DialectError
from flowc.codegen.cpu.target import Target, codegen_fingerprint, host_target

COPY = """\
def copy(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_f32(a[0], 0)
    o = ptr_f32(a[1], 1)
    for i in range(lo, hi):
        o[i] = tanh(x[i])
"""


def function(body: str, parameters: int, signature: str | None = None) -> Callable[..., Any]:
    """The native function f(p0, p1, …) with this body."""
    names = ", ".join(f"p{i}" for i in range(parameters))
    source = f"def f({names}):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    signature = signature or f"i64({','.join(['i64'] * parameters)})"
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), compiler.target_machine(host_target()))
    engine.add_object_file(llvm.ObjectFileRef.from_data(emit_object(source, "f", signature)))
    engine.finalize_object()
    result = ctypes.c_int64 if signature.startswith("i64") else None
    native = ctypes.CFUNCTYPE(result, *[ctypes.c_int64] * parameters)(engine.get_function_address("f"))
    native.engine = engine
    return native


def symbols(elf: bytes) -> dict[str, bool]:
    """Global symbols of an ELF64 relocatable file: name → whether it is defined there."""
    (offset,) = struct.unpack_from("<Q", elf, 0x28)
    entry, count = struct.unpack_from("<HH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, offset + i * entry) for i in range(count)]
    table = next(h for h in headers if h[1] == 2)
    strings = headers[table[6]][4]
    found = {}
    for position in range(table[4], table[4] + table[5], 24):
        name, info, _, section = struct.unpack_from("<IBBH", elf, position)
        if info >> 4 == 1:
            start = strings + name
            found[elf[start : elf.index(b"\0", start)].decode()] = section != 0
    return found


def test_object_exports_one_symbol_and_needs_no_other() -> None:
    assert symbols(emit_object(COPY, "copy")) == {"copy": True}


def test_object_needs_only_the_c_library() -> None:
    source = COPY.replace("tanh(x[i])", "f32(lgamma(f64(x[i]))) + mod(x[i], 3.0)")
    assert symbols(emit_object(source, "copy")) == {"copy": True, "lgamma": False, "fmodf": False}


def test_objects_are_the_same_every_time() -> None:
    script = (
        "import hashlib; from flowc.codegen.cpu.compiler import emit_object;"
        f"print(hashlib.sha256(emit_object({COPY!r}, 'copy')).hexdigest())"
    )
    hashes = {hashlib.sha256(emit_object(COPY, "copy")).hexdigest()}
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        hashes.add(done.stdout.strip())
    assert len(hashes) == 1


def test_emit_objects_is_emit_object_many_times() -> None:
    kernels = [(COPY.replace("tanh(x[i])", f"x[i] * {n}.5"), "copy") for n in range(12)]
    assert emit_objects(kernels) == [emit_object(source, name) for source, name in kernels]


def test_emit_objects_raises_for_the_bad_kernel() -> None:
    with pytest.raises(DialectError, match="unknown name 'tahn'"):
        emit_objects([(COPY, "copy"), (COPY.replace("tanh", "tahn"), "copy")])


def test_target_and_fingerprint_do_not_import_llvm() -> None:
    script = (
        "import sys; from flowc.codegen.cpu.target import *; codegen_fingerprint();"
        "assert 'llvmlite' not in sys.modules;"
        "host_target(); assert host_target().cpu"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert len(codegen_fingerprint()) == 16


def test_target_can_be_narrowed() -> None:
    script = "from flowc.codegen.cpu.target import host_target; print(host_target().cpu, host_target().features)"
    environment = os.environ | {"FLOWC_CPU": "x86-64-v3"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "x86-64-v3"
    assert not Target("x86_64-unknown-linux-gnu", "x86-64-v3", "").has_masks


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return f32(p0) + p0", "cast them to one dtype"),
        ("return p0 / 2", "/ is not defined for int64"),
        ("return p0 // 2", "does not exist in the dialect"),
        ("return i64(i32(p0) + 0.5)", "0.5 is no value of i32"),
        ("x = ptr_f32(p0, 0)\nreturn x[f32(1)]", "indexed, and only by int64"),
        ("x = ptr_f32(p0, 0)\nx[0] = f64(1.0)", "cast the value to float32"),
        ("x = ptr_f32(p0, p0)", "a scope written as a number"),
        ("return nothing(p0)", "unknown name 'nothing'"),
        ("s = f32(0.0)\nif p0 > 1:\n    s = p0\nreturn 1", "line 4: one value cannot be float32 and int64"),
        ("return i64(u8(300))", "300 is no value of u8"),
        ("return [p0]", "p0. has no meaning"),
        ("return 1 < p0 < 3", "comparisons are of two values"),
        ("for i in p0:\n    pass\nreturn 1", "p0 is no range"),
        ("for i in range(f32(2)):\n    pass\nreturn 1", "takes one to three int64"),
        ("if p0:\n    return 1\nreturn 2", "int64 where a bool is wanted"),
        ("if p0 > 1:\n    x = f32(p0)\nreturn x", "float32 is returned where int64 is wanted"),
        ("y = x\nx = p0\nz = nothing\nreturn 1", "unknown name 'nothing'"),
        ("if p0 > 1:\n    return 1", "nothing is returned where int64 is wanted"),
        ("return imin(a=1, b=p0)", "arguments are positional"),
        ("a = b = p0\nreturn a", "only one target"),
        ("return ptr_f32(p0, 0).size", "size has no meaning"),
    ],
)
def test_errors(body: str, message: str) -> None:
    with pytest.raises(DialectError, match=message):
        function(body, 1)


def test_signatures() -> None:
    with pytest.raises(DialectError, match="no signature"):
        lower_to_ir("def f(x):\n    return x\n", "f", "f32(i64)")
    with pytest.raises(DialectError, match="has 1 parameters"):
        lower_to_ir("def f(x):\n    return x\n", "f", "i64(i64,i64)")
    assert function("return 7", 0)() == 7
    assert function("pass", 2, "void(i64,i64)")(1, 2) is None


def test_control_flow() -> None:
    gcd = function("while p1 != 0:\n    p0, p1 = p1, imod(p0, p1)\nreturn p0", 2)
    assert gcd(48, 36) == 12
    body = """
total = 0
for i in range(p0):
    if i == 3:
        continue
    for j in range(i, -1, -2):
        if j > 6 or not i < 9:
            break
        total += j if j != 2 and i > 0 else 100
return total"""

    def expected(n: int) -> int:
        total = 0
        for i in range(n):
            if i == 3:
                continue
            for j in range(i, -1, -2):
                if j > 6 or not i < 9:
                    break
                total += j if j != 2 and i > 0 else 100
        return total

    native = function(body, 1)
    assert [native(n) for n in range(12)] == [expected(n) for n in range(12)]


def test_only_the_chosen_side_is_computed() -> None:
    data = np.array([7, 8], np.int64)
    body = "x = ptr_i64(p0, -1)\nreturn (x[p1] if p0 != 0 and p1 < 2 else -1) + (1000 if p1 > 0 or x[0] < 0 else 2000)"
    chosen = function(body, 2)
    assert [chosen(data.ctypes.data, i) for i in (0, 1)] == [2007, 1008]
    assert chosen(0, 1) == 999  # reads nothing
    both = "c = p0 > 1 and p1 > 1\nd = not (p0 == 5 or c)\nreturn 10 * (1 if c else 0) + (1 if d else 0)"
    native = function(both, 2)
    assert [native(2, 2), native(2, 1), native(5, 1), native(5, 2)] == [10, 1, 0, 10]


def test_loops_that_end_inside() -> None:
    first = function("while True:\n    p0 += 3\n    if imod(p0, 7) == 0:\n        break\nreturn p0", 1)
    assert first(1) == 7
    found = function(
        "for i in range(p0):\n    if i * i > p1:\n        return i\n    continue\n    p0 = 1\nreturn -1", 2
    )
    assert [found(9, 30), found(3, 30)] == [6, -1]
    inner = "n = 0\nfor i in range(p0):\n    for i in range(10, 10 + i):\n        n += i\nreturn n + i"
    assert function(inner, 1)(3) == 10 + (10 + 11) + 11


def test_a_number_takes_the_type_of_later_assignments() -> None:
    body = "s = 0\nt = 1\nfor i in range(p0):\n    s = f32(i) * 0.5 + s\n    t = t + s\nreturn i64((s + t) * 100.0)"
    s, t = np.float32(0), np.float32(1)
    for i in range(5):
        s = np.float32(i) * np.float32(0.5) + s
        t = t + s
    assert function(body, 1)(5) == int((s + t) * 100)
    assert function("scale = 3\nless = -(3 * 2 - 10)\nreturn i64(f32(p0) * scale * less)", 1)(2) == 24


def test_assignment_in_place_to_an_element() -> None:
    data = np.array([1.5, 2.5], np.float32)
    function("x = ptr_f32(p0, 0)\nx[p1] += 2\nx[0], x[1] = x[1], x[0]", 2, "void(i64,i64)")(data.ctypes.data, 1)
    assert data.tolist() == [4.5, 1.5]


def test_wrapping_and_bits() -> None:
    assert function("return i64(i8(p0) + i8(1))", 1)(127) == -128
    assert function("return i64(u32(p0) * u32(p0))", 1)(70000) == 70000**2 % 2**32
    assert function("return i64(mulhi_u32(u32(p0), u32(p1)))", 2)(0xFFFFFFFF, 0xFFFFFFFE) == 0xFFFFFFFD
    assert function("return i64(float_bits(f32(p0)))", 1)(1) == 0x3F800000
    assert function("return i64(bits_float(i32(p0)) * 2)", 1)(0x40000000) == 4


def test_advance_and_address() -> None:
    data = np.arange(10, dtype=np.float32)
    native = function("x = advance(ptr_f32(p0, 0), p1)\nreturn i64(x[1]) * 1000 + (address(x) - p0)", 2)
    assert native(data.ctypes.data, 4) == 5 * 1000 + 16


def test_calls_through_pointers() -> None:
    seen: list[tuple[int | float, ...]] = []
    add = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(lambda a, b, c, d: a + 2 * b + 3 * c + 4 * d)
    address = ctypes.cast(add, ctypes.c_void_p).value
    assert function("return call_i64(p0, p1, 10, 100, 1000)", 2)(address, 1) == 1 + 20 + 300 + 4000
    c, i, f = ctypes.c_int, ctypes.c_int64, ctypes.c_float
    gemm = ctypes.CFUNCTYPE(None, c, c, c, i, i, i, f, i, i, i, i, f, i, i)(lambda *a: seen.append(a))
    address = ctypes.cast(gemm, ctypes.c_void_p).value
    function("call_gemm_f32(p0, 101, 111, 112, 2, 3, 4, 0.5, p0, 5, p0, 6, 2.0, p0, 7)", 1, "void(i64)")(address)
    assert seen == [(101, 111, 112, 2, 3, 4, 0.5, address, 5, address, 6, 2.0, address, 7)]
    kernel = ctypes.CFUNCTYPE(None, i, i, i)(lambda *a: seen.append(a))
    address = ctypes.cast(kernel, ctypes.c_void_p).value
    function("call_kernel(p0, 1, 2, 3)", 1, "void(i64)")(address)
    assert seen[-1] == (1, 2, 3)


def test_atomics() -> None:
    word = np.array([5, 0], np.int64)
    p = word.ctypes.data
    assert function("return atomic_add(p0, 3) * 100 + atomic_load(p0)", 1)(p) == 508
    assert function("return atomic_cas(p0, 8, -1) * 10 + atomic_cas(p0, 8, 9)", 1)(p) == 79
    assert function("atomic_store(p0, 4)\natomic_fence()\ncpu_pause()\nreturn atomic_swap(p0, 6)", 1)(p) == 4
    word[:] = (7 << 32) | 1, 0
    assert function("return atomic_add32(p0, -2) * 10 + atomic_load32(p0)", 1)(p) == 9
    assert function("return atomic_cas32(p0, -1, 3) * 10 + atomic_swap32(p0, 2)", 1)(p) == -7
    assert word[0] == (7 << 32) | 2


def test_atomic_add_from_threads() -> None:
    word = np.zeros(1, np.int64)
    add = function("for i in range(p1):\n    atomic_add(p0, 1)", 2, "void(i64,i64)")
    threads = [threading.Thread(target=add, args=(word.ctypes.data, 100_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert word[0] == 400_000


def test_futex() -> None:
    page = mmap.mmap(-1, 4096)
    word = np.frombuffer(page, np.int64)
    address = word.ctypes.data
    wait = function("while atomic_load32(p0) == 0:\n    futex_wait(p0, 0)\nreturn atomic_load32(p0)", 1)
    wake = function("atomic_store32(p0, 5)\nreturn futex_wake(p0, 1)", 1)
    results: list[int] = []
    sleeper = threading.Thread(target=lambda: results.append(wait(address)))
    sleeper.start()
    time.sleep(0.05)
    assert wake(address) == 1
    sleeper.join(5)
    assert results == [5]
    assert function("return syscall6(39, 0, 0, 0, 0, 0, 0)", 0)() == os.getpid() or os.uname().machine != "x86_64"


def test_memory() -> None:
    a, b = np.arange(40, dtype=np.uint8), np.zeros(40, np.uint8)
    function("memory_copy(p0, p1, 30)\nmemory_fill(p0, 7, 3)", 2, "void(i64,i64)")(b.ctypes.data, a.ctypes.data)
    assert b.tolist() == [7, 7, 7, *range(3, 30), *[0] * 10]


def test_twelve_buffers_vectorise_without_alias_checks() -> None:
    source = ["def k(args, lo, hi):", "    a = ptr_i64(args, -1)"]
    source += [f"    p{i} = ptr_f32(a[{i}], {i})" for i in range(14)]
    source += ["    for i in range(lo, hi):", "        s = p0[i]"]
    source += [f"        s = s * p{i}[i] + 1.0" for i in range(1, 10)]
    source += [f"        p{i}[i] = s * {i}.0" for i in range(10, 14)]
    assembly = compiler.ir_to_assembly(
        lower_to_ir("\n".join(source) + "\n", "k"), Target(host_target().triple, "x86-64-v4", "")
    )
    assert "%zmm" in assembly
    assert "vmovss" not in assembly  # no scalar version of the loop beside
