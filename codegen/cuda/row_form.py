"""Row kernels: the threads of a block, or of a warp, share a row out; what they add up is combined by shuffles.

Every thread ends with the same total, bit for bit: the two sides of a shuffle add the same two numbers. The order of
all additions is fixed by the row's length, so that runs repeat.
"""

from __future__ import annotations

from typing import Final

from flowc.codegen.cuda.geometry import heading
from flowc.codegen.ir import ARG_REDUCTIONS, Node
from flowc.codegen.render.base import SHORT
from flowc.codegen.render.row_kernel import RowKernel
from flowc.codegen.values import Value, real_dtype

WARP: Final = 32
BLOCK: Final = 256
SCOPE: Final = 1000  # of shared memory: beyond those of operands


class ThreadRowKernel(RowKernel):
    """A thread takes a row by itself."""


class TeamRowKernel(RowKernel):
    """A team of threads takes a row: `lane` is a thread's number in it, `width` how many they are."""

    width = WARP

    def loops(self) -> int:
        self._meet()
        # the dimension that is shared out: the longest, the innermost of equals since its elements lie side by side
        sizes = list(self.nest.reduced)
        if self.group.blocks:
            sizes[0] = -(-sizes[0] // self.group.blocks)
        longest = max(range(len(sizes)), key=lambda d: (min(sizes[d], self.width), d))
        self.shared_level = longest
        return super().loops()

    def _meet(self) -> None:
        """Lines that say who a thread is."""
        raise NotImplementedError

    def _wait(self) -> None:
        """Waits for the team."""
        raise NotImplementedError

    def _loop(self, level: int, lo: str, hi: str) -> str:
        if level != self.shared_level:
            return f"range({lo}, {hi})"
        return f"range({'lane' if lo == '0' else f'{lo} + lane'}, {hi}, {self.width})"

    def _reduced_loops(self, stage: int, bounds: tuple[str, str], sizes: list[str]) -> None:
        super()._reduced_loops(stage, bounds, sizes)
        for node in self.stages.reductions[stage]:
            self._combine(node)

    def _combine(self, node: Node) -> None:
        """Makes every thread's accumulator the team's total."""
        self._shuffles(node, WARP)

    def _shuffles(self, node: Node, width: int) -> None:
        step = width // 2
        while step:
            others = tuple(self.writer.assign(f"shuffle_xor({name}, {step})") for name in self.accumulators[node])
            self._join(node, others)
            step //= 2

    def _join(self, node: Node, others: Value) -> None:
        names, kind = self.accumulators[node], node.attr[0]
        if kind in ARG_REDUCTIONS:
            self._join_places(kind, names, others)
            return
        combined = self._combined(kind, node.args[0].dtype, names, others)
        held = [self.writer.assign(new) for new in combined]
        for name, new in zip(names, held, strict=True):
            self.writer.line(f"{name} = {new}")

    def _join_places(self, kind: str, names: Value, others: Value) -> None:
        """The better of two values, the first of equal ones; NaN is better than all numbers."""
        w, (best, place), (value, at) = self.writer, names, others
        sign = ">" if kind == "argmax" else "<"
        is_nan, was_nan = w.assign(f"{value} != {value}"), w.assign(f"{best} != {best}")
        better = w.assign(f"({value} {sign} {best}) | ({is_nan} & ({best} == {best}))")
        equal = w.assign(f"({value} == {best}) | ({is_nan} & {was_nan})")
        taken = w.assign(f"{better} | ({equal} & ({at} < {place}))")
        w.line(f"{best} = select({taken}, {value}, {best})")
        w.line(f"{place} = select({taken}, {at}, {place})")

    def _write(self, node: Node, innermost: dict[int, str] | None, variable: str, value: Value) -> None:
        if innermost is not None:
            super()._write(node, innermost, variable, value)
            return
        if self.aliases:  # others may still read what this overwrites
            self._wait()
        self.writer.line("if lane == 0:")
        self.writer.depth += 1
        super()._write(node, None, variable, value)
        self.writer.depth -= 1

    def _store_partials(self, stride: int) -> None:
        self.writer.line("if lane == 0:")
        self.writer.depth += 1
        super()._store_partials(stride)
        self.writer.depth -= 1


class WarpRowKernel(TeamRowKernel):
    """A warp takes a row: no memory is shared, nobody waits."""

    heading = heading(BLOCK, BLOCK // WARP)
    units = f"range(lo + block() * {BLOCK // WARP} + (thread() >> 5), hi, blocks() * {BLOCK // WARP})"

    def _meet(self) -> None:
        self.writer.line(f"lane = thread() & {WARP - 1}")

    def _wait(self) -> None:
        self.writer.line("warp_barrier()")


class BlockRowKernel(TeamRowKernel):
    """A block takes a row: warps combine by shuffles, then their totals through shared memory."""

    width = BLOCK
    heading = heading(BLOCK)
    units = "range(lo + block(), hi, blocks())"

    def _meet(self) -> None:
        self.writer.line("lane = thread()")
        self.boxes: dict[str, str] = {}
        for node in (node for stage in self.stages.reductions for node in stage):
            for dtype, part in zip(self._kinds(node), ("", "k"), strict=False):
                self._box(node, dtype, part)

    def _kinds(self, node: Node) -> list[str]:
        """The types of a reduction's accumulators."""
        kind = SHORT[real_dtype(node.args[0].dtype).name].replace("f16", "f32")
        if node.attr[0] in ARG_REDUCTIONS:
            return [kind, "i64"]
        return [kind, kind] if node.dtype.is_complex else [kind]

    def _box(self, node: Node, dtype: str, part: str) -> None:
        """Shared memory for one value a warp."""
        name = f"box{self.order[node]}{part}"
        self.writer.line(f"{name} = shared_{dtype}({BLOCK // WARP}, {SCOPE + len(self.boxes)})")
        self.boxes[name] = dtype

    def _wait(self) -> None:
        self.writer.line("barrier()")

    def _combine(self, node: Node) -> None:
        w = self.writer
        self._shuffles(node, WARP)
        names = self.accumulators[node]
        boxes = [f"box{self.order[node]}{part}" for part in ("", "k")[: len(names)]]
        w.line("barrier()")
        w.line(f"if (lane & {WARP - 1}) == 0:")
        w.depth += 1
        for box, name in zip(boxes, names, strict=True):
            w.line(f"{box}[lane >> 5] = {name}")
        w.depth -= 1
        w.line("barrier()")
        for box, name in zip(boxes, names, strict=True):
            w.line(f"{name} = {box}[lane & {BLOCK // WARP - 1}]")
        self._shuffles(node, BLOCK // WARP)
