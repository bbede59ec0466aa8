"""What the forms of kernels share: the argument block, pointers and strides, loads and stores, and values by name.

The source says nothing about sizes: those, the strides other than 0 and 1, and the constants are words of the argument
block, so that nests of the same form share one kernel. Its layout: pointers, then the other words in the order of use.
"""

from __future__ import annotations

import hashlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from flowc.codegen.cpu import primitives
from flowc.codegen.groups import Group
from flowc.codegen.ir import Node, base_of
from flowc.codegen.nest import LoopNest, Operand
from flowc.codegen.plan import Kernel
from flowc.codegen.stages import Stages, stages_of
from flowc.codegen.values import Value, Writer, real_dtype
from flowc.framework.dtypes import DType, int64

CHUNK_COST: Final = 16384.0  # cycles of work that make a chunk worth another thread
UNIT_COST: Final = 20.0  # cycles to find a unit's place
LONG: Final = 256  # elements from which an inner loop runs full vectors before a remainder; a shorter one is masked
LITERALS: Final = frozenset({0.0, 1.0, -1.0, 2.0, 0.5})  # constants that LLVM can make something of
REDUCTION: Final = {  # reduce kinds, as targets call what they accumulate
    "sum": "add", "prod": "mul", "max": "max", "min": "min", "all": "and", "any": "or",
    "argmax": "max", "argmin": "min",
}  # fmt: skip
SHORT: Final = {
    "float16": "f16", "float32": "f32", "float64": "f64", "complex64": "f32", "complex128": "f64", "bool": "b1",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "uint8": "u8", "uint16": "u16",
}  # fmt: skip


@dataclass(frozen=True)
class Rendered:
    """A kernel, and what one launch of it needs besides its pointers."""

    kernel: Kernel
    pointers: tuple[Operand, ...]
    words: tuple[int, ...]  # what follows the pointers
    units: int
    grain: int
    cost: float


