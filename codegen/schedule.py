"""The order of kernels, and which of them write straight into variables.

A run's reads of a variable see its value from before the run, and what a failed run leaves must be what it found. So a
kernel may overwrite a variable in place only after every kernel that reads the old value, and every kernel that can
record an error. Where that cannot be, the new value goes to a temporary, and a copy at the end of the run commits it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from flowc.codegen.fuse import Fusion
from flowc.codegen.groups import Group
from flowc.codegen.ir import Node, base_of, broadcast_access, is_dense
from flowc.codegen.program import Program
from flowc.codegen.regions.region import arguments, may_fail, start_of


@dataclass
class Schedule:
    """Groups in the order they run, and where results go that do not go to the arena."""

    steps: list[Group]
    in_place: dict[Node, str]  # value → the variable it is written to
    guarded: set[int] = field(default_factory=set)  # ids of the groups that write a variable
    users: dict[Node, list[Group]] = field(default_factory=dict)  # stored value → the groups that read it


def prepare_outputs(program: Program) -> None:
    """Gives every fetch and every store a node of its own that some kernel computes."""
    taken: set[int] = set()

    def own(node: Node) -> Node:
        if node.op not in ("map", "reduce", "call", "result") or node.id in taken:
            node = program.fresh_copy(node)
        taken.add(node.id)
        return node

    program.stores = {name: own(node) for name, node in program.stores.items()}
    program.fetches = [node if is_host_value(node) else own(node) for node in program.fetches]


def is_host_value(node: Node) -> bool:
    """Whether a fetched node needs no kernel: strings, which pass from constants and feeds to the caller."""
    return node.dtype.name == "string"


def schedule(program: Program, fusion: Fusion) -> Schedule:
    """Orders the groups of a program."""
    return _Scheduler(program, fusion).run()


class _Scheduler:
    def __init__(self, program: Program, fusion: Fusion) -> None:
        self.program, self.fusion = program, fusion
        self.successors: dict[Group, set[Group]] = {g: set() for g in fusion.groups}
        self.users: dict[Node, list[Group]] = {}
        self.readers: dict[str, list[Group]] = {}
        self.commits: dict[Group, None] = {}  # copies at the end of the run, in order

    def run(self) -> Schedule:
        for group in self.fusion.groups:
            self._connect(group)
        in_place: dict[Node, str] = {}
        fallible = [] if self.program.is_part else [g for g in self.fusion.groups if may_fail(g)]
        for name, node in list(self.program.stores.items()):
            if self._overwrite(name, node, fallible):
                in_place[node] = name
            else:
                self._commit(name, node, in_place)
        steps = self._ordered() + list(self.commits)
        guarded = {self.fusion.group_of[node].id for node in in_place} if fallible else set()
        return Schedule(steps, in_place, guarded, self.users)

    def _connect(self, group: Group) -> None:
        nodes = self.program.nodes
        for index in group.external:
            base = nodes[index]
            if base.op == "input" and base.attr[0] == "variable":
                self.readers.setdefault(base.attr[1], []).append(group)
            producer = self.fusion.group_of.get(base)
            if producer is not None:
                self.successors[producer].add(group)
            self.users.setdefault(base, []).append(group)

    def _overwrite(self, name: str, node: Node, fallible: Iterable[Group]) -> bool:
        """Whether `node` can be written straight into the variable; if so, adds the orderings that this needs."""
        writer = self.fusion.group_of[node]
        before = [g for g in self.readers.get(name, ()) if g is not writer]
        before += [g for g in fallible if g is not writer]
        if not _reads_itself_in_place(name, node, writer) or (may_fail(writer) and not self.program.is_part):
            return False
        reached = self._reachable(writer)
        if any(g in reached for g in before):
            return False
        for group in before:
            self.successors[group].add(writer)
        return True

    def _reachable(self, start: Group) -> set[Group]:
        seen: set[Group] = set()
        pending = [start]
        while pending:
            for group in self.successors[pending.pop()]:
                if group not in seen:
                    seen.add(group)
                    pending.append(group)
        return seen

    def _commit(self, name: str, node: Node, in_place: dict[Node, str]) -> None:
        """Adds a copy of `node` into the variable, at the end of the run."""
        copy = self.program.fresh_copy(node)
        gid = max((g.id for g in self.fusion.group_of.values()), default=0) + 1
        group = Group(gid, "map", copy.shape, levels={copy: "full"}, external={node.id})
        self.fusion.group_of[copy] = group
        self.fusion.groups.append(group)
        self.successors[group] = set()
        self.users.setdefault(node, []).append(group)
        in_place[copy] = name
        self.program.stores[name] = copy
        self.commits[group] = None

    def _ordered(self) -> list[Group]:
        """Topological order; of the groups that are ready, the one whose nodes were built first."""
        groups = [g for g in self.fusion.groups if g not in self.commits]
        waiting = dict.fromkeys(groups, 0)
        for group in groups:
            for follower in self.successors[group]:
                if follower in waiting:
                    waiting[follower] += 1
        ready = [(min(n.id for n in g.levels), g.id, g) for g in groups if not waiting[g]]
        heapq.heapify(ready)
        order: list[Group] = []
        while ready:
            *_, group = heapq.heappop(ready)
            order.append(group)
            for follower in self.successors[group]:
                if follower in waiting:
                    waiting[follower] -= 1
                    if not waiting[follower]:
                        heapq.heappush(ready, (min(n.id for n in follower.levels), follower.id, follower))
        if len(order) != len(groups):
            raise AssertionError("fusion made a cycle of kernels")
        return order


def _reads_itself_in_place(name: str, node: Node, writer: Group) -> bool:
    """Whether the kernel's own reads of the variable are at the index it writes, so that none comes too late."""
    if writer.form == "call":
        return _call_overwrites(name, node)
    for member in writer.levels:
        for arg in member.args:
            base = base_of(arg)
            if not (base.op == "input" and base.attr == ("variable", name)):
                continue
            if writer.form != "map" and (writer.levels[member] == "full" or member.op == "reduce"):
                return False
            _, offset, strides = broadcast_access(arg, member.shape)
            if offset or arg.size != node.size or not is_dense(member.shape, strides):
                return False
    return True


def _call_overwrites(name: str, node: Node) -> bool:
    """A call in place of the variable itself may go ahead; one that reads it any other way may not."""
    start = start_of(node)
    for index, arg in enumerate(arguments(node)):
        base = base_of(arg)
        if base.op == "input" and base.attr == ("variable", name) and (index != start or arg is not base):
            return False
    return True
