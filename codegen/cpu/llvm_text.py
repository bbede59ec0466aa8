"""LLVM IR as text: value types, typed constants and a builder that appends instructions to one function.

Text is an order of magnitude cheaper to make than llvmlite's objects, and it is what LLVM parses anyway. An operand is
a string: an SSA name (`%12`) or a constant (`1`, `0x3FF0000000000000`, `true`).
"""

from __future__ import annotations

import math
import struct

# flowc's short dtype name → LLVM type of a value in a register
REGISTER_TYPE = {
    "b1": "i1",
    "i8": "i8",
    "i16": "i16",
    "i32": "i32",
    "i64": "i64",
    "u8": "i8",
    "u16": "i16",
    "u32": "i32",
    "u64": "i64",
    "f32": "float",
    "f64": "double",
}
# … → LLVM type and size in bytes of an element in memory; f16 is computed on as f32
MEMORY_TYPE = REGISTER_TYPE | {"b1": "i8", "f16": "half"}
ITEM_SIZE = {"b1": 1, "f16": 2} | {k: int(k[1:]) // 8 for k in REGISTER_TYPE if k != "b1"}
FIRST_LOOP_NODE = 100_000  # metadata nodes of scopes come before it
_LOOP_HINTS = {
    "masked": '!"llvm.loop.vectorize.predicate.enable", i1 MASKED_LOOPS',
    "unrolled": '!"llvm.loop.unroll.full"',
}


def is_float(dtype: str) -> bool:
    return dtype[0] == "f"


def is_signed(dtype: str) -> bool:
    return dtype[0] == "i"


def bits(dtype: str) -> int:
    return int(dtype[1:])


def float_constant(value: float, dtype: str) -> str:
    """`value` rounded to `dtype`, as the hexadecimal double that LLVM's syntax asks for (NaN keeps its sign)."""
    if dtype == "f32" and math.isfinite(value):
        try:
            (value,) = struct.unpack("<f", struct.pack("<f", value))
        except OverflowError:
            value = math.copysign(math.inf, value)
    if math.isnan(value):
        value = math.copysign(math.nan, value)
    (pattern,) = struct.unpack("<Q", struct.pack("<d", value))
    return f"0x{pattern:016X}"


def constant(value: float | int | bool, dtype: str) -> str:
    """The constant `value` of `dtype`. Raises ValueError where it does not fit: a fraction or a too large integer."""
    if dtype == "b1":
        return "true" if value else "false"
    if is_float(dtype):
        return float_constant(float(value), dtype)
    if value != int(value) or not -(1 << (bits(dtype) - 1)) <= value < 1 << bits(dtype):
        raise ValueError(f"{value!r} is no value of {dtype}")
    return str(int(value))


class Builder:
    """Collects the body of one function; what it needs around it (declarations, stack slots, metadata) on the side."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.declarations: dict[str, str] = {}
        self.definitions: dict[str, str] = {}  # internal functions that this one calls
        self.scopes: set[int] = set()
        self.loop_metadata: list[str] = []
        self.count = 0

    def value(self, text: str) -> str:
        """Append `%n = text` and return `%n`."""
        name = f"%v{self.count}"
        self.count += 1
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def slot(self, llvm_type: str) -> str:
        """A stack slot that lives as long as the function."""
        name = f"%s{len(self.slots)}"
        self.slots.append(f"  {name} = alloca {llvm_type}")
        return name

    def call(self, result: str, name: str, *operands: tuple[str, str], flags: str = "") -> str:
        """Call the external function or LLVM intrinsic `name`; operands are (LLVM type, value) pairs."""
        self.declarations[name] = f"declare {result} @{name}({', '.join(t for t, _ in operands)})"
        arguments = ", ".join(f"{t} {v}" for t, v in operands)
        text = f"call {flags}{' ' if flags else ''}{result} @{name}({arguments})"
        if result == "void":
            self.do(text)
            return ""
        return self.value(text)

    def scope_suffix(self, scope: int) -> str:
        """Metadata that says: this access touches only memory of `scope` (negative: nothing known)."""
        if scope < 0:
            return ""
        self.scopes.add(scope)
        return f", !alias.scope !{3 * scope + 2}, !noalias !{3 * scope + 3}"

    def loop_suffix(self, kind: str, rolled: bool = False) -> str:
        """Metadata for a loop's back edge. "masked": rather than run full vectors and then a remainder, mask the last
        vector (where the target can: MASKED_LOOPS is set for it): half the code, and short loops are fast. "unrolled":
        no loop is left of it. "wide": nothing is said. None is unrolled that is not to be where `rolled`."""
        hints = [_LOOP_HINTS[kind]] if kind in _LOOP_HINTS else []
        if rolled and kind != "unrolled":
            hints.append('!"llvm.loop.unroll.disable"')
        if not hints:
            return ""
        node = FIRST_LOOP_NODE + len(self.loop_metadata)
        nodes = {node + 1 + i: hint for i, hint in enumerate(hints)}
        loop = ", ".join(f"!{n}" for n in (node, *nodes))
        self.loop_metadata.append(f"!{node} = distinct !{{{loop}}}")
        self.loop_metadata += [f"!{n} = !{{{hint}}}" for n, hint in nodes.items()]
        return f", !llvm.loop !{node}"

    def scope_metadata(self) -> list[str]:
        if not self.scopes:
            return []
        lines = ["!0 = distinct !{!0}"]
        for scope in sorted(self.scopes):
            others = ", ".join(f"!{3 * other + 1}" for other in sorted(self.scopes - {scope}))
            lines.append(f"!{3 * scope + 1} = distinct !{{!{3 * scope + 1}, !0}}")
            lines.append(f"!{3 * scope + 2} = !{{!{3 * scope + 1}}}")
            lines.append(f"!{3 * scope + 3} = !{{{others}}}")
        return lines
