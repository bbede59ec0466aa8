"""What kernels of the runtime use beside arithmetic: calls through pointers, atomics, the kernel's futex, memory.

    call_void(f, …) call_i64(f, …)    call the C function at address f with int64 arguments; call_kernel is call_void
    call_gemm_f32(f, order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)    cblas_sgemm with 64-bit sizes;
                                      _f64 alike; call_gemm_ptr for complex: alpha and beta are addresses
    call_gemv_f32(f, order, ta, m, n, alpha, a, lda, x, incx, beta, y, incy), _f64, _ptr alike
    atomic_load(p) atomic_store(p, v) atomic_add(p, v) atomic_swap(p, v) atomic_cas(p, expected, new)
                                      on the int64 at address p; the last three return the old value. Loads acquire,
                                      stores release, the others are sequentially consistent; …32: on an int32
    atomic_fence()                    sequentially consistent
    cpu_pause()                       a hint inside a spinning loop
    futex_wait(p, v)                  sleep while the int32 at p is v;   futex_wake(p, n) wake up to n sleepers
    syscall6(number, a, b, c, d, e, f)    libc's syscall()
    flush_denormals()                 from here on this thread's denormal float results become 0, where they cost a
                                      hundred cycles each (x86-64); returns the old mode for restore_float_mode(mode)
    memory_copy(to, from, bytes)      disjoint memory;   memory_fill(to, byte, bytes)
    scratch(bytes)                    the address of so much of the stack, a number written in the source
    stream_copy(to, from, bytes)      as memory_copy, but past the caches where `to` is a multiple of 64, as `from` must
                                      be: memory is not read before it is written. An atomic_fence() must follow.

Sources: Linux futex(2) and syscall(2); the CBLAS interface of OpenBLAS built with 64-bit integers (enums stay int).
"""

from __future__ import annotations

import os

from .dialect import (
    I64,
    SCALARS,
    VOID,
    DialectError,
    Emitter,
    Number,
    Primitive,
    Rule,
    Signature,
    Type,
    define,
    fixed,
    signature,
)
from .llvm_text import Builder

# ---- calls through pointers ---------------------------------------------------------------------------------------


def any_count(result: Type) -> Rule:
    def rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
        if not args or any(a != I64 and not isinstance(a, Number) for a in args):
            raise DialectError(f"{self} takes a function's address and int64s, not {args}")
        return signature(result, *[I64] * len(args))

    return rule


def call_pointer(b: Builder, result: str, function: str, operands: list[tuple[str, str]]) -> str:
    pointer = b.value(f"inttoptr i64 {function} to ptr")
    text = f"call {result} {pointer}({', '.join(f'{t} {v}' for t, v in operands)})"
    if result == "void":
        b.do(text)
        return ""
    return b.value(text)


@define("call_kernel", fixed(VOID, I64, I64, I64, I64))
@define("call_void", any_count(VOID))
def emit_call_void(b: Builder, sig: Signature, args: list[str]) -> str:
    return call_pointer(b, "void", args[0], [("i64", a) for a in args[1:]])


@define("call_i64", any_count(I64))
def emit_call_i64(b: Builder, sig: Signature, args: list[str]) -> str:
    return call_pointer(b, "i64", args[0], [("i64", a) for a in args[1:]])


def emit_blas(scalar: str, parameters: str) -> Emitter:
    """`parameters`: one letter each, e an enum (C int), i a size or address, s a scalar passed by value."""
    llvm_types = {"e": "i32", "i": "i64", "s": scalar}

    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        operands = [
            (llvm_types[p], b.value(f"trunc i64 {a} to i32") if p == "e" else a)
            for p, a in zip(parameters, args[1:], strict=True)
        ]
        return call_pointer(b, "void", args[0], operands)

    return emit


for _routine, _parameters in {"gemm": "eeeiiisiiiisii", "gemv": "eeiisiiiisii"}.items():
    for _suffix, _scalar, _type in (
        ("f32", "float", SCALARS["f32"]),
        ("f64", "double", SCALARS["f64"]),
        ("ptr", "i64", I64),
    ):
        _rule = fixed(VOID, I64, *[_type if p == "s" else I64 for p in _parameters])
        define(f"call_{_routine}_{_suffix}", _rule)(emit_blas(_scalar, _parameters))


