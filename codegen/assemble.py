"""From scheduled groups to a plan: renders kernels, gives each launch its argument words, and notes what they point to.

Groups of the same form — the same expressions over the same strides and sizes — are rendered once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flowc.codegen.backend import current
from flowc.codegen.explain import describe
from flowc.codegen.fuse import Fusion
from flowc.codegen.groups import Group
from flowc.codegen.ir import Node, base_of, broadcast_access
from flowc.codegen.kernels.control import CONTROL_KERNELS
from flowc.codegen.memory import Layout, Place
from flowc.codegen.nest import Operand, build_nest
from flowc.codegen.plan import ErrorSite, FetchSpec, Kernel, Plan, Runtime, Space, TensorSpec, VariableSpec
from flowc.codegen.program import Program
from flowc.codegen.regions.region import Region, arguments, region_of, start_of
from flowc.codegen.regions.tables import Rows, Tables
from flowc.codegen.render import Rendered
from flowc.codegen.schedule import Schedule
from flowc.codegen.templates import (
    Launch,
    Pointer,
    RuntimeWord,
    StackWord,
    StateWord,
    StatusWord,
    Symbol,
)
from flowc.framework.errors import UnimplementedError

STREAM_BYTES: Final = 1 << 27  # a kernel that touches so much writes past the caches, which could not hold it anyway


@dataclass(frozen=True)
class Interface:
    """What the plan takes and gives, in order."""

    feeds: tuple[TensorSpec, ...]
    fetches: tuple[FetchSpec, ...]
    variables: tuple[VariableSpec, ...]


def stored_members(group: Group, users: dict[Node, list[Group]], wanted: set[Node]) -> list[Node]:
    """The members of a group that must lie in memory: read by other groups, fetched, assigned, or summed into."""
    return [
        node
        for node in group.nodes
        if node.op != "region"
        and (node in wanted or users.get(node) or group.form == "call" or (group.form == "col" and node.op == "reduce"))
    ]


def assemble(
    program: Program,
    fusion: Fusion,
    schedule: Schedule,
    outputs: dict[Group, list[Node]],
    layout: Layout,
    interface: Interface,
) -> Plan:
    """The plan of a scheduled program."""
    return _Assembler(program, fusion, schedule, outputs, layout, interface).run()


class _Assembler:
    def __init__(
        self,
        program: Program,
        fusion: Fusion,
        schedule: Schedule,
        outputs: dict[Group, list[Node]],
        layout: Layout,
        interface: Interface,
    ) -> None:
        self.program, self.fusion, self.schedule = program, fusion, schedule
        self.outputs, self.layout, self.interface = outputs, layout, interface
        self.variable_index = {spec.name: i for i, spec in enumerate(interface.variables)}
        self.tables = Tables()
        self.owners: list[Group] = []  # one an entry: the group it belongs to
        self.owners_of_rows: list[Group] = []  # one an entry of a region
        self.forms: dict[Any, tuple[Rendered, list[Callable[[list[Node], list[Node]], Node]]]] = {}

    def run(self) -> Plan:
        for group in self.schedule.steps:
            if group.form == "call":
                self._call(group)
            elif any(node.size for node in group.levels):
                self._loops(group)
        return Plan(
            feeds=self.interface.feeds,
            fetches=tuple(self._fetch(i, spec) for i, spec in enumerate(self.interface.fetches)),
            variables=self.interface.variables,
            arena_size=self.layout.arena_size,
            explanation=self._explanation(),
            **self.tables.finished(),
        )

    def _explanation(self) -> dict[str, object]:
        owners = self.owners + self.owners_of_rows
        return describe(self.program, self.fusion, self.schedule, self.outputs, self.layout, owners)

    def _fetch(self, number: int, spec: FetchSpec) -> FetchSpec:
        node = self.program.fetches[number]
        if node.op == "const" and spec.source == "constant":
            return FetchSpec(spec.name, spec.dtype, spec.shape, "constant", self._constant(node.attr))
        return spec

    # -- words ---------------------------------------------------------------------------------------------------------

    def _constant(self, index: int) -> int:
        return self.tables.constant(index, self.program.constants[index])

    def _place(self, base: Node) -> Place:
        if base.op == "input":
            kind, which = base.attr
            if kind == "feed":
                return Place(Space.FEED, which)
            return Place(Space.VARIABLE, self.variable_index[which])
        if base.op == "const":
            return Place(Space.CONSTANT, self._constant(base.attr))
        return self.layout.places[base]

    def _pointer(self, base: Node, elements: int = 0, extra: int = 0) -> None:
        place = self._place(base)
        self.tables.relocated(place.space, place.index, place.offset + elements * base.dtype.size + extra)

    def _entry(self, kernel: Kernel, args: int, units: int, grain: int, group: Group, moved: int, label: str) -> None:
        guard = int(group.id in self.schedule.guarded)
        self.tables.entry(kernel, args, units, grain, guard, moved, label)
        self.owners.append(group)

    # -- loops ---------------------------------------------------------------------------------------------------------

    def _loops(self, group: Group) -> None:
        nodes, stored = group.nodes, self.outputs[group]
        key = self._form(group, nodes, stored)
        known = self.forms.get(key)
        if known is None:
            known = self.forms[key] = self._render(group, nodes, stored)
        rendered, finders = known
        externals = _externals(nodes, group)
        start = len(self.tables.words)
        for operand, find in zip(rendered.pointers, finders, strict=True):
            self._pointer(find(externals, nodes), operand.offset)
        self.tables.words.extend(rendered.words)
        moved = sum(_touched(o) for o in rendered.pointers)
        self._entry(rendered.kernel, start, rendered.units, rendered.grain, group, moved, _label(nodes))

    def _render(
        self, group: Group, nodes: list[Node], stored: list[Node]
    ) -> tuple[Rendered, list[Callable[[list[Node], list[Node]], Node]]]:
        constants = {n for n in _externals(nodes, group) if n.op == "const" and n.size == 1}
        nest = build_nest(group, stored, constants)
        aliases = {node: o for node in stored if (o := self._alias(node, nest.operands)) is not None}
        streamed = [node for node in stored if node not in aliases and self._is_streamed(node, nest.operands)]
        rendered = current().render(nest, self.program.constants, aliases, streamed)
        externals = _externals(nodes, group)
        return rendered, [_finder(o, externals, nodes) for o in rendered.pointers]

    def _alias(self, node: Node, operands: Sequence[Operand]) -> Operand | None:
        """The operand that shares the memory `node` is written to."""
        mine = self._place(node)
        return next((o for o in operands if not o.written and self._place(o.node) == mine), None)

    def _is_streamed(self, node: Node, operands: Sequence[Operand]) -> bool:
        """Whether a kernel touches so much memory that its result would be out of the caches before anybody reads it.

        Only where memory is aligned as flowc aligns it: arrays that a user gets are NumPy's.
        """
        if self._place(node).space is Space.FETCH or node.dtype.is_complex or node.dtype.size not in (4, 8):
            return False
        return sum(_touched(o) for o in operands) >= STREAM_BYTES

    def _form(self, group: Group, nodes: list[Node], stored: list[Node]) -> Any:
        """What decides a group's kernel and words, but for where its memory lies."""
        local = {node: i for i, node in enumerate(nodes)}
        slots: dict[Node, int] = {}
        parts: list[Any] = [group.form, group.shape, group.axes, group.blocks]
        for node in nodes:
            parts.append((node.op, node.attr, node.dtype, node.shape, group.levels[node]))
            for arg in node.args:
                base = base_of(arg)
                if base in local:
                    parts.append((local[base], arg.shape, arg.attr if arg.op == "view" else None))
                elif base.op == "const" and base.size == 1:
                    parts.append(("c", base.attr, base.dtype))
                else:
                    slot = slots.setdefault(base, len(slots))
                    shape = arg.shape if node.op == "reduce" else node.shape
                    iota = base.attr if base.op == "iota" else None
                    parts.append((slot, base.dtype, iota, broadcast_access(arg, shape)[1:]))
        places = [self._place(b) if b.op != "iota" else None for b in slots]
        for node in stored:
            place = self._place(node)
            parts.append((local[node], places.index(place) if place in places else -1, place.space is Space.FETCH))
        return tuple(parts)

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _call(self, group: Group) -> None:
        node = next(iter(group.levels))
        for result in self.outputs[group]:
            self._start(result, group)
        region = region_of(node)
        if region is not None:
            self._region(node, region, group)
            return
        for launch in current().launches(node):
            if launch.units > 0:
                self._launch(node, launch, group)

    def _start(self, node: Node, group: Group) -> None:
        """Fills the memory that `node` is computed in place of, if it is not there already."""
        start = start_of(node)
        if start is not None:
            source = arguments(node)[start]
            if source.op == "view" or source.op == "iota" or self._place(source) != self._place(node):
                self._copy(source, node, group)

    def _launch(self, node: Node, launch: Launch, group: Group) -> None:
        tables = self.tables
        start = len(tables.words)
        for word in launch.words:
            if isinstance(word, Pointer):
                self._argument_pointer(node, word)
            elif isinstance(word, StatusWord):
                tables.errors.append(ErrorSite(node.origin, word.error, word.message))
                tables.relocated(Space.STATUS, 0, 0)
                tables.words.append(len(tables.errors))
            elif isinstance(word, StateWord):
                tables.relocated(Space.STATE, tables.state_word(word.key), 0)
            elif isinstance(word, Symbol):
                tables.relocated(Space.SYMBOL, tables.symbol(word.name), 0)
            elif isinstance(word, StackWord):
                tables.relocated(Space.STACK, tables.stacks, 0)
                tables.stacks += 1
            elif isinstance(word, RuntimeWord):
                tables.relocated(Space.RUNTIME, word.which, 0)
            else:
                tables.words.append(int(word))
        self._entry(launch.kernel, start, launch.units, launch.grain, group, launch.bytes, node.origin)

    def _argument_pointer(self, node: Node, word: Pointer) -> None:
        arg = node if word.arg < 0 else node.args[word.arg]
        offset = arg.attr[0] if arg.op == "view" else 0
        self._pointer(base_of(arg), offset, word.offset)

    def _region(self, node: Node, region: Region, group: Group) -> None:
        """Links the parts' plans, and launches the kernel that runs them."""
        tables = self.tables
        if region.kernel is not None:
            start = len(tables.words)
            for word in region.kernel.words:
                if isinstance(word, int):
                    tables.words.append(word)
                else:
                    self._pointer((node.args if word.of == "argument" else region.results)[word.index])
            self._entry(region.kernel.kernel, start, 1, 1, group, 0, node.origin)
            return
        if not current().runs_regions:
            raise UnimplementedError(
                None, None, f"Operation {node.origin!r} has no GPU kernel: it runs others in turn."
            )
        parts = [self._linked(part.compiled, node, region, group) for part in region.parts]
        self.owners_of_rows.extend([group] * (len(tables.rows) - len(self.owners_of_rows)))
        start = len(tables.words)
        self._pointer(region.results[0] if region.kind == "loop" else node.args[0])
        tables.relocated(Space.RUNTIME, Runtime.BLOCK, 0)
        tables.relocated(Space.RUNTIME, Runtime.RUN_ROWS, 0)
        for rows in parts:
            tables.relocated(Space.TAPE, 0, rows.start)
            tables.words.append(rows.count)
        tables.relocated(Space.STATUS, 0, 0)
        tables.words.append(0)
        self._entry(CONTROL_KERNELS[region.kind], start, 1, 1, group, 0, node.origin)

    def _linked(self, plan: Plan, node: Node, region: Region, group: Group) -> Rows:
        def place(space: Space, index: int) -> Place:
            if space is Space.ARENA:
                return Place(space, 0, self.layout.scratch[group])
            if space is Space.FEED:
                return self._place(node.args[index])
            return self._place(region.results[int(plan.variables[index].name)])

        return self.tables.link(plan, place)

    def _copy(self, source: Node, target: Node, group: Group) -> None:
        """Fills the memory that a call works on in place."""
        copy = Node("map", source.dtype, source.shape, (source,), "copy", -1)
        one = Group(-1, "map", source.shape, levels={copy: "full"})
        rendered = current().render(build_nest(one, [copy], set()), self.program.constants)
        start = len(self.tables.words)
        for operand in rendered.pointers:
            self._pointer(target if operand.written else operand.node, operand.offset)
        self.tables.words.extend(rendered.words)
        moved = 2 * source.size * source.dtype.size
        self._entry(rendered.kernel, start, rendered.units, rendered.grain, group, moved, target.origin)


def _externals(nodes: list[Node], group: Group) -> list[Node]:
    """The nodes that a group reads from elsewhere, in order of first use."""
    found: dict[Node, None] = {}
    for node in nodes:
        for arg in node.args:
            base = base_of(arg)
            if base not in group.levels:
                found[base] = None
    return list(found)


def _finder(operand: Operand, externals: list[Node], nodes: list[Node]) -> Callable[[list[Node], list[Node]], Node]:
    """How to find, in another group of the same form, the node that an operand stands for."""
    if operand.written:
        at = nodes.index(operand.node)
        return lambda externals, nodes: nodes[at]
    slot = externals.index(operand.node)
    return lambda externals, nodes: externals[slot]


def _touched(operand: Operand) -> int:
    return operand.node.size * operand.dtype.size


def _label(nodes: list[Node]) -> str:
    """The user's operations that a kernel computes."""
    return " + ".join(dict.fromkeys(n.origin for n in nodes if n.origin)) or nodes[0].op
