"""Column kernels: reductions that keep the last axis. A block takes 32 columns, whose rows its 8 warps share out.

Consecutive threads read consecutive columns; a column's 8 sums are added in order, so that runs repeat.
"""

from __future__ import annotations

from math import prod
from typing import Final

from flowc.codegen.cpu import primitives
from flowc.codegen.cuda.geometry import heading
from flowc.codegen.ir import Node
from flowc.codegen.render.base import REDUCTION, SHORT, UNIT_COST
from flowc.codegen.render.column_kernel import ColumnKernel
from flowc.codegen.values import Value, real_dtype

COLUMNS: Final = 32
ROWS: Final = 8
SCOPE: Final = 1000  # of shared memory: beyond those of operands


class CudaColumnKernel(ColumnKernel):
    """The kernel of a column group."""

    heading = heading(COLUMNS * ROWS)
    units = "range(lo + block(), hi, blocks())"

    def loops(self) -> int:
        nest, w = self.nest, self.writer
        blocks = max(self.group.blocks, 1)
        strips = -(-nest.vector // COLUMNS)
        sizes = [self._word(n) for n in nest.reduced]
        columns, count, across = self._word(nest.vector), self._word(strips * blocks), self._word(strips)
        length = self._word(-(-nest.reduced[0] // blocks))
        reductions = [n for n in self.group.nodes if n.op == "reduce"]
        w.line(f"cx = thread() & {COLUMNS - 1}")
        w.line("ry = thread() >> 5")
        boxes = self._boxes(reductions)
        self._open_units(count)
        w.line(f"k = idiv(b, {across})")
        w.line(f"i = (b - k * {across}) * {COLUMNS} + cx")
        w.line(f"first = imin(k * {length}, {sizes[0]})")
        w.line(f"last = imin(first + {length}, {sizes[0]})")
        if self.group.blocks:
            self._advance_partials("k", prod(self.group.kept))
        totals = {node: self._start(node) for node in reductions}
        w.line(f"if i < {columns}:")
        w.depth += 1
        self._rows(totals, sizes)
        w.depth -= 1
        self._finish(totals, boxes, columns)
        self.cost_per_unit = self._take_cost() * max(prod(nest.reduced) // blocks, 1) + UNIT_COST
        return prod(nest.outer) * strips * blocks

    def _boxes(self, reductions: list[Node]) -> dict[Node, Value]:
        """Shared memory for a block's sums."""
        boxes: dict[Node, Value] = {}
        scope = SCOPE
        for node in reductions:
            kind = SHORT[real_dtype(node.dtype).name].replace("f16", "f32")
            names = [f"box{self.order[node]}{part}" for part in (("", "i") if node.dtype.is_complex else ("",))]
            for name in names:
                self.writer.line(f"{name} = shared_{kind}({COLUMNS * ROWS}, {scope})")
                scope += 1
            boxes[node] = tuple(names)
        return boxes

    def _start(self, node: Node) -> Value:
        """An accumulator of this thread's."""
        real = real_dtype(node.dtype).name
        names = [f"t{self.order[node]}"] + ([f"t{self.order[node]}i"] if node.dtype.is_complex else [])
        starts = [primitives.identity(REDUCTION[node.attr[0]], real), primitives.literal(0, real)]
        for name, start in zip(names, starts, strict=False):
            self.writer.line(f"{name} = {start}")
        return tuple(names)

    def _rows(self, totals: dict[Node, Value], sizes: list[str]) -> None:
        w, saved = self.writer, dict(self.env)
        counts = [-(-self.nest.reduced[0] // max(self.group.blocks, 1)), *self.nest.reduced[1:]]
        shared = max(range(len(counts)), key=lambda d: (min(counts[d], ROWS), -d))
        for level, size in enumerate(sizes):
            lo, hi = ("first", "last") if level == 0 else ("0", size)
            w.line(f"for r{level} in range({f'{lo} + ry, {hi}, {ROWS}' if level == shared else f'{lo}, {hi}'}):")
            w.depth += 1
            self._enter(f"r{level}", self.middle_strides[level])
            self.loaded.append({})
        for node in self.stages.needed[0]:
            value = self._evaluate(node, self.inner_strides, "i")
            if node in self.nest.outputs:
                self._write(node, self.inner_strides, "i", value)
        for node, names in totals.items():
            value = self._argument(node, node.args[0], self.inner_strides, "i")
            for name, new in zip(names, self._combined(node.attr[0], node.dtype, names, value), strict=True):
                w.line(f"{name} = {new}")
        for _ in sizes:
            w.depth -= 1
            self._leave()
            self.loaded.pop()
        self.env = saved

    def _finish(self, totals: dict[Node, Value], boxes: dict[Node, Value], columns: str) -> None:
        """Adds up the warps' sums, and computes what follows them."""
        w = self.writer
        place = f"ry * {COLUMNS} + cx"
        for node, names in totals.items():
            for box, name in zip(boxes[node], names, strict=True):
                w.line(f"{box}[{place}] = {name}")
        w.line("barrier()")
        w.line(f"if ry == 0 and i < {columns}:")
        w.depth += 1
        w.line(f"for row in range(1, {ROWS}):")
        w.depth += 1
        for node, names in totals.items():
            others = tuple(w.assign(f"{box}[row * {COLUMNS} + cx]") for box in boxes[node])
            combined = [w.assign(new) for new in self._combined(node.attr[0], node.dtype, names, others)]
            for name, new in zip(names, combined, strict=True):
                w.line(f"{name} = {new}")
        w.depth -= 1
        self.loaded.append({})
        self.env.update(totals)
        finals = self.stages.kept_after.get(0, [])
        for node in finals:
            self._evaluate(node, self.inner_strides, "i")
        for node in (*totals, *finals):
            if node in self.nest.outputs:
                self._write(node, self.inner_strides, "i", self.env[node])
        self.loaded.pop()
        w.depth -= 1
        w.line("barrier()")