# ---- atomics ------------------------------------------------------------------------------------------------------


def narrowed(b: Builder, word: str, value: str) -> str:
    return value if word == "i64" else b.value(f"trunc i64 {value} to {word}")


def widened(b: Builder, word: str, value: str) -> str:
    return value if word == "i64" else b.value(f"sext {word} {value} to i64")


def atomic_load(word: str, align: int) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        pointer = b.value(f"inttoptr i64 {args[0]} to ptr")
        return widened(b, word, b.value(f"load atomic {word}, ptr {pointer} acquire, align {align}"))

    return emit


def atomic_store(word: str, align: int) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        pointer = b.value(f"inttoptr i64 {args[0]} to ptr")
        b.do(f"store atomic {word} {narrowed(b, word, args[1])}, ptr {pointer} release, align {align}")
        return ""

    return emit


def atomic_update(operation: str, word: str) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        pointer = b.value(f"inttoptr i64 {args[0]} to ptr")
        value = narrowed(b, word, args[1])
        return widened(b, word, b.value(f"atomicrmw {operation} ptr {pointer}, {word} {value} seq_cst"))

    return emit


def atomic_cas(word: str) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        pointer = b.value(f"inttoptr i64 {args[0]} to ptr")
        expected, new = narrowed(b, word, args[1]), narrowed(b, word, args[2])
        pair = b.value(f"cmpxchg ptr {pointer}, {word} {expected}, {word} {new} seq_cst seq_cst")
        return widened(b, word, b.value(f"extractvalue {{ {word}, i1 }} {pair}, 0"))

    return emit


for _suffix, _word, _align in (("", "i64", 8), ("32", "i32", 4)):
    define(f"atomic_load{_suffix}", fixed(I64, I64))(atomic_load(_word, _align))
    define(f"atomic_store{_suffix}", fixed(VOID, I64, I64))(atomic_store(_word, _align))
    define(f"atomic_add{_suffix}", fixed(I64, I64, I64))(atomic_update("add", _word))
    define(f"atomic_swap{_suffix}", fixed(I64, I64, I64))(atomic_update("xchg", _word))
    define(f"atomic_cas{_suffix}", fixed(I64, I64, I64, I64))(atomic_cas(_word))


@define("atomic_fence", fixed(VOID))
def emit_fence(b: Builder, sig: Signature, args: list[str]) -> str:
    b.do("fence seq_cst")
    return ""


@define("cpu_pause", fixed(VOID))
def emit_pause(b: Builder, sig: Signature, args: list[str]) -> str:
    instruction = {"x86_64": "pause", "aarch64": "yield"}.get(os.uname().machine, "nop")
    b.do(f'call void asm sideeffect "{instruction}", "~{{memory}}"()')
    return ""


# ---- the float unit's mode ----------------------------------------------------------------------------------------

FLUSH_TO_ZERO = 1 << 15  # of MXCSR: results only. Denormal operands keep their values.


@define("flush_denormals", fixed(I64))
def emit_flush_denormals(b: Builder, sig: Signature, args: list[str]) -> str:
    if os.uname().machine != "x86_64":
        return b.value("add i64 0, 0")
    slot = b.slot("i32")
    b.call("void", "llvm.x86.sse.stmxcsr", ("ptr", slot))
    mode = b.value(f"load i32, ptr {slot}")
    b.do(f"store i32 {b.value(f'or i32 {mode}, {FLUSH_TO_ZERO}')}, ptr {slot}")
    b.call("void", "llvm.x86.sse.ldmxcsr", ("ptr", slot))
    return b.value(f"zext i32 {mode} to i64")


@define("restore_float_mode", fixed(VOID, I64))
def emit_restore_float_mode(b: Builder, sig: Signature, args: list[str]) -> str:
    if os.uname().machine == "x86_64":
        slot = b.slot("i32")
        b.do(f"store i32 {b.value(f'trunc i64 {args[0]} to i32')}, ptr {slot}")
        b.call("void", "llvm.x86.sse.ldmxcsr", ("ptr", slot))
    return ""


# ---- the operating system -----------------------------------------------------------------------------------------

