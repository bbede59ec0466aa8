"""A part of a program that has programs of its own: a loop, or a conditional.

A region is a node whose results are memory that it works on in place. Result `k` starts as argument `starts[k]`, or as
nothing; the parts' programs see it as the variable `str(k)`, and argument `i` as feed `i`.

    loop          one part, run while result 0, a bool, is true
    conditional   two parts: the first runs if argument 0, a bool, is false, the second if it is true

Each part goes through the compiler's passes by itself (`Part.plan`), and is linked into the plan of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from flowc.codegen.groups import Group
from flowc.codegen.ir import Node, Shape
from flowc.codegen.plan import Kernel, Plan
from flowc.codegen.program import Program
from flowc.codegen.templates import template_of
from flowc.framework.dtypes import DType

Kind = Literal["loop", "conditional"]


@dataclass(eq=False)
class Part:
    """A program that a region runs; `plan` is what the compiler made of it."""

    program: Program
    plan: Plan | None = None

    @property
    def compiled(self) -> Plan:
        """The plan, once it is made."""
        assert self.plan is not None, "the region's parts have not been compiled"
        return self.plan


@dataclass(frozen=True)
class Register:
    """A word of a loop kernel that is an address: of argument or result `index`."""

    of: Literal["argument", "result"]
    index: int


@dataclass(frozen=True)
class LoopKernel:
    """A whole loop as one kernel, its loop variables in registers; `words` is its argument block."""

    kernel: Kernel
    words: tuple[Register | int, ...]


@dataclass(eq=False)
class Region:
    """See the module's docstring."""

    kind: Kind
    parts: tuple[Part, ...]
    starts: tuple[int | None, ...]  # one a result
    results: list[Node] = field(default_factory=list)
    kernel: LoopKernel | None = None  # of a loop that needs no plan

    @property
    def may_fail(self) -> bool:
        """Whether it can record an error."""
        return self.kernel is None and any(part.compiled.errors for part in self.parts)

    @property
    def scratch(self) -> int:
        """The bytes of arena that its parts need while it runs."""
        return 0 if self.kernel is not None else max(part.compiled.arena_size for part in self.parts)


@dataclass(frozen=True)
class Slot:
    """A result of a region that is being made: what it is called, and the argument that it starts as, if any."""

    name: str
    dtype: DType
    shape: Shape
    start: int | None


def make_region(
    program: Program,
    kind: Kind,
    args: Sequence[Node],
    parts: Sequence[Program],
    slots: Sequence[Slot],
) -> list[Node]:
    """Adds a region to `program`; the nodes of its results."""
    region = Region(kind, tuple(map(Part, parts)), tuple(slot.start for slot in slots))
    node = program.region(args, region)
    for number, slot in enumerate(slots):
        program.origin = slot.name
        region.results.append(program.result(node, number, slot.dtype, slot.shape))
    return region.results


# -- of calls and regions ----------------------------------------------------------------------------------------------


def region_of(node: Node) -> Region | None:
    """The region that a node is, or is a result of; None for any other node."""
    node = node.args[0] if node.op == "result" else node
    return node.attr if node.op == "region" else None


def arguments(node: Node) -> tuple[Node, ...]:
    """What a call, or the region that the node is a result of, is given."""
    return node.args[0].args if node.op == "result" else node.args


def start_of(node: Node) -> int | None:
    """Which argument's memory a call, or a region's result, works on in place; None if it needs memory of its own."""
    region = region_of(node)
    if region is None:
        return template_of(node).in_place
    return region.starts[node.attr] if node.op == "result" else None


def may_fail(group: Group) -> bool:
    """Whether the group's kernel can record an error."""
    if group.form != "call":
        return False
    first = next(iter(group.levels))
    region = region_of(first)
    return template_of(first).may_fail if region is None else region.may_fail