class KernelWriter(ABC):
    """Writes the kernel of one loop nest; a subclass a form writes the loops."""

    heading = ""  # lines before the function, part of the source
    units = "range(lo, hi)"  # the loop over units of forms with outer loops

    def __init__(
        self, nest: LoopNest, constants: list[Any], aliases: dict[Node, Operand], streamed: Collection[Node]
    ) -> None:
        self.nest, self.group, self.constants, self.aliases = nest, nest.group, constants, aliases
        self.streamed = streamed
        self.writer = Writer()
        self.order = {node: i for i, node in enumerate(self.group.nodes)}
        self.stages: Stages = stages_of(nest.group, set(nest.outputs))
        self.env: dict[Node, Value] = {}
        self.words: list[int] = []
        self.header: list[str] = []  # lines before the loops: words of the argument block
        self.pointer_count = len(nest.operands)
        self.variables: list[str] = []  # the indices of the loops that are open
        self.origin = ""  # where the innermost loop's index 0 is along its dimension, if not at 0
        self.bases: list[dict[int, str]] = [{}]  # pointer names of the operands, one dict a loop level
        self.scalar_values: dict[int, Value] = {}
        self.loaded: list[dict[int, Value]] = []
        self.cost_per_unit = 0.0
        self.range = "wide_range" if nest.vector >= LONG else "range"
        self.accumulators: dict[Node, Value] = {}

    @abstractmethod
    def loops(self) -> int:
        """Writes the loops, sets `cost_per_unit`, and returns the number of units of work."""

    def render(self) -> Rendered:
        """The kernel, its words and units."""
        self._prologue()
        units = self.loops()
        body = "\n".join(self.header + self.writer.lines)
        header = "def {name}(args, lo, hi):\n"
        digest = hashlib.sha256((self.heading + header + body).encode()).hexdigest()[:8]
        name = f"{kernel_name(self.group)}_{digest}"
        grain = max(1, int(CHUNK_COST / max(self.cost_per_unit, 1.0)))
        kernel = Kernel(name, self.heading + header.format(name=name) + body + "\n")
        return Rendered(kernel, tuple(self.nest.operands), tuple(self.words), units, grain, self.cost_per_unit)

    def _word(self, value: int, name: str = "") -> str:
        """Adds an argument word, which the kernel reads once at its start; its name in the source."""
        name = name or f"n{len(self.words)}"
        self.header.append(f"    {name} = a[{self.pointer_count + len(self.words)}]")
        self.words.append(value)
        return name

    def _prologue(self) -> None:
        w = self.writer
        self.header.append("    a = ptr_i64(args, -1)")
        for operand in self.nest.operands:
            number = operand.index
            alias = self.aliases.get(operand.node) if operand.written else None
            if alias is not None:  # the same pointer, so that LLVM sees that a value is read before it is overwritten
                w.line(f"x{number} = x{alias.index}")
            else:
                w.line(f"x{number} = ptr_{SHORT[operand.dtype.name]}(a[{number}], {number})")
            self.bases[0][number] = f"x{number}"
        for number, node in enumerate(self.nest.scalars):
            self.env[node] = self._constant(number, node)
        for operand in self.nest.operands:
            if operand.is_scalar:
                self.scalar_values[operand.index] = self._load(operand, f"x{operand.index}", "0")

    def _constant(self, number: int, node: Node) -> Value:
        value = self.constants[node.attr].reshape(-1)[0]
        parts = [value.real, value.imag] if node.dtype.is_complex else [value]
        kind = real_dtype(node.dtype)
        names = [f"c{number}"] if len(parts) == 1 else [f"c{number}r", f"c{number}i"]
        return tuple(self._scalar(name, part, kind) for name, part in zip(names, parts, strict=True))

    def _scalar(self, name: str, value: Any, kind: DType) -> str:
        if kind.name == "bool" or (float(value) in LITERALS and not (value == 0 and np.signbit(float(value)))):
            return primitives.literal(value.item(), kind.name)
        data = np.asarray(value, kind.as_numpy_dtype).tobytes().ljust(8, b"\0")
        self.words.append(struct.unpack("<q", data)[0])
        byte = 8 * (self.pointer_count + len(self.words) - 1)
        self.writer.line(f"{name} = ptr_{SHORT[kind.name]}(args + {byte}, -1)[0]")
        return name

    def _take_cost(self) -> float:
        cost = self.writer.cost + len(self.nest.operands)
        self.writer.cost = 0.0
        return cost

    # -- memory --------------------------------------------------------------------------------------------------------

    def _load(self, operand: Operand, base: str, index: str) -> Value:
        if not operand.dtype.is_complex:
            return (self.writer.assign(f"{base}[{index}]"),)
        real = self.writer.assign(f"{base}[2 * ({index})]")
        return real, self.writer.assign(f"{base}[2 * ({index}) + 1]")

    def _store(self, operand: Operand, base: str, index: str, value: Value) -> None:
        if not operand.dtype.is_complex:
            self.writer.line(f"{base}[{index}] = {value[0]}")
            return
        self.writer.line(f"{base}[2 * ({index})] = {value[0]}")
        self.writer.line(f"{base}[2 * ({index}) + 1] = {value[1]}")

    def _stride_names(self, dimension: int) -> dict[int, str]:
        """For one loop dimension, each operand's stride as source: a word, or "1"; those of stride 0 are left out."""
        names = {}
        for operand in self.nest.operands:
            stride = operand.strides[dimension]
            if stride == 1:
                names[operand.index] = "1"
            elif stride:
                names[operand.index] = self._word(stride, f"s{operand.index}_{dimension}")
        return names

    def _enter(self, variable: str, strides: dict[int, str]) -> None:
        """Inside a loop that is not the innermost: pointers advanced to its index."""
        bases = dict(self.bases[-1])
        for operand in self.nest.operands:
            stride = strides.get(operand.index)
            if stride is None:
                continue
            step = variable if stride == "1" else f"{variable} * {stride}"
            if operand.dtype.is_complex:
                step = f"2 * ({step})"
            name = f"{self.bases[-1][operand.index]}{variable}"
            self.writer.line(f"{name} = advance({self.bases[-1][operand.index]}, {step})")
            bases[operand.index] = name
        self.bases.append(bases)
        self.variables.append(variable)

    def _leave(self) -> None:
        self.bases.pop()
        self.variables.pop()

    def _read(self, operand: Operand, innermost: dict[int, str] | None, variable: str) -> Value:
        """An operand's value where the writer stands; loaded once a loop body."""
        if operand.index in self.scalar_values:
            return self.scalar_values[operand.index]
        moves = innermost is not None and operand.index in innermost
        if not moves:  # the same for the whole innermost loop: loaded before it
            for frame in self.loaded:
                if operand.index in frame:
                    return frame[operand.index]
        frame = self.loaded[-1]
        if operand.index not in frame:
            stride = innermost[operand.index] if innermost is not None and moves else ""
            index = "0" if not moves else variable if stride == "1" else f"{variable} * {stride}"
            frame[operand.index] = self._load(operand, self.bases[-1][operand.index], index)
        return frame[operand.index]

    def _write(self, node: Node, innermost: dict[int, str] | None, variable: str, value: Value) -> None:
        operand = self.nest.outputs[node]
        stride = None if innermost is None else innermost.get(operand.index)
        index = "0" if stride is None else variable if stride == "1" else f"{variable} * {stride}"
        self._store(operand, self.bases[-1][operand.index], index, value)

    # -- values --------------------------------------------------------------------------------------------------------

    def _argument(self, member: Node, arg: Node, innermost: dict[int, str] | None, variable: str) -> Value:
        base = base_of(arg)
        if base in self.env:
            return self.env[base]
        if (member, arg) in self.nest.iotas:
            return (self._iota(member, arg, variable),)
        return self._read(self.nest.reads[member, arg], innermost, variable)

    def _iota(self, member: Node, arg: Node, variable: str) -> str:
        strides = self.nest.iotas[member, arg]
        inner = f"({self.origin} + {variable})" if self.origin else variable
        names = [*self.variables, *([inner] if variable else [])]
        terms = [name if s == 1 else f"{name} * {self._word(s)}" for name, s in zip(names, strides, strict=False) if s]
        index = " + ".join(terms) or "i64(0)"
        dtype = arg.dtype
        return index if dtype is int64 else self.writer.assign(primitives.spell_cast("int64", dtype.name, index))

    def _evaluate(self, node: Node, innermost: dict[int, str] | None, variable: str) -> Value:
        """The value of a map member, computed here."""
        args = [self._argument(node, arg, innermost, variable) for arg in node.args]
        value = self.writer.primitive(node.attr, node.dtype, [a.dtype for a in node.args], args)
        self.env[node] = value
        return value

    def _reload(self, node: Node) -> Value:
        operand = self.nest.outputs[node]
        stride = self.inner_strides.get(operand.index, "")
        index = "0" if not stride else "i" if stride == "1" else f"i * {stride}"
        return self._load(operand, self.bases[-1][operand.index], index)

    def _combined(self, kind: str, dtype: DType, total: Value, value: Value) -> Value:
        """The accumulator combined with one more value, as expressions."""
        self.writer.cost += 1
        real = real_dtype(dtype).name
        if dtype.is_complex and kind == "prod":
            return self.writer.primitive("mul", dtype, [dtype, dtype], [total, value])
        both = zip(total, value, strict=True)
        return tuple(primitives.spell_reduction(REDUCTION[kind], real, t, v) for t, v in both)

    # -- the loop over units, for all forms with outer loops -----------------------------------------------------------

    def _open_units(self, blocks: str | None) -> None:
        """`for u in range(lo, hi)`: splits the unit into a block and the outer indices, and advances the pointers."""
        w, nest = self.writer, self.nest
        outer = len(nest.outer)
        outer_strides = [self._stride_names(d) for d in range(outer)]
        self.inner_strides = self._stride_names(len(nest.sizes) - 1)
        self.middle_strides = [self._stride_names(d) for d in range(outer, len(nest.sizes) - 1)]
        sizes = [self._word(n) for n in nest.outer[1:]]
        w.line(f"for u in {self.units}:")
        w.depth += 1
        rest = "u"
        if blocks is not None:
            w.line(f"q = idiv(u, {blocks})")
            w.line(f"b = u - q * {blocks}")
            rest = "q"
        for d in range(outer - 1, 0, -1):
            w.line(f"q{d} = idiv({rest}, {sizes[d - 1]})")
            w.line(f"o{d} = {rest} - q{d} * {sizes[d - 1]}")
            rest = f"q{d}"
        if outer:
            w.line(f"o0 = {rest}")
        for d in range(outer):
            self._enter(f"o{d}", outer_strides[d])
        self.loaded.append({})


def kernel_name(group: Group) -> str:
    """A name that says what the group computes: its primitives in order, shortened."""
    words: list[str] = []
    for node in group.nodes:
        word = node.attr if node.op == "map" else str(node.attr[0])
        if not words or words[-1] != word:
            words.append(word)
    if len(words) > 5:
        words = [*words[:4], f"and_{len(words) - 4}_more"]
    return "_".join(words)
