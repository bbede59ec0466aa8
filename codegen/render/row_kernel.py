"""Row kernels: for each row, one loop a stage; reductions accumulate in registers, and what follows them comes after.

In blocks, each unit reduces a part of a row, and the results are partial.
"""

from __future__ import annotations

from math import prod

from flowc.codegen.cpu import primitives
from flowc.codegen.ir import ARG_REDUCTIONS, Node
from flowc.codegen.render.base import REDUCTION, UNIT_COST, KernelWriter
from flowc.codegen.values import Value, real_dtype


class RowKernel(KernelWriter):
    """The kernel of a row group."""

    def loops(self) -> int:
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
        self.cost_per_unit = self._take_cost() * max(inner, 1) + UNIT_COST
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
            w.line(f"for {variable} in {self._loop(level, lo, hi)}:")
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

    def _loop(self, level: int, lo: str, hi: str) -> str:
        """The range of the loop over a reduced dimension."""
        innermost = level == len(self.nest.reduced) - 1
        return f"{self.range if innermost else 'range'}({lo}, {hi})"

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
            if node.op != "reduce":
                continue
            name = self._word(stride)
            step = f"b * {name}" if not operand.dtype.is_complex else f"2 * b * {name}"
            base = self.writer.assign(f"advance({self.bases[-1][operand.index]}, {step})")
            self._store(operand, base, "0", self.env[node])
