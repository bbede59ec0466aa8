"""Elementwise kernels: one loop over all elements, or a vector loop inside outer ones."""

from __future__ import annotations

from math import prod
from typing import Final

from flowc.codegen.render.base import SHORT, UNIT_COST, KernelWriter

STREAM_BLOCK: Final = 2048  # elements that are computed before they are written past the caches
BLOCK: Final = 4096  # elements of the vector loop that make one unit of work where there are outer loops


class MapKernel(KernelWriter):
    """The kernel of a map group."""

    def loops(self) -> int:
        nest, w = self.nest, self.writer
        if self.streamed and not nest.outer:
            return self._streaming()
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
        self.cost_per_unit = self._take_cost() * block + UNIT_COST
        return prod(nest.outer) * blocks

    def _streaming(self) -> int:
        """Blocks of results are computed in a part of the stack and then written past the caches."""
        nest, w = self.nest, self.writer
        size = self._word(nest.vector)
        strides = self._stride_names(0)
        scratch = {}
        for node in self.streamed:
            operand = nest.outputs[node]
            name, number = f"t{operand.index}", len(nest.operands) + operand.index
            w.line(f"{name} = ptr_{SHORT[operand.dtype.name]}(scratch({STREAM_BLOCK * operand.dtype.size}), {number})")
            scratch[operand.index] = name
        w.line("for u in range(lo, hi):")
        w.depth += 1
        w.line(f"start = u * {STREAM_BLOCK}")
        w.line(f"count = imin({size} - start, {STREAM_BLOCK})")
        self._enter("start", strides)
        self.variables[-1:] = []  # the index is start + i
        self.origin = "start"
        targets = dict(self.bases[-1])
        self.bases[-1].update(scratch)
        w.line("for i in wide_range(0, count):")
        self._map_body("i", strides)
        for node in self.streamed:
            operand = nest.outputs[node]
            target, source = targets[operand.index], scratch[operand.index]
            w.line(f"stream_copy(address({target}), address({source}), count * {operand.dtype.size})")
        self.variables.append("start")
        self._leave()
        w.depth -= 1
        w.line("atomic_fence()")
        self.cost_per_unit = self._take_cost() * STREAM_BLOCK + UNIT_COST
        return -(-nest.vector // STREAM_BLOCK)

    def _map_body(self, variable: str, strides: dict[int, str]) -> None:
        self.writer.depth += 1
        self.loaded.append({})
        for node in self.group.nodes:
            self._evaluate(node, strides, variable)
        for node in self.nest.outputs:  # at the end, since one may lie over what another is computed from
            self._write(node, strides, variable, self.env[node])
        self.loaded.pop()
        self.writer.depth -= 1
