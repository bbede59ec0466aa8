"""From a loop nest to a CUDA kernel: which form it takes here.

map      each thread 16 bytes of every operand, where these lie in order; else a few elements of the innermost loop
tile     maps that read an operand across its rows: squares of it are turned in shared memory
row      a block or a warp a row, or a thread for the shortest
column   blocks of 32 columns by 8 rows
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import Any, Final

from flowc.codegen.cuda.column_form import CudaColumnKernel
from flowc.codegen.cuda.map_form import CudaMapKernel
from flowc.codegen.cuda.row_form import BlockRowKernel, ThreadRowKernel, WarpRowKernel
from flowc.codegen.cuda.tile_form import TileKernel, turned_dimension
from flowc.codegen.ir import Node
from flowc.codegen.nest import LoopNest, Operand
from flowc.codegen.render.base import KernelWriter, Rendered

SHORT_ROW: Final = 8  # elements up to which a thread takes a row
WARP_ROW: Final = 512  # elements up to which a warp does, if there are many


def render_cuda(
    nest: LoopNest,
    constants: list[Any],
    aliases: dict[Node, Operand] | None = None,
    streamed: Collection[Node] = (),
) -> Rendered:
    """The kernel of a loop nest; arguments as those of `flowc.codegen.render.render`. Nothing is `streamed` here."""
    return _form_of(nest)(nest, constants, aliases or {}, ()).render()


def _form_of(nest: LoopNest) -> type[KernelWriter]:
    if nest.group.form == "map":
        return CudaMapKernel if turned_dimension(nest) is None else TileKernel
    if nest.group.form == "col":
        return CudaColumnKernel
    length = prod(nest.reduced) // max(nest.group.blocks, 1)
    if length <= SHORT_ROW:
        return ThreadRowKernel
    return WarpRowKernel if length <= WARP_ROW else BlockRowKernel
