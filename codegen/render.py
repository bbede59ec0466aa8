"""From a loop nest to kernel source, and to the argument words of a launch.

The source says nothing about sizes: those, the strides other than 0 and 1, and the constants are words of the argument
block, so that nests of the same form share one kernel. Its layout: pointers, sizes, strides, constants.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from flowc.codegen.cpu import primitives
from flowc.codegen.fuse import Group
from flowc.codegen.ir import ARG_REDUCTIONS, Node
from flowc.codegen.nest import LoopNest, Operand
from flowc.codegen.plan import Kernel
from flowc.codegen.stages import Stages, stages_of
from flowc.codegen.values import Value, Writer, real_dtype
from flowc.framework.dtypes import DType, int64

BLOCK: Final = 4096  # elements of the vector loop that make one unit of work where there are outer loops
COLUMNS: Final = 256  # columns of a column reduction that make one unit
CHUNK_COST: Final = 16384.0  # cycles of work that make a chunk worth another thread
LONG: Final = 256  # elements from which an inner loop runs full vectors, interleaved, before a remainder; shorter: masked
LITERALS: Final = frozenset({0.0, 1.0, -1.0, 2.0, 0.5})
REDUCTION: Final = {  # reduce kinds, as targets call what they accumulate
    "sum": "add", "prod": "mul", "max": "max", "min": "min", "all": "and", "any": "or", "argmax": "max", "argmin": "min",
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


def render(nest: LoopNest, constants: list[Any], aliases: dict[Node, Operand] | None = None) -> Rendered:
    """The kernel of a loop nest. `aliases`: outputs that are written over an operand, at the same indices."""
    return _Renderer(nest, constants, aliases or {}).run()


class _Renderer:
    def __init__(self, nest: LoopNest, constants: list[Any], aliases: dict[Node, Operand]) -> None:
        self.nest, self.group, self.constants, self.aliases = nest, nest.group, constants, aliases
        self.writer = Writer()
        self.order = {node: i for i, node in enumerate(self.group.nodes)}
        self.stages: Stages = stages_of(nest.group, set(nest.outputs))
        self.env: dict[Node, Value] = {}
        self.words: list[int] = []
        self.header: list[str] = []  # lines before the loops: words of the argument block
        self.pointer_count = len(nest.operands)
        self.loops: list[str] = []  # the index variables of the loops that are open
        self.bases: list[dict[int, str]] = [{}]  # pointer names of the operands, one dict a loop level
        self.scalar_values: dict[int, Value] = {}
        self.loaded: list[dict[int, Value]] = []
        self.cost_per_unit = 0.0
        self.range = "wide_range" if nest.vector >= LONG else "range"
        self.accumulators: dict[Node, Value] = {}

    # -- the whole -----------------------------------------------------------------------------------------------------

    def run(self) -> Rendered:
        self._prologue()
        units = {"map": self._map, "row": self._row, "col": self._col}[self.group.form]()
        body = "\n".join(self.header + self.writer.lines)
        header = "def {name}(args, lo, hi):\n"
        digest = hashlib.sha256((header + body).encode()).hexdigest()[:8]
        name = f"{kernel_name(self.group)}_{digest}"
        grain = max(1, int(CHUNK_COST / max(self.cost_per_unit, 1.0)))
        kernel = Kernel(name, header.format(name=name) + body + "\n")
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
        return tuple(self._scalar(f"c{number}{'ri'[i] if len(parts) > 1 else ''}", p, kind) for i, p in enumerate(parts))

    def _scalar(self, name: str, value: Any, kind: DType) -> str:
        if kind.name == "bool" or (float(value) in LITERALS and not (value == 0 and np.signbit(float(value)))):
            return primitives.literal(value.item(), kind.name)
        data = np.asarray(value, kind.as_numpy_dtype).tobytes().ljust(8, b"\0")
        self.words.append(struct.unpack("<q", data)[0])
        byte = 8 * (self.pointer_count + len(self.words) - 1)
        self.writer.line(f"{name} = ptr_{SHORT[kind.name]}(args + {byte}, -1)[0]")
        return name

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
        self.loops.append(variable)

    def _leave(self) -> None:
        self.bases.pop()
        self.loops.pop()

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
        base = arg.args[0] if arg.op == "view" else arg
        if base in self.env:
            return self.env[base]
        if (member, arg) in self.nest.iotas:
            return (self._iota(member, arg, variable),)
        return self._read(self.nest.reads[member, arg], innermost, variable)

    def _iota(self, member: Node, arg: Node, variable: str) -> str:
        strides = self.nest.iotas[member, arg]
        names = [*self.loops, *([variable] if variable else [])]
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

    # -- map -----------------------------------------------------------------------------------------------------------

    def _map(self) -> int:
        nest, w = self.nest, self.writer
        if not nest.outer:
            strides = self._stride_names(0)
            w.line("for i in wide_range(lo, hi):")
            self._map_body("i", strides)
            self.cost_per_unit = self._take_cost()
            return nest.vector
        block = min(nest.vector, BLOCK)
        blocks = -(-nest.vector // block)
        size, count, length = self._word(nest.vector), self._word(blocks), self._word(block)
        self._open_units(f"{count}")
        w.line(f"start = b * {length}")
        w.line(f"stop = imin(start + {length}, {size})")
        w.line(f"for i in {self.range}(start, stop):")
        self._map_body("i", self.inner_strides)
        self.cost_per_unit = self._take_cost() * block + 20
        return prod(nest.outer) * blocks

    def _map_body(self, variable: str, strides: dict[int, str]) -> None:
        self.writer.depth += 1
        self.loaded.append({})
        for node in self.group.nodes:
            value = self._evaluate(node, strides, variable)
            if node in self.nest.outputs:
                self._write(node, strides, variable, value)
        self.loaded.pop()
        self.writer.depth -= 1

    def _take_cost(self) -> float:
        cost = self.writer.cost + len(self.nest.operands)
        self.writer.cost = 0.0
        return cost

    # -- the loop over units, for all forms with outer loops -----------------------------------------------------------

    def _open_units(self, blocks: str | None) -> None:
        """`for u in range(lo, hi)`: splits the unit into a block and the outer indices, and advances the pointers."""
        w, nest = self.writer, self.nest
        outer = len(nest.outer)
        outer_strides = [self._stride_names(d) for d in range(outer)]
        self.inner_strides = self._stride_names(len(nest.sizes) - 1)
        self.middle_strides = [self._stride_names(d) for d in range(outer, len(nest.sizes) - 1)]
        sizes = [self._word(n) for n in nest.outer[1:]]
        w.line("for u in range(lo, hi):")
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

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _row(self) -> int:
        nest, w = self.nest, self.writer
        blocks = self.group.blocks
        sizes = [self._word(n) for n in nest.reduced]
        if blocks:
            count, length = self._word(blocks), self._word(-(-nest.reduced[0] // blocks))
            self._open_units(count)
            w.line(f"start = imin(b * {length}, {sizes[0]})")
            w.line(f"stop = imin(start + {length}, {sizes[0]})")
            bounds = ("start", "stop")
        else:
            self._open_units(None)
            bounds = ("0", sizes[0])
        self._load_row_values()
        self._kept_maps(-1)
        for stage in range(self.stages.count):
            self._row_stage(stage, bounds, sizes)
        if blocks:
            self._store_partials(prod(self.group.kept))
        inner = prod(nest.reduced) // max(blocks, 1)
        self.cost_per_unit = self._take_cost() * max(inner, 1) + 20
        return prod(nest.outer) * max(blocks, 1)

    def _load_row_values(self) -> None:
        """Operands that do not move within a row are loaded before its loops."""
        reduced = range(len(self.nest.outer), len(self.nest.sizes))
        for operand in self.nest.operands:
            if not operand.written and not operand.is_scalar and not any(operand.strides[d] for d in reduced):
                self._read(operand, None, "")

    def _row_stage(self, stage: int, bounds: tuple[str, str], sizes: list[str]) -> None:
        reductions = self.stages.reductions[stage]
        for node in reductions:
            self._open_accumulator(node)
        if self.stages.has_loop[stage]:
            self._reduced_loops(stage, bounds, sizes)
        for node in reductions:
            self.env[node] = self.accumulators.pop(node)
            if node.attr[0] in ARG_REDUCTIONS:
                self.env[node] = (self.env[node][1],)
            if node in self.nest.outputs and not self.group.blocks:
                self._write(node, None, "", self.env[node])
        self._kept_maps(stage)

    def _reduced_loops(self, stage: int, bounds: tuple[str, str], sizes: list[str]) -> None:
        w = self.writer
        depth = len(sizes)
        saved = dict(self.env)
        for level in range(depth):
            lo, hi = bounds if level == 0 else ("0", sizes[level])
            innermost = level == depth - 1
            variable = "i" if innermost else f"r{level}"
            w.line(f"for {variable} in {self.range if innermost else 'range'}({lo}, {hi}):")
            w.depth += 1
            if not innermost:
                self._enter(variable, self.middle_strides[level])
                self.loaded.append({})
        self.loaded.append({})
        self._stage_body(stage)
        self.loaded.pop()
        for level in range(depth):
            w.depth -= 1
            if level != depth - 1:
                self._leave()
                self.loaded.pop()
        self.env = saved

    def _stage_body(self, stage: int) -> None:
        for node in self.stages.needed[stage]:
            if node in self.stages.stashed and self.stages.stashed[node][0] < stage:
                holder = self.nest.outputs[self.stages.stashed[node][1]]
                stride = self.inner_strides.get(holder.index, "")
                index = "0" if not stride else "i" if stride == "1" else f"i * {stride}"
                self.env[node] = self._load(holder, self.bases[-1][holder.index], index)
                continue
            value = self._evaluate(node, self.inner_strides, "i")
            stash = self.stages.stashed.get(node)
            if stash is not None and stash[0] == stage and stash[1] is not node:
                self._write(stash[1], self.inner_strides, "i", value)
            if node in self.nest.outputs and self.stages.stage_of[node] == stage:
                self._write(node, self.inner_strides, "i", value)
        for node in self.stages.reductions[stage]:
            self._accumulate(node)

    def _open_accumulator(self, node: Node) -> None:
        w, kind = self.writer, node.attr[0]
        dtype = real_dtype(node.args[0].dtype)
        name = f"t{self.order[node]}"
        w.line(f"{name} = {primitives.identity(REDUCTION[kind], dtype.name)}")
        if kind in ARG_REDUCTIONS:
            w.line(f"{name}k = i64(0)")
            self.accumulators[node] = (name, f"{name}k")
        elif node.dtype.is_complex:
            w.line(f"{name}i = {primitives.literal(0, dtype.name)}")
            self.accumulators[node] = (name, f"{name}i")
        else:
            self.accumulators[node] = (name,)

    def _accumulate(self, node: Node) -> None:
        kind = node.attr[0]
        value = self._argument(node, node.args[0], self.inner_strides, "i")
        names = self.accumulators[node]
        if kind in ARG_REDUCTIONS:
            self._accumulate_arg(kind, names, value[0])
        else:
            for name, new in zip(names, self._combined(kind, node.args[0].dtype, names, value), strict=True):
                self.writer.line(f"{name} = {new}")

    def _combined(self, kind: str, dtype: DType, total: Value, value: Value) -> Value:
        """The accumulator combined with one more value, as expressions."""
        self.writer.cost += 1
        real = real_dtype(dtype).name
        if dtype.is_complex and kind == "prod":
            return self.writer.primitive("mul", dtype, [dtype, dtype], [total, value])
        both = zip(total, value, strict=True)
        return tuple(primitives.spell_reduction(REDUCTION[kind], real, t, v) for t, v in both)

    def _accumulate_arg(self, kind: str, names: Value, value: str) -> None:
        w, (best, position) = self.writer, names
        w.cost += 4
        sign = ">" if kind == "argmax" else "<"
        better = w.assign(f"({value} {sign} {best}) | (({value} != {value}) & ({best} == {best}))")
        w.line(f"{best} = select({better}, {value}, {best})")
        w.line(f"{position} = select({better}, i64(i), {position})")

    def _kept_maps(self, stage: int) -> None:
        for node in self.stages.kept_after.get(stage, ()):
            value = self._evaluate(node, None, "")
            if node in self.nest.outputs:
                self._write(node, None, "", value)

    def _store_partials(self, stride: int) -> None:
        for node, operand in self.nest.outputs.items():
            name = self._word(stride)
            step = f"b * {name}" if not operand.dtype.is_complex else f"2 * b * {name}"
            base = self.writer.assign(f"advance({self.bases[-1][operand.index]}, {step})")
            self._store(operand, base, "0", self.env[node])

    # -- columns -------------------------------------------------------------------------------------------------------

    def _col(self) -> int:
        nest, w = self.nest, self.writer
        blocks = max(self.group.blocks, 1)
        width = min(nest.vector, COLUMNS)
        parts = -(-nest.vector // width)
        sizes = [self._word(n) for n in nest.reduced]
        columns, wide, count = self._word(nest.vector), self._word(width), self._word(parts * blocks)
        across, length = self._word(parts), self._word(-(-nest.reduced[0] // blocks))
        self._open_units(count)
        w.line(f"k = idiv(b, {across})")
        w.line(f"start = (b - k * {across}) * {wide}")
        w.line(f"stop = imin(start + {wide}, {columns})")
        w.line(f"first = imin(k * {length}, {sizes[0]})")
        w.line(f"last = imin(first + {length}, {sizes[0]})")
        if self.group.blocks:
            self._advance_outputs("k", prod(self.group.kept))
        reductions = [n for n in self.group.nodes if n.op == "reduce"]
        self._column_loop(lambda: [self._start_column(n) for n in reductions])
        self._column_rows(reductions, sizes)
        finals = self.stages.kept_after.get(0, [])
        if finals:
            self._column_loop(lambda: self._finish_column(reductions, finals))
        rows = -(-prod(nest.reduced) // blocks)
        self.cost_per_unit = self._take_cost() * width * max(rows, 1) + 20
        return prod(nest.outer) * parts * blocks

    def _advance_outputs(self, variable: str, stride: int) -> None:
        word = self._word(stride)
        for operand in self.nest.outputs.values():
            step = f"{variable} * {word}" if not operand.dtype.is_complex else f"2 * {variable} * {word}"
            name = self.writer.assign(f"advance({self.bases[-1][operand.index]}, {step})")
            self.bases[-1][operand.index] = name

    def _column_loop(self, body: Any) -> None:
        self.writer.line(f"for i in {self.range}(start, stop):")
        self.writer.depth += 1
        self.loaded.append({})
        saved = dict(self.env)
        body()
        self.env = saved
        self.loaded.pop()
        self.writer.depth -= 1

    def _start_column(self, node: Node) -> None:
        real = real_dtype(node.dtype)
        start: Value = (primitives.identity(REDUCTION[node.attr[0]], real.name),)
        if node.dtype.is_complex:
            start = (*start, primitives.literal(0, real.name))
        self._write(node, self.inner_strides, "i", start)

    def _column_rows(self, reductions: list[Node], sizes: list[str]) -> None:
        w = self.writer
        for level in range(len(sizes)):
            lo, hi = ("first", "last") if level == 0 else ("0", sizes[level])
            w.line(f"for r{level} in range({lo}, {hi}):")
            w.depth += 1
            self._enter(f"r{level}", self.middle_strides[level])
            self.loaded.append({})
        self._column_loop(lambda: self._column_body(reductions))
        for _ in sizes:
            w.depth -= 1
            self._leave()
            self.loaded.pop()

    def _column_body(self, reductions: list[Node]) -> None:
        for node in self.stages.needed[0]:
            value = self._evaluate(node, self.inner_strides, "i")
            if node in self.nest.outputs:
                self._write(node, self.inner_strides, "i", value)
        for node in reductions:
            value = self._argument(node, node.args[0], self.inner_strides, "i")
            total = self._reload(node)
            self._write(node, self.inner_strides, "i", self._combined(node.attr[0], node.dtype, total, value))

    def _reload(self, node: Node) -> Value:
        operand = self.nest.outputs[node]
        stride = self.inner_strides.get(operand.index, "")
        index = "0" if not stride else "i" if stride == "1" else f"i * {stride}"
        return self._load(operand, self.bases[-1][operand.index], index)

    def _finish_column(self, reductions: list[Node], finals: list[Node]) -> None:
        for node in reductions:
            self.env[node] = self._reload(node)
        for node in finals:
            value = self._evaluate(node, self.inner_strides, "i")
            if node in self.nest.outputs:
                self._write(node, self.inner_strides, "i", value)


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
