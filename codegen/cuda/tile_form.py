"""Maps that read an operand across its rows, as a transpose does: squares of it are turned in shared memory.

A block of 32 by 8 threads takes a square of 32 by 32 elements. It reads what lies side by side in the operand, and
writes what lies side by side in the result; a row of the square has an element more, so that no two threads of a warp
meet in a memory bank.
"""

from __future__ import annotations

from math import prod
from typing import Final

from flowc.codegen.cuda.geometry import heading
from flowc.codegen.nest import LoopNest, Operand
from flowc.codegen.render.base import SHORT, UNIT_COST, KernelWriter
from flowc.codegen.values import Value

SIDE: Final = 32
ROWS: Final = 8
PITCH: Final = SIDE + 1
LEAST: Final = 8  # elements of both dimensions, below which squares would be mostly empty
MOST_TURNED: Final = 4  # operands: each takes 4 or 8 KiB of shared memory
SCOPE: Final = 1000


def turned_dimension(nest: LoopNest) -> int | None:
    """The outer dimension along which operands lie side by side that the innermost loop steps across; None if none."""
    if not nest.outer or nest.vector < LEAST or nest.iotas:
        return None
    for dimension in reversed(range(len(nest.outer))):
        if nest.outer[dimension] >= LEAST and 0 < len(_turned(nest, dimension)) <= MOST_TURNED:
            return dimension
    return None


def _turned(nest: LoopNest, dimension: int) -> list[Operand]:
    return [
        o
        for o in nest.operands
        if not o.written and o.strides[dimension] == 1 and o.strides[-1] not in (0, 1) and not o.dtype.is_complex
    ]


class TileKernel(KernelWriter):
    """The kernel of a map group with operands to turn. A unit is a square."""

    heading = heading(SIDE * ROWS)

    def loops(self) -> int:
        nest, w = self.nest, self.writer
        dimension = turned_dimension(nest)
        assert dimension is not None
        self.turned = {o.index: o for o in _turned(nest, dimension)}
        rest = [d for d in range(len(nest.outer)) if d != dimension]
        self.inner_strides = self._stride_names(len(nest.outer))
        self.row_strides = self._stride_names(dimension)
        rows, columns = self._word(nest.outer[dimension]), self._word(nest.vector)
        down, across = -(-nest.outer[dimension] // SIDE), -(-nest.vector // SIDE)
        w.line(f"cx = thread() & {SIDE - 1}")
        w.line("ry = thread() >> 5")
        for number, index in enumerate(self.turned):
            kind = SHORT[self.turned[index].dtype.name]
            w.line(f"box{index} = shared_{kind}({SIDE * PITCH}, {SCOPE + number})")
        w.line("for u in range(lo + block(), hi, blocks()):")
        w.depth += 1
        self._places(rest, self._word(down), self._word(across))
        self._fill(rows, columns)
        self._compute(rows, columns)
        self.cost_per_unit = self._take_cost() * SIDE * SIDE + UNIT_COST
        return prod(nest.outer[d] for d in rest) * down * across

    def _places(self, rest: list[int], down: str, across: str) -> None:
        """The square's corner, and pointers moved along the other dimensions."""
        w = self.writer
        w.line(f"q = idiv(u, {across})")
        w.line(f"left = (u - q * {across}) * {SIDE}")
        w.line(f"p = idiv(q, {down})")
        w.line(f"top = (q - p * {down}) * {SIDE}")
        remaining = "p"
        for d in reversed(rest):
            w.line(f"q{d} = idiv({remaining}, {self._word(self.nest.outer[d])})")
            w.line(f"o{d} = {remaining} - q{d} * {self._word(self.nest.outer[d])}")
            remaining = f"q{d}"
        for d in rest:
            self._enter(f"o{d}", self._stride_names(d))

    def _fill(self, rows: str, columns: str) -> None:
        """Reads the squares by the operands' own rows."""
        w = self.writer
        w.line(f"for k in range(ry, {SIDE}, {ROWS}):")
        w.depth += 1
        w.line("i = left + k")
        w.line("o = top + cx")
        w.line(f"if i < {columns} and o < {rows}:")
        w.depth += 1
        for index in self.turned:
            w.line(f"box{index}[k * {PITCH} + cx] = {self.bases[-1][index]}[i * {self.inner_strides[index]} + o]")
        w.depth -= 2
        w.line("barrier()")

    def _compute(self, rows: str, columns: str) -> None:
        w = self.writer
        w.line(f"for k in range(ry, {SIDE}, {ROWS}):")
        w.depth += 1
        w.line("o = top + k")
        w.line("i = left + cx")
        w.line(f"if i < {columns} and o < {rows}:")
        w.depth += 1
        self.loaded.append({})
        self._enter("o", self.row_strides)
        self.loaded.append({})
        for node in self.group.nodes:
            self._evaluate(node, self.inner_strides, "i")
        for node in self.nest.outputs:
            self._write(node, self.inner_strides, "i", self.env[node])
        self.loaded.pop()
        self._leave()
        self.loaded.pop()
        w.depth -= 2
        w.line("barrier()")

    def _read(self, operand: Operand, innermost: dict[int, str] | None, variable: str) -> Value:
        if operand.index not in self.turned:
            return super()._read(operand, innermost, variable)
        frame = self.loaded[-1]
        if operand.index not in frame:
            frame[operand.index] = (self.writer.assign(f"box{operand.index}[cx * {PITCH} + k]"),)
        return frame[operand.index]
