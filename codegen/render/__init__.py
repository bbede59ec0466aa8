"""From a loop nest to kernel source, and to the argument words of a launch. One module a form of kernel."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flowc.codegen.ir import Node
from flowc.codegen.nest import LoopNest, Operand
from flowc.codegen.render.base import KernelWriter, Rendered
from flowc.codegen.render.column_kernel import ColumnKernel
from flowc.codegen.render.map_kernel import MapKernel
from flowc.codegen.render.row_kernel import RowKernel

__all__ = ["Rendered", "render"]

_FORMS: dict[str, type[KernelWriter]] = {"map": MapKernel, "row": RowKernel, "col": ColumnKernel}


def render(
    nest: LoopNest,
    constants: list[Any],
    aliases: dict[Node, Operand] | None = None,
    streamed: Collection[Node] = (),
) -> Rendered:
    """The kernel of a loop nest.

    aliases: outputs that are written over an operand, at the same indices.
    streamed: outputs that an elementwise kernel writes past the caches.
    """
    return _FORMS[nest.group.form](nest, constants, aliases or {}, streamed).render()
