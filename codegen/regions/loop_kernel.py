"""Loops over a few numbers as single kernels: the loop variables stay in registers.

Every element of every array is a value of its own, so that views and reductions cost nothing.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from itertools import product
from math import prod
from typing import Final

import numpy as np

from flowc.codegen.cpu import primitives
from flowc.codegen.fuse import live_nodes
from flowc.codegen.ir import ARG_REDUCTIONS, Node, Shape, broadcast_access
from flowc.codegen.plan import Kernel
from flowc.codegen.program import Program
from flowc.codegen.regions.region import LoopKernel, Region, Register
from flowc.codegen.render.base import LITERALS, REDUCTION, SHORT
from flowc.codegen.values import Value, Writer, real_dtype
from flowc.framework.dtypes import DType

MOST_STATE: Final = 32  # elements of all loop variables
MOST_VALUES: Final = 300  # elements of all that an iteration computes


def loop_kernel(region: Region) -> LoopKernel | None:
    """The kernel of a loop that works on a few numbers, elementwise; None for any other region."""
    if region.kind != "loop":
        return None
    program = region.parts[0].program
    nodes = live_nodes(program)
    state = sum(result.size for result in region.results)
    values = sum(max(node.size, *(arg.size for arg in node.args)) for node in nodes if node.args)
    if state > MOST_STATE or values > MOST_VALUES or not all(map(_is_simple, nodes)):
        return None
    return _Writer(region, program).kernel(nodes)


def _is_simple(node: Node) -> bool:
    if node.op == "reduce":
        kind, _, blocks = node.attr
        return kind not in ARG_REDUCTIONS and not blocks and not node.dtype.is_complex
    return node.op in ("input", "const", "iota", "view", "map") and node.dtype.name in SHORT


class _Writer:
    def __init__(self, region: Region, program: Program) -> None:
        self.region, self.program = region, program
        self.writer = Writer()
        self.header: list[str] = []
        self.words: list[Register | int] = []
        self.pointers: dict[Register, str] = {}
        self.values: dict[tuple[Node, int], Value] = {}
        self.stored = {int(slot): node for slot, node in program.stores.items()}

    def kernel(self, nodes: Iterable[Node]) -> LoopKernel:
        """The kernel that computes `nodes`, which are in order, once an iteration."""
        inputs = [node for node in nodes if node.op == "input"]
        self._load(inputs)
        writer = self.writer
        writer.line(f"while {self._register(0, 0)[0]}:")
        writer.depth += 1
        for node in nodes:
            if node.op in ("map", "reduce"):
                for element, index in enumerate(np.ndindex(node.shape)):
                    self.values[node, element] = self._computed(node, index)
        self._assign()
        writer.depth -= 1
        for slot in self.stored:
            self._store(slot)
        return self._finished(nodes)

    def _finished(self, nodes: Iterable[Node]) -> LoopKernel:
        constants = [line for line in self.header if not line.startswith("    x")]
        pointers = [line for line in self.header if line.startswith("    x")]
        lines = ["    a = ptr_i64(args, -1)", *pointers, *constants, *self.writer.lines]
        body = "\n".join(lines) + "\n"
        words = dict.fromkeys(node.attr for node in nodes if node.op == "map" and node.attr != "copy")
        name = "_".join(["loop", *list(words)[:4], hashlib.sha256(body.encode()).hexdigest()[:8]])
        return LoopKernel(Kernel(name, f"def {name}(args, lo, hi):\n{body}"), tuple(self.words))

    # -- memory --------------------------------------------------------------------------------------------------------

    def _pointer(self, register: Register, dtype: DType) -> str:
        if register not in self.pointers:
            name = self.pointers[register] = f"x{len(self.words)}"
            scope = len(self.words) if register.of == "result" else -1
            self.header.append(f"    {name} = ptr_{SHORT[dtype.name]}(a[{len(self.words)}], {scope})")
            self.words.append(register)
        return self.pointers[register]

    def _elements(self, name: str, dtype: DType, element: int) -> list[str]:
        """The places of an element in memory: two for a complex number."""
        if not dtype.is_complex:
            return [f"{name}[{element}]"]
        return [f"{name}[{2 * element}]", f"{name}[{2 * element + 1}]"]

    def _register(self, slot: int, element: int) -> Value:
        """The variables that hold an element of a loop variable."""
        name = f"s{slot}_{element}"
        return (f"{name}r", f"{name}i") if self.region.results[slot].dtype.is_complex else (name,)

    def _load(self, inputs: Iterable[Node]) -> None:
        """Everything that is in memory, before the loop."""
        for slot in {0, *self.stored}:
            self._load_slot(slot)
        for node in inputs:
            kind, which = node.attr
            slot = int(which) if kind == "variable" else -1
            if slot in self.stored or slot == 0:
                values = [self._register(slot, element) for element in range(node.size)]
            else:
                register = Register("argument", which) if slot < 0 else Register("result", slot)
                name = self._pointer(register, node.dtype)
                values = [self._loaded(name, node.dtype, element) for element in range(node.size)]
            self.values.update({(node, element): value for element, value in enumerate(values)})

    def _load_slot(self, slot: int) -> None:
        result = self.region.results[slot]
        name = self._pointer(Register("result", slot), result.dtype)
        for element in range(result.size):
            places = self._elements(name, result.dtype, element)
            for register, place in zip(self._register(slot, element), places, strict=True):
                self.writer.line(f"{register} = {place}")

    def _loaded(self, name: str, dtype: DType, element: int) -> Value:
        return tuple(self.writer.assign(place) for place in self._elements(name, dtype, element))

    def _store(self, slot: int) -> None:
        result = self.region.results[slot]
        name = self._pointer(Register("result", slot), result.dtype)
        for element in range(result.size):
            places = self._elements(name, result.dtype, element)
            for register, place in zip(self._register(slot, element), places, strict=True):
                self.writer.line(f"{place} = {register}")

    def _assign(self) -> None:
        """The next iteration's loop variables, none of which changes before all are known."""
        pairs: list[tuple[str, str]] = []
        for slot, node in self.stored.items():
            for element, index in enumerate(np.ndindex(node.shape)):
                value = self._argument(node, node.shape, index)
                pairs += zip(self._register(slot, element), value, strict=True)
        held = [(register, self.writer.assign(part)) for register, part in pairs]
        for register, part in held:
            self.writer.line(f"{register} = {part}")

    # -- values --------------------------------------------------------------------------------------------------------

    def _computed(self, node: Node, index: Shape) -> Value:
        if node.op == "map":
            args = [self._argument(arg, node.shape, index) for arg in node.args]
            return self.writer.primitive(node.attr, node.dtype, [arg.dtype for arg in node.args], args)
        return self._reduced(node, index)

    def _reduced(self, node: Node, index: Shape) -> Value:
        kind, axes, _ = node.attr
        (arg,) = node.args
        kept = iter(index)
        ranges = [range(size) if axis in axes else (next(kept),) for axis, size in enumerate(arg.shape)]
        dtype = real_dtype(node.dtype).name
        total = primitives.identity(REDUCTION[kind], dtype)
        for at in product(*ranges):
            (value,) = self._argument(arg, arg.shape, at)
            total = self.writer.assign(primitives.spell_reduction(REDUCTION[kind], dtype, total, value))
        return (total,)

    def _argument(self, arg: Node, shape: Shape, index: Shape) -> Value:
        """What `arg`, broadcast to `shape`, is at an index."""
        base, offset, strides = broadcast_access(arg, shape)
        element = offset + sum(i * s for i, s in zip(index, strides, strict=True))
        known = self.values.get((base, element))
        if known is None:
            known = self.values[base, element] = self._fixed(base, element)
        return known

    def _fixed(self, base: Node, element: int) -> Value:
        """An element of a constant, or of indices along an axis."""
        if base.op == "iota":
            after = prod(base.shape[base.attr + 1 :])
            value = element // after % base.shape[base.attr]
            return (primitives.literal(value, base.dtype.name),)
        array = self.program.constants[base.attr].reshape(-1)
        parts = [array[element].real, array[element].imag] if base.dtype.is_complex else [array[element]]
        return tuple(self._constant(part, real_dtype(base.dtype)) for part in parts)

    def _constant(self, value: np.generic, kind: DType) -> str:
        """A number of the argument block, so that loops that differ in it share a kernel."""
        plain = value.item()
        if kind.name == "bool" or (plain in LITERALS and not (plain == 0 and np.signbit(float(plain)))):
            return primitives.literal(plain, kind.name)
        name = f"c{len(self.words)}"
        self.header.append(f"    {name} = ptr_{SHORT[kind.name]}(args + {8 * len(self.words)}, -1)[0]")
        data = np.asarray(value, kind.as_numpy_dtype).tobytes().ljust(8, b"\0")
        self.words.append(struct.unpack("<q", data)[0])
        return name
