"""Column kernels: reductions that keep the last axis. A unit is a run of columns, which row after row is added to the
result's memory, all of it in the nearest cache; what follows the reduction comes last.

In blocks, each unit takes a part of the rows, and the results are partial.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Final

from flowc.codegen.cpu import primitives
from flowc.codegen.ir import Node
from flowc.codegen.render.base import REDUCTION, UNIT_COST, KernelWriter
from flowc.codegen.values import Value, real_dtype

COLUMNS: Final = 256  # columns that make one unit


class ColumnKernel(KernelWriter):
    """The kernel of a column group."""

    def loops(self) -> int:
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
        self._column_loop(lambda: self._start_columns(reductions))
        self._column_rows(reductions, sizes)
        finals = self.stages.kept_after.get(0, [])
        if finals:
            self._column_loop(lambda: self._finish_column(reductions, finals))
        rows = -(-prod(nest.reduced) // blocks)
        self.cost_per_unit = self._take_cost() * width * max(rows, 1) + UNIT_COST
        return prod(nest.outer) * parts * blocks

    def _advance_outputs(self, variable: str, stride: int) -> None:
        word = self._word(stride)
        for operand in self.nest.outputs.values():
            step = f"{variable} * {word}" if not operand.dtype.is_complex else f"2 * {variable} * {word}"
            name = self.writer.assign(f"advance({self.bases[-1][operand.index]}, {step})")
            self.bases[-1][operand.index] = name

    def _column_loop(self, body: Callable[[], None]) -> None:
        self.writer.line(f"for i in {self.range}(start, stop):")
        self.writer.depth += 1
        self.loaded.append({})
        saved = dict(self.env)
        body()
        self.env = saved
        self.loaded.pop()
        self.writer.depth -= 1

    def _start_columns(self, reductions: list[Node]) -> None:
        for node in reductions:
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

    def _finish_column(self, reductions: list[Node], finals: list[Node]) -> None:
        for node in reductions:
            self.env[node] = self._reload(node)
        for node in finals:
            self._evaluate(node, self.inner_strides, "i")
        for node in finals:  # at the end, since one may lie over what another is computed from
            if node in self.nest.outputs:
                self._write(node, self.inner_strides, "i", self.env[node])
