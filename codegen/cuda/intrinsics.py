"""What kernels of the CUDA target may say beside the dialect of `flowc.codegen.cpu`.

    thread()  block()               int64: this thread's number in its block, and its block's number
    threads()  blocks()             how many there are of both
    barrier()                       waits for all threads of the block; memory that they wrote is then seen by all
    warp_barrier()                  the same for the 32 threads of a warp
    shuffle_xor(x, k)               the value of x in the thread of the warp whose number differs in the bits of k
    shared_f32(n, scope)            a buffer that the block's threads share (also b1 i8 … f64), of n elements, a number
    aligned(buffer)                 the same buffer, which is known to start at a multiple of 16 bytes

Importing this module makes the names known. Source: NVIDIA, PTX ISA 8; LLVM, User Guide for NVPTX Back-end.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from flowc.codegen.cpu.dialect import (
    I64,
    SCALARS,
    SHORT_NAME,
    VOID,
    Buffer,
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
from flowc.codegen.cpu.llvm_text import ITEM_SIZE, MEMORY_TYPE, REGISTER_TYPE, Builder, bits, is_signed

ALL_THREADS: Final = "-1"  # the mask of a warp's 32 threads

# ---- who am I -----------------------------------------------------------------------------------------------------


def special_register(name: str) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        return b.value(f"zext i32 {b.call('i32', f'llvm.nvvm.read.ptx.sreg.{name}.x')} to i64")

    return emit


for _name, _register in {"thread": "tid", "block": "ctaid", "threads": "ntid", "blocks": "nctaid"}.items():
    define(_name, fixed(I64))(special_register(_register))

# ---- together -----------------------------------------------------------------------------------------------------


@define("barrier", fixed(VOID))
def emit_barrier(b: Builder, sig: Signature, args: list[str]) -> str:
    return b.call("void", "llvm.nvvm.barrier.cta.sync.aligned.all", ("i32", "0"))


@define("warp_barrier", fixed(VOID))
def emit_warp_barrier(b: Builder, sig: Signature, args: list[str]) -> str:
    return b.call("void", "llvm.nvvm.bar.warp.sync", ("i32", ALL_THREADS))


def shuffle_rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
    if len(args) != 2 or args[0] not in SHORT_NAME or not isinstance(args[1], Number):
        raise DialectError(f"{self} takes a scalar and a number, not {args}")
    return signature(args[0], args[0], I64)


@define("shuffle_xor", shuffle_rule)
def emit_shuffle(b: Builder, sig: Signature, args: list[str]) -> str:
    dtype = SHORT_NAME[sig.return_type]
    value, kind = args[0], REGISTER_TYPE[dtype]
    if dtype == "f32":
        return _moved(b, "float", "f32", value, args[1])
    if dtype == "f64" or bits_of(dtype) == 64:
        return _moved_double(b, kind, value, args[1])
    if bits_of(dtype) == 32:
        return _moved(b, "i32", "i32", value, args[1])
    wide = b.value(f"{'sext' if is_signed(dtype) else 'zext'} {kind} {value} to i32")
    return b.value(f"trunc i32 {_moved(b, 'i32', 'i32', wide, args[1])} to {kind}")


def bits_of(dtype: str) -> int:
    return 1 if dtype == "b1" else bits(dtype)


def _moved(b: Builder, kind: str, suffix: str, value: str, lanes: str) -> str:
    operands = (("i32", ALL_THREADS), (kind, value), ("i32", lanes), ("i32", "31"))
    return b.call(kind, f"llvm.nvvm.shfl.sync.bfly.{suffix}", *operands)


def _moved_double(b: Builder, kind: str, value: str, lanes: str) -> str:
    """The two halves of 64 bits, one after the other."""
    word = value if kind == "i64" else b.value(f"bitcast {kind} {value} to i64")
    low = _moved(b, "i32", "i32", b.value(f"trunc i64 {word} to i32"), lanes)
    high = _moved(b, "i32", "i32", b.value(f"trunc i64 {b.value(f'lshr i64 {word}, 32')} to i32"), lanes)
    upper = b.value(f"shl i64 {b.value(f'zext i32 {high} to i64')}, 32")
    both = b.value(f"or i64 {upper}, {b.value(f'zext i32 {low} to i64')}")
    return both if kind == "i64" else b.value(f"bitcast i64 {both} to {kind}")


# ---- memory -------------------------------------------------------------------------------------------------------


def shared_rule(dtype: str) -> Rule:
    def rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
        numbers = [int(a.value) for a in args if isinstance(a, Number)]
        if len(args) != 2 or len(numbers) != 2:
            raise DialectError(f"{self} takes a size and a scope written as numbers, not {args}")
        return signature(Buffer(dtype, numbers[1]), I64, I64)

    return rule


def emit_shared(b: Builder, sig: Signature, args: list[str]) -> str:
    buffer = sig.return_type
    assert isinstance(buffer, Buffer)
    name = f"@shared.{len([key for key in b.definitions if key.startswith('@shared')])}"
    kind = f"[{args[0]} x {MEMORY_TYPE[buffer.dtype]}]"
    b.definitions[name] = f"{name} = internal addrspace(3) global {kind} poison, align 16"
    return b.value(f"addrspacecast ptr addrspace(3) {name} to ptr")


for _dtype in ITEM_SIZE:
    define(f"shared_{_dtype}", shared_rule(_dtype))(emit_shared)


def aligned_rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
    if len(args) != 1 or not isinstance(args[0], Buffer):
        raise DialectError(f"{self} takes a buffer, not {args}")
    return signature(args[0], args[0])


@define("aligned", aligned_rule)
def emit_aligned(b: Builder, sig: Signature, args: list[str]) -> str:
    b.declarations["llvm.assume"] = "declare void @llvm.assume(i1)"
    b.do(f'call void @llvm.assume(i1 true) [ "align"(ptr {args[0]}, i64 16) ]')
    return args[0]


# ---- for device_math ----------------------------------------------------------------------------------------------


@cache
def two_over_pi_words(count: int = 24) -> list[int]:
    """2/π as words of 64 bits, the first just after the binary point."""
    precision = 64 * count + 64
    scale = 1 << precision

    def arctan_of_inverse(n: int) -> int:
        total, term, k = 0, scale // n, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= n * n
            k += 2
        return total

    pi = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))  # Machin's formula
    quotient = (2 * scale * scale // pi) >> (precision - 64 * count)
    return [(quotient >> (64 * (count - 1 - i))) & ((1 << 64) - 1) for i in range(count)]


@define("two_over_pi", fixed(SCALARS["u64"], I64))
def emit_two_over_pi(b: Builder, sig: Signature, args: list[str]) -> str:
    words = two_over_pi_words()
    kind = f"[{len(words)} x i64]"
    values = ", ".join(f"i64 {word}" for word in words)
    b.definitions["two_over_pi"] = f"@two_over_pi = internal addrspace(1) constant {kind} [{values}], align 8"
    place = b.value(f"getelementptr inbounds i64, ptr addrspace(1) @two_over_pi, i64 {args[0]}")
    return b.value(f"load i64, ptr addrspace(1) {place}, align 8")


@define("mulhi_u64", fixed(SCALARS["u64"], SCALARS["u64"], SCALARS["u64"]))
def emit_mulhi(b: Builder, sig: Signature, args: list[str]) -> str:
    x, y = (b.value(f"zext i64 {a} to i128") for a in args)
    high = b.value(f"lshr i128 {b.value(f'mul nuw i128 {x}, {y}')}, 64")
    return b.value(f"trunc i128 {high} to i64")
