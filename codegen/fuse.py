"""Fusion: which nodes share a kernel.

Nodes are taken in order, and each joins the group that computes one of its arguments, if that leaves no cycle between
groups; where its arguments are computed by several groups, these merge. A node that reads a large array which
another group reads anyway joins that one. An edge that did not fuse says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Final

from flowc.codegen.groups import Form, Group, Level, misaligned, reads_in_place, same_domain, squeezed
from flowc.codegen.ir import ARG_REDUCTIONS, Node, base_of, broadcast_access, is_dense
from flowc.codegen.program import Program

LIMITS: Final = (40, 12, 4, 2)  # members of a group: LLVM's time grows faster than a kernel's size
AFFORDABLE: Final = 1500  # nodes to compile, all kernels together
KERNEL_COST: Final = 10  # what a kernel costs to compile by itself, in nodes
LARGE_PROGRAM: Final = 3000
SIBLING_SIZE: Final = 1 << 12  # elements from which reading an array once instead of twice is worth a larger kernel
MAX_OPERANDS: Final = 24


@dataclass
class Fusion:
    """The groups of a program, and for every edge between two of them the reason that they are two."""

    groups: list[Group]
    group_of: dict[Node, Group]
    refusals: dict[tuple[int, int], str]  # (producer node id, consumer node id) → why they did not fuse


def fuse(program: Program) -> Fusion:
    """Groups the program's live nodes, into groups that grow no larger than their compilation pays.

    A large graph whose groups all differ would take long to compile: it gets smaller groups, which repeat.
    """
    nodes = live_nodes(program)
    limits = LIMITS if len(nodes) <= LARGE_PROGRAM else LIMITS[-2:]
    for limit in limits:
        fusion = _Fuser(program, nodes, limit).run()
        if _distinct_size(fusion) <= AFFORDABLE:
            break
    return fusion


def _distinct_size(fusion: Fusion) -> int:
    """The nodes of all groups that differ, plus what every kernel costs by itself."""
    forms = {tuple([(n.op, n.attr, n.dtype) for n in g.nodes]) for g in fusion.groups if g.form != "call"}
    return sum(len(form) + KERNEL_COST for form in forms)


def live_nodes(program: Program) -> list[Node]:
    """The nodes that the fetches, stores and effects need, in order."""
    seen: set[int] = set()
    pending = [*program.fetches, *program.stores.values(), *program.effects]
    while pending:
        node = pending.pop()
        if node.id not in seen:
            seen.add(node.id)
            pending.extend(node.args)
            if node.op == "region":
                pending.extend(node.attr.results)  # it works on the memory of all of them
    return [node for node in program.nodes if node.id in seen]


class _Fuser:
    def __init__(self, program: Program, nodes: list[Node], limit: int) -> None:
        self.program, self.nodes, self.limit = program, nodes, limit
        self.all: list[Group] = []
        self.readers: dict[int, list[int]] = {}  # large node's id → ids of the groups that read it
        self.parent: list[int] = []  # union-find over group ids
        self.group_id: dict[Node, int] = {}
        self.refusals: dict[tuple[int, int], str] = {}

    def run(self) -> Fusion:
        for node in self.nodes:
            if node.op == "map":
                self._place_map(node)
            elif node.op == "reduce":
                self._place_reduce(node)
            elif node.op in ("call", "region"):
                self._start(node, Group(len(self.all), "call", node.shape), "full")
            elif node.op == "result":
                self._add(node, self._find(self.group_id[node.args[0]]), "full")
        groups = [g for g in self.all if self.parent[g.id] == g.id]
        return Fusion(groups, {node: self._find(gid) for node, gid in self.group_id.items()}, self.refusals)

    # -- the graph of groups -------------------------------------------------------------------------------------------

    def _find(self, gid: int) -> Group:
        parent = self.parent
        while parent[gid] != gid:
            parent[gid] = parent[parent[gid]]
            gid = parent[gid]
        return self.all[gid]

    def _group(self, node: Node) -> Group | None:
        gid = self.group_id.get(node)
        return None if gid is None else self._find(gid)

    def _start(self, node: Node, group: Group, level: Level) -> None:
        group.bits = 1 << group.id
        self.all.append(group)
        self.parent.append(group.id)
        self._add(node, group, level)

    def _add(self, node: Node, group: Group, level: Level) -> None:
        group.levels[node] = level
        self.group_id[node] = group.id
        before = group.ancestors
        for arg in node.args:
            base = base_of(arg)
            owner = self._group(base)
            if owner is not None and owner is not group:
                owner.dependents.add(group.id)
                group.ancestors |= owner.ancestors | owner.bits
            if owner is not group and not (base.op == "const" and base.size == 1):
                group.external.add(base.id)
                if base.size >= SIBLING_SIZE:
                    self.readers.setdefault(base.id, []).append(group.id)
        if group.dependents and group.ancestors != before:
            self._tell_dependents(group)

    def _tell_dependents(self, group: Group) -> None:
        """What depends on a group depends on what it has come to depend on."""
        for other in self.all:
            if other.ancestors & group.bits:
                other.ancestors |= group.ancestors

    def _new_ancestors(self, node: Node, group: Group) -> int:
        """The groups that `group` would newly depend on, had it `node`."""
        mask = 0
        for arg in node.args:
            owner = self._group(base_of(arg))
            if owner is not None and owner is not group:
                mask |= owner.ancestors | owner.bits
        return mask

    def _refuse(self, node: Node, group: Group, why: str) -> None:
        for arg in node.args:
            base = base_of(arg)
            if self._group(base) is group:
                self.refusals.setdefault((base.id, node.id), why)

    # -- placing a node ------------------------------------------------------------------------------------------------

    def _candidates(self, node: Node) -> list[Group]:
        """The groups that compute the node's arguments, nearest first."""
        found: dict[int, Group] = {}
        for arg in reversed(node.args):
            group = self._group(base_of(arg))
            if group is not None:
                found.setdefault(group.id, group)
        return list(found.values())

    def _place_map(self, node: Node) -> None:
        home: Group | None = None
        for group in self._candidates(node):
            if home is None:
                level, why = self._joinable(node, group)
                if level is not None:
                    self._join(node, group, level)
                    home = group
                    continue
            else:
                why = self._merge(group, home, node)
            if why:
                self._refuse(node, group, why)
        if home is None and not self._join_sibling(node):
            group = Group(len(self.all), "map", node.shape)
            self._start(node, group, "full")
            group.flat = self._uses_flat(node)

    def _join_sibling(self, node: Node) -> bool:
        """Joins a group that reads one of the node's large arguments anyway, so that it is read once."""
        for group in self._siblings(node.args, node.size):
            level, _ = self._joinable(node, group)
            if level == "full":
                self._join(node, group, level)
                return True
        return False

    def _siblings(self, args: Iterable[Node], size: int) -> list[Group]:
        if size < SIBLING_SIZE:
            return []
        found: dict[int, Group] = {}
        for arg in args:
            base = base_of(arg)
            if base.size == size:
                for gid in self.readers.get(base.id, ()):
                    group = self._find(gid)
                    if group.form != "call":
                        found[group.id] = group
        return list(found.values())

    def _join(self, node: Node, group: Group, level: Level) -> None:
        self._add(node, group, level)
        if group.form == "map" and not self._uses_flat(node):
            group.shape, group.flat = node.shape, False

    @staticmethod
    def _uses_flat(node: Node) -> bool:
        """Whether every argument is read in order or is a single value, so that the dimensions do not matter."""
        for arg in node.args:
            if arg.size == 1 and node.size != 1:
                continue
            base, offset, strides = broadcast_access(arg, node.shape)
            if offset or base.op == "iota" or not is_dense(node.shape, strides):
                return False
        return True

    def _joinable(self, node: Node, group: Group) -> tuple[Level | None, str]:
        """The level at which a map node can join a group, or None and the reason that it cannot."""
        if group.form == "call":
            return None, "the producer is a library call or a hand-written kernel"
        if len(group.levels) >= self.limit or len(group.external) >= MAX_OPERANDS:
            return None, "the group is at its greatest size"
        level = self._level_in(node, group)
        if level is None:
            return None, f"shapes differ: {list(node.shape)} against the group's {list(group.shape)}"
        why = self._aligned(node, group, level) or self._order_allows(node, group, level)
        return (None, why) if why else (level, "")

    def _level_in(self, node: Node, group: Group) -> Level | None:
        if node.size == prod(group.shape) and (
            node.shape == group.shape or (group.form == "map" and (group.flat or self._uses_flat(node)))
        ):
            return "full"
        if group.form != "map" and not group.blocks and squeezed(node.shape) == squeezed(group.kept):
            return "kept"
        return None

    def _order_allows(self, node: Node, group: Group, level: Level) -> str:
        if level == "full" and group.form == "col":
            return "a column reduction's results are complete only after its last row"
        if group.blocks and any(self._group(a) is group for a in node.args if a.op == "reduce"):
            return "the reduction runs in blocks, to use all threads"
        new = self._new_ancestors(node, group)
        if new & group.bits:
            return "another path between the two would make a cycle"
        if group.dependents and new & ~group.ancestors and node.size < SIBLING_SIZE:
            return "the group is already used by another, which would have to wait"
        return ""

    def _aligned(self, node: Node, group: Group, level: Level) -> str:
        """Whether all of the node's arguments that are members are needed just where they are computed."""
        for arg in node.args:
            base = base_of(arg)
            if self._group(base) is not group:
                continue
            if not reads_in_place(arg, node, group, level, group.levels[base]):
                return "it reads the producer at other indices (a transpose, slice or broadcast)"
        return ""

    def _merge(self, other: Group, home: Group, node: Node) -> str:
        """Merges `other`, which computes another argument of `node`, into `home`; says why not."""
        if "call" in (other.form, home.form):
            return "the producer is a library call or a hand-written kernel"
        if other.form != "map" or home.form == "col" or home.blocks:
            return "the two producers are of different forms"
        if len(home.levels) + len(other.levels) > self.limit or len(home.external | other.external) > MAX_OPERANDS:
            return "the group is at its greatest size"
        if not same_domain(other, home):
            return f"shapes differ: {list(other.shape)} against {list(home.shape)}"
        if not self._merge_is_acyclic(other, home):
            return "another path between the two would make a cycle"
        why = "" if not misaligned(node, other, home) else "it reads the producer at other indices"
        if why:
            return why
        self._absorb(other, home)
        return ""

    def _merge_is_acyclic(self, other: Group, home: Group) -> bool:
        """Conservatively: neither depends on the other but directly, and no third group would have to be told."""
        depends = home.ancestors & other.bits
        if other.ancestors & home.bits:
            return False
        if depends and self._reaches_indirectly(home, other):
            return False
        ancestors = (home.ancestors | other.ancestors) & ~(home.bits | other.bits)
        if self._used_elsewhere(home, other) and ancestors & ~home.ancestors:
            return False
        return not (self._used_elsewhere(other, home) and ancestors & ~other.ancestors)

    def _reaches_indirectly(self, home: Group, other: Group) -> bool:
        nodes = self.program.nodes
        owners = (self._group(nodes[i]) for i in home.external)
        return any(o is not None and o is not other and o is not home and o.ancestors & other.bits for o in owners)

    def _used_elsewhere(self, group: Group, partner: Group) -> bool:
        """Whether a third group reads what `group` computes."""
        return any(self._find(d) not in (group, partner) for d in group.dependents)

    def _absorb(self, other: Group, home: Group) -> None:
        self.parent[other.id] = home.id
        if home.form == "map" and home.flat and not other.flat:
            home.shape, home.flat = other.shape, False
        home.levels.update(other.levels)
        home.bits |= other.bits
        home.ancestors = (home.ancestors | other.ancestors) & ~home.bits
        members = {n.id for n in home.levels}
        home.external = (home.external | other.external) - members
        home.dependents = {d for d in home.dependents | other.dependents if self._find(d) is not home}

    def _place_reduce(self, node: Node) -> None:
        _, axes, blocks = node.attr
        arg = node.args[0]
        form: Form = "row" if len(arg.shape) - 1 in axes or node.attr[0] in ARG_REDUCTIONS else "col"
        producer = self._group(arg)
        if producer is not None:
            why = self._reduce_refused(node, producer, form)
            if not why:
                producer.form, producer.axes, producer.blocks = form, axes, blocks
                producer.shape, producer.flat = arg.shape, False
                self._add(node, producer, "kept")
                return
            self._refuse(node, producer, why)
        elif self._reduce_with_sibling(node, form):
            return
        self._start(node, Group(len(self.all), form, arg.shape, axes, blocks, flat=False), "kept")

    def _reduce_with_sibling(self, node: Node, form: Form) -> bool:
        """Joins a group that reduces the same array over the same axes."""
        _, axes, blocks = node.attr
        for group in self._siblings(node.args, node.args[0].size):
            alike = (group.form, group.axes, group.blocks, group.shape) == (form, axes, blocks, node.args[0].shape)
            if alike and len(group.levels) < self.limit and not self._order_allows(node, group, "kept"):
                self._add(node, group, "kept")
                return True
        return False

    def _reduce_refused(self, node: Node, group: Group, form: Form) -> str:
        _, axes, blocks = node.attr
        arg = node.args[0]
        if group.form == "call":
            return "the producer is a library call or a hand-written kernel"
        if group.form != "map" and (group.form, group.axes, group.blocks, group.shape) != (
            form,
            axes,
            blocks,
            arg.shape,
        ):
            return "the group reduces other axes"
        if arg not in group.levels or group.levels[arg] != "full":
            return "the group computes one value a row"
        if group.form == "map" and group.shape != arg.shape and not group.flat:
            return f"shapes differ: {list(arg.shape)} against {list(group.shape)}"
        if len(group.levels) >= self.limit:
            return "the group is at its greatest size"
        if form == "col" and group.dependents:
            return "the producer's values are needed in memory anyway"
        if (form == "col" or blocks) and any(n.op == "reduce" for n in group.levels) and self._after_reduce(arg, group):
            return "it needs the result of a reduction over all rows"
        return ""

    @staticmethod
    def _after_reduce(node: Node, group: Group) -> bool:
        pending, seen = [node], set()
        while pending:
            current = pending.pop()
            if current.op == "reduce":
                return True
            for arg in current.args:
                base = base_of(arg)
                if base in group.levels and base.id not in seen:
                    seen.add(base.id)
                    pending.append(base)
        return False
