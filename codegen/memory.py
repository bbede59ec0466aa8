"""Memory for temporaries: every stored value gets a place in one arena, which others reuse once nobody reads it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from flowc.codegen.groups import Group
from flowc.codegen.ir import Node, base_of, broadcast_access, is_dense
from flowc.codegen.plan import Space
from flowc.codegen.regions.region import arguments, region_of, start_of
from flowc.codegen.schedule import Schedule

ALIGNMENT: Final = 64
REUSE_BYTES: Final = 1 << 15  # from here, an elementwise kernel writes over an input that it is the last to read


@dataclass(frozen=True)
class Place:
    """Where a stored value lies: byte `offset` of the `index`-th memory of a space."""

    space: Space
    index: int
    offset: int = 0


@dataclass
class Layout:
    """The places of all stored values."""

    places: dict[Node, Place]
    arena_size: int
    overwritten: dict[Node, Node]  # result → the argument whose memory it took over
    scratch: dict[Group, int] = field(default_factory=dict)  # region → where its parts have their arena


def plan_memory(
    schedule: Schedule, outputs: dict[Group, list[Node]], fetches: dict[Node, int], variables: dict[str, int]
) -> Layout:
    """Places for what the scheduled groups store. `fetches`, `variables`: the plan's numbers of those."""
    return _Planner(schedule, outputs, fetches, variables).run()


class _Planner:
    def __init__(
        self, schedule: Schedule, outputs: dict[Group, list[Node]], fetches: dict[Node, int], variables: dict[str, int]
    ) -> None:
        self.schedule, self.outputs, self.fetches, self.variables = schedule, outputs, fetches, variables
        self.step_of = {group: i for i, group in enumerate(schedule.steps)}
        self.arena = Arena()
        self.places: dict[Node, Place] = {}
        self.overwritten: dict[Node, Node] = {}
        self.taken: set[Node] = set()  # whose memory another took over
        self.last_use: dict[Node, int] = {}
        self.scratch: dict[Group, int] = {}

    def run(self) -> Layout:
        for group in self.schedule.steps:
            for node in self.outputs[group]:
                users = self.schedule.users.get(node, ())
                self.last_use[node] = max([self.step_of[g] for g in users] + [self.step_of[group]])
        dying: dict[int, list[Node]] = {}
        for node, step in self.last_use.items():
            dying.setdefault(step, []).append(node)
        for step, group in enumerate(self.schedule.steps):
            for node in self.outputs[group]:
                self.places[node] = self._place(node, group, step)
            self._lend(group)
            for node in dying.get(step, ()):
                self._free(node)
        return Layout(self.places, self.arena.size, self.overwritten, self.scratch)

    def _lend(self, group: Group) -> None:
        """Finds the bytes that a region needs only while it runs."""
        region = region_of(next(iter(group.levels)))
        if region is not None and region.scratch:
            self.scratch[group] = self.arena.allocate(region.scratch)
            self.arena.free(self.scratch[group], region.scratch)

    def _place(self, node: Node, group: Group, step: int) -> Place:
        if node in self.schedule.in_place:
            return Place(Space.VARIABLE, self.variables[self.schedule.in_place[node]])
        if node in self.fetches:
            return Place(Space.FETCH, self.fetches[node])
        victim = self._reusable(node, group, step)
        if victim is not None:
            self.overwritten[node] = victim
            self.taken.add(victim)
            return self.places[victim]
        return Place(Space.ARENA, 0, self.arena.allocate(_bytes(node)))

    def _free(self, node: Node) -> None:
        place = self.places[node]
        if place.space is Space.ARENA and node not in self.taken:
            self.arena.free(place.offset, _bytes(node))

    def _reusable(self, node: Node, group: Group, step: int) -> Node | None:
        """An argument that dies here and that the group reads only at the index at which it writes `node`."""
        if group.form == "call":
            return self._call_reusable(node, step)
        if group.form != "map" or _bytes(node) < REUSE_BYTES:
            return None
        for candidate in self._dying_arguments(group, step):
            if candidate not in self.taken and _same_layout(candidate, node) and _only_in_order(candidate, group):
                return candidate
        return None

    def _dying_arguments(self, group: Group, step: int) -> Iterable[Node]:
        for member in group.levels:
            for arg in member.args:
                base = base_of(arg)
                place = self.places.get(base)
                in_arena = place is not None and place.space is Space.ARENA
                if in_arena and self.last_use[base] == step and base not in group.levels:
                    yield base

    def _call_reusable(self, node: Node, step: int) -> Node | None:
        start = start_of(node)
        if start is None:
            return None
        base = arguments(node)[start]
        place = self.places.get(base)
        alone = sum(base_of(arg) is base for arg in arguments(node)) == 1
        dies = place is not None and place.space is Space.ARENA and self.last_use[base] == step
        if dies and alone and base not in self.taken:
            return base
        return None


def _same_layout(a: Node, b: Node) -> bool:
    return a.size == b.size and a.dtype.size == b.dtype.size and a.dtype.is_complex == b.dtype.is_complex


def _only_in_order(candidate: Node, group: Group) -> bool:
    for member in group.levels:
        for arg in member.args:
            base = base_of(arg)
            if base is candidate:
                _, offset, strides = broadcast_access(arg, member.shape)
                if offset or arg.size != member.size or not is_dense(member.shape, strides):
                    return False
    return True


def _bytes(node: Node) -> int:
    return max(node.size, 1) * node.dtype.size


class Arena:
    """Best-fit allocation of offsets; freed neighbours are joined."""

    def __init__(self) -> None:
        self.size = 0
        self._free: list[tuple[int, int]] = []  # (offset, size), by offset

    def allocate(self, size: int) -> int:
        """The offset of `size` free bytes."""
        size = _aligned(size)
        best = min(
            (i for i, (_, s) in enumerate(self._free) if s >= size), key=lambda i: self._free[i][1], default=None
        )
        if best is None:
            return self._grow(size)
        offset, available = self._free.pop(best)
        if available > size:
            insort(self._free, (offset + size, available - size))
        return offset

    def _grow(self, size: int) -> int:
        offset = self.size
        if self._free and sum(self._free[-1]) == self.size:  # the end is free, but too small: grow it
            offset, _ = self._free.pop()
        self.size = offset + size
        return offset

    def free(self, offset: int, size: int) -> None:
        """Gives bytes back."""
        size = _aligned(size)
        insort(self._free, (offset, size))
        at = self._free.index((offset, size))
        if at + 1 < len(self._free) and offset + size == self._free[at + 1][0]:
            self._free[at] = (offset, size + self._free.pop(at + 1)[1])
        if at and sum(self._free[at - 1]) == offset:
            before, length = self._free[at - 1]
            self._free[at - 1] = (before, length + self._free.pop(at)[1])


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
