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
ROWS: Final = 4  # rows taken at a time
FEW_VALUES: Final = 6  # nodes up to which that pays: each is written once a row


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
            self._advance_partials("k", prod(self.group.kept))
        reductions = [n for n in self.group.nodes if n.op == "reduce"]
        self._column_loop(lambda: self._start_columns(reductions))
        self._column_rows(reductions, sizes)
        finals = self.stages.kept_after.get(0, [])
        if finals:
            self._column_loop(lambda: self._finish_column(reductions, finals))
        rows = -(-prod(nest.reduced) // blocks)
        written = ROWS + 1 if self._is_tiled() else 1  # how often the source says what a row does
        self.cost_per_unit = self._take_cost() / written * width * max(rows, 1) + UNIT_COST
        return prod(nest.outer) * parts * blocks

    def _advance_partials(self, variable: str, stride: int) -> None:
        """Moves the partial results' pointers to this block's."""
        word = self._word(stride)
        for node, operand in self.nest.outputs.items():
            if self.group.levels[node] == "full":
                continue
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
        """The loops over rows; the innermost takes several at a time, which saves loads and stores of the totals."""
        w, inner = self.writer, len(sizes) - 1
        for level in range(inner):
            w.line(f"for r{level} in range({'first, last' if level == 0 else f'0, {sizes[level]}'}):")
            w.depth += 1
            self._enter(f"r{level}", self.middle_strides[level])
            self.loaded.append({})
        lo, hi = ("first", "last") if inner == 0 else ("0", sizes[inner])
        if self._is_tiled():
            w.line(f"tiled = {lo} + idiv({hi} - {lo}, {ROWS}) * {ROWS}")
            self._row_loop(f"range({lo}, tiled, {ROWS})", inner, ROWS, reductions)
            lo = "tiled"
        self._row_loop(f"range({lo}, {hi})", inner, 1, reductions)
        for _ in range(inner):
            w.depth -= 1
            self._leave()
            self.loaded.pop()

    def _is_tiled(self) -> bool:
        return len(self.stages.needed[0]) <= FEW_VALUES

    def _row_loop(self, rows: str, level: int, count: int, reductions: list[Node]) -> None:
        """A loop over the innermost reduced dimension that adds up `count` rows before it adds them to the totals."""
        w = self.writer
        w.line(f"for r{level} in {rows}:")
        w.depth += 1
        places = []
        for row in range(count):
            variable = f"r{level}"
            if row:
                variable = f"r{level}_{row}"
                w.line(f"{variable} = r{level} + {row}")
            self._enter(variable, self.middle_strides[level])
            places.append((self.bases[-1], variable))
            self._leave()
        self._column_loop(lambda: self._column_body(reductions, places))
        w.depth -= 1

    def _column_body(self, reductions: list[Node], places: list[tuple[dict[int, str], str]]) -> None:
        values: dict[Node, list[Value]] = {node: [] for node in reductions}
        for bases, variable in places:
            self.bases.append(bases)
            self.variables.append(variable)
            self.loaded.append({})
            outer = dict(self.env)
            self._row_values(values)
            self.env = outer
            self.loaded.pop()
            self._leave()
        for node in reductions:
            total = self._tree(node, values[node])
            self._write(
                node, self.inner_strides, "i", self._combined(node.attr[0], node.dtype, self._reload(node), total)
            )

    def _row_values(self, values: dict[Node, list[Value]]) -> None:
        """What one row adds to each reduction."""
        for node in self.stages.needed[0]:
            value = self._evaluate(node, self.inner_strides, "i")
            if node in self.nest.outputs:
                self._write(node, self.inner_strides, "i", value)
        for node, found in values.items():
            found.append(self._argument(node, node.args[0], self.inner_strides, "i"))

    def _tree(self, node: Node, values: list[Value]) -> Value:
        while len(values) > 1:
            pairs = zip(values[::2], values[1::2], strict=True)
            combined = (self._combined(node.attr[0], node.dtype, a, b) for a, b in pairs)
            values = [tuple(self.writer.assign(part) for part in value) for value in combined]
        return values[0]

    def _finish_column(self, reductions: list[Node], finals: list[Node]) -> None:
        for node in reductions:
            self.env[node] = self._reload(node)
        for node in finals:
            self._evaluate(node, self.inner_strides, "i")
        for node in finals:  # at the end, since one may lie over what another is computed from
            if node in self.nest.outputs:
                self._write(node, self.inner_strides, "i", self.env[node])
