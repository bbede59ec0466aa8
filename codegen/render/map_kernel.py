"""Elementwise kernels: one loop over all elements, or a vector loop inside outer ones."""

from __future__ import annotations

from math import prod
from typing import Final

from flowc.codegen.render.base import UNIT_COST, KernelWriter

BLOCK: Final = 4096  # elements of the vector loop that make one unit of work where there are outer loops


class MapKernel(KernelWriter):
    """The kernel of a map group."""

    def loops(self) -> int:
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
        self.cost_per_unit = self._take_cost() * block + UNIT_COST
        return prod(nest.outer) * blocks

    def _map_body(self, variable: str, strides: dict[int, str]) -> None:
        self.writer.depth += 1
        self.loaded.append({})
        for node in self.group.nodes:
            self._evaluate(node, strides, variable)
        for node in self.nest.outputs:  # at the end, since one may lie over what another is computed from
            self._write(node, strides, variable, self.env[node])
        self.loaded.pop()
        self.writer.depth -= 1
