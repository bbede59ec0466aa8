"""Elementwise kernels: each thread takes a few elements that lie side by side, in accesses of 16 bytes where it can."""

from __future__ import annotations

from math import prod
from typing import Final

from flowc.codegen.render.base import KernelWriter

ACCESS: Final = 16  # bytes
MANY_NODES: Final = 60  # beyond which a thread's registers would not hold several elements at once


class CudaMapKernel(KernelWriter):
    """The kernel of a map group. A unit is some elements of the innermost loop."""

    def loops(self) -> int:
        nest, w = self.nest, self.writer
        each = self._elements()
        chunks = -(-nest.vector // each)
        size, count = self._word(nest.vector), self._word(chunks)
        self._open_units(count if nest.outer else None)
        w.line(f"start = {'b' if nest.outer else 'u'} * {each}")
        if each == 1:
            self._body("start", self.inner_strides)
        elif nest.iotas or not any(map(self._is_aligned, range(len(nest.operands)))):
            w.line(f"for i in range(start, imin(start + {each}, {size})):")
            self._inside("i", self.inner_strides)
        else:
            self._accesses(each, size)
        self.cost_per_unit = self._take_cost() * each
        return prod(nest.outer) * chunks

    def _elements(self) -> int:
        """How many elements a thread takes."""
        if len(self.group.nodes) > MANY_NODES or self.nest.vector == 1:
            return 1
        sizes = [o.dtype.size for o in self.nest.operands if any(o.strides)]
        return max(ACCESS // max(sizes, default=4), 4)

    def _accesses(self, each: int, size: str) -> None:
        """All of a thread's elements at once; the last thread's one by one."""
        w = self.writer
        plain = dict(self.bases[-1])
        self._enter("start", self.inner_strides)
        moved = dict(self.bases[-1])
        w.line(f"if start + {each} <= {size}:")
        w.depth += 1
        for operand in self.nest.operands:
            if self._is_aligned(operand.index):
                name = f"{moved[operand.index]}a"
                w.line(f"{name} = aligned({moved[operand.index]})")
                self.bases[-1][operand.index] = name
        w.line(f"for i in unrolled_range({each}):")
        self._inside("i", self.inner_strides)
        w.depth -= 1
        w.line("else:")
        w.depth += 1
        self.bases[-1] = moved
        w.line(f"for i in range({size} - start):")
        self._inside("i", self.inner_strides)
        w.depth -= 1
        self._leave()
        self.bases[-1] = plain

    def _is_aligned(self, index: int) -> bool:
        """Whether a thread's elements of an operand start at a multiple of 16 bytes. Feeds and fetches too have buffers
        of the plan's own on the device, and the plan takes no others than aligned ones in their place."""
        operand = self.nest.operands[index]
        places = (operand.offset, *operand.strides[:-1])
        return operand.strides[-1] == 1 and all(place * operand.dtype.size % ACCESS == 0 for place in places)

    def _inside(self, variable: str, strides: dict[int, str]) -> None:
        self.writer.depth += 1
        self._body(variable, strides)
        self.writer.depth -= 1

    def _body(self, variable: str, strides: dict[int, str]) -> None:
        saved = dict(self.env)
        self.loaded.append({})
        for node in self.group.nodes:
            self._evaluate(node, strides, variable)
        for node in self.nest.outputs:  # at the end, since one may lie over what another is computed from
            self._write(node, strides, variable, self.env[node])
        self.loaded.pop()
        self.env = saved