FUTEX_SYSCALL = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE = 128, 129


def system_call(b: Builder, operands: list[str]) -> str:
    b.declarations["syscall"] = "declare i64 @syscall(i64, ...)"
    return b.value(f"call i64 (i64, ...) @syscall({', '.join(f'i64 {v}' for v in operands)})")


@define("syscall6", fixed(I64, *[I64] * 7))
def emit_syscall(b: Builder, sig: Signature, args: list[str]) -> str:
    return system_call(b, args)


def futex(operation: int) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        number = FUTEX_SYSCALL.get(os.uname().machine)
        if number is None:
            raise DialectError(f"futex is not known on {os.uname().machine}")
        address, value = args
        return system_call(b, [str(number), address, str(operation), value, "0", "0", "0"])

    return emit


define("futex_wait", fixed(I64, I64, I64))(futex(FUTEX_WAIT_PRIVATE))
define("futex_wake", fixed(I64, I64, I64))(futex(FUTEX_WAKE_PRIVATE))


@define("memory_copy", fixed(VOID, I64, I64, I64))
def emit_copy(b: Builder, sig: Signature, args: list[str]) -> str:
    to, origin = (b.value(f"inttoptr i64 {a} to ptr") for a in args[:2])
    operands = (("ptr", to), ("ptr", origin), ("i64", args[2]), ("i1", "false"))
    return b.call("void", "llvm.memcpy.p0.p0.i64", *operands)


@define("memory_fill", fixed(VOID, I64, I64, I64))
def emit_fill(b: Builder, sig: Signature, args: list[str]) -> str:
    to = b.value(f"inttoptr i64 {args[0]} to ptr")
    byte = b.value(f"trunc i64 {args[1]} to i8")
    return b.call("void", "llvm.memset.p0.i64", ("ptr", to), ("i8", byte), ("i64", args[2]), ("i1", "false"))


LINE = 64  # bytes of a cache line, which are written at once
STREAM_FUNCTION = """
define internal void @stream(ptr noalias %to, ptr noalias readonly %from, i64 %bytes) #0 {
start:
  %whole = and i64 %bytes, -64
  %address = ptrtoint ptr %to to i64
  %odd = and i64 %address, 63
  %aligned = icmp eq i64 %odd, 0
  %some = icmp sgt i64 %whole, 0
  %go = and i1 %aligned, %some
  br i1 %go, label %loop, label %rest
loop:
  %i = phi i64 [ 0, %start ], [ %next, %loop ]
  %source = getelementptr i8, ptr %from, i64 %i
  %target = getelementptr i8, ptr %to, i64 %i
  %line = load <16 x i32>, ptr %source, align 64
  store <16 x i32> %line, ptr %target, align 64, !nontemporal !1000000
  %next = add i64 %i, 64
  %more = icmp slt i64 %next, %whole
  br i1 %more, label %loop, label %rest
rest:
  %done = phi i64 [ 0, %start ], [ %whole, %loop ]
  %left = sub i64 %bytes, %done
  %last_source = getelementptr i8, ptr %from, i64 %done
  %last_target = getelementptr i8, ptr %to, i64 %done
  call void @llvm.memcpy.p0.p0.i64(ptr %last_target, ptr %last_source, i64 %left, i1 false)
  ret void
}
!1000000 = !{i32 1}
"""


@define("scratch", fixed(I64, I64))
def emit_scratch(b: Builder, sig: Signature, args: list[str]) -> str:
    if not args[0].isdigit():
        raise DialectError(f"scratch takes a number written in the source, not {args[0]}")
    return b.value(f"ptrtoint ptr {b.slot(f'[{args[0]} x i8], align {LINE}')} to i64")


@define("stream_copy", fixed(VOID, I64, I64, I64))
def emit_stream_copy(b: Builder, sig: Signature, args: list[str]) -> str:
    b.definitions["stream"] = STREAM_FUNCTION
    b.declarations["llvm.memcpy.p0.p0.i64"] = "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"
    to, origin = (b.value(f"inttoptr i64 {a} to ptr") for a in args[:2])
    b.do(f"call void @stream(ptr {to}, ptr {origin}, i64 {args[2]})")
    return ""
