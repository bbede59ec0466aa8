"""What one kernel computes: a group of nodes over one domain.

Members stand on two levels: `full`, one value for every index of the domain, and `kept`, one for every index of the
dimensions that are not reduced. Four forms:

    map   elementwise members only
    row   reductions over axes that include the last; full members may use their results (softmax, layer norm)
    col   reductions that keep the last axis (a bias gradient); only kept members may follow
    call  one call node by itself, or a region with its results
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Literal

from flowc.codegen.ir import Node, Shape, base_of, broadcast_access, is_dense

Level = Literal["full", "kept"]
Form = Literal["map", "row", "col", "call"]


@dataclass(eq=False)
class Group:
    """Nodes that one kernel computes. `shape` is the domain, `axes` those it reduces (empty for a map)."""

    id: int
    form: Form
    shape: Shape
    axes: tuple[int, ...] = ()
    blocks: int = 0  # > 0: a reduction in blocks, whose results are partial
    levels: dict[Node, Level] = field(default_factory=dict)  # members, in order
    flat: bool = True  # no member looks at single dimensions of the domain, so that any shape of its size will do
    external: set[int] = field(default_factory=set)  # ids of the nodes it reads from memory
    bits: int = 0  # itself and the groups merged into it, as a bit set
    ancestors: int = 0  # the groups it depends on, as a bit set of their ids
    dependents: set[int] = field(default_factory=set)  # ids of the groups that read its results

    @property
    def nodes(self) -> list[Node]:
        """The members, arguments first."""
        return sorted(self.levels, key=lambda node: node.id)

    @property
    def kept(self) -> Shape:
        """The domain without the reduced axes."""
        return tuple(n for a, n in enumerate(self.shape) if a not in self.axes)


def squeezed(shape: Iterable[int]) -> Shape:
    """The sizes other than 1."""
    return tuple(n for n in shape if n != 1)


def misaligned(node: Node, other: Group, home: Group) -> bool:
    """Whether `node`, or another member of `home`, reads members of `other` elsewhere than where they are computed."""
    for member, level in home.levels.items():
        for arg in member.args:
            base = base_of(arg)
            if base in other.levels:
                reader = arg if member.op == "reduce" else member
                at: Level = "full" if member.op == "reduce" else level
                if not reads_in_place(arg, reader, home, at, "full"):
                    return True
    return home.levels[node] != "full"


def reads_in_place(arg: Node, node: Node, group: Group, level: Level, produced: Level) -> bool:
    """Whether `node`, at `level` of `group`, reads `arg` (a member, or a view of one) where it was computed."""
    base, offset, strides = broadcast_access(arg, node.shape)
    if offset:
        return False
    if level == produced:
        return base.size == node.size and is_dense(node.shape, strides)
    if produced == "full":
        return False
    kept = tuple(n for a, n in enumerate(group.shape) if a not in group.axes)
    kept_strides = tuple(s for a, s in enumerate(strides) if a not in group.axes)
    along_axes = (s for a, s in enumerate(strides) if a in group.axes and group.shape[a] != 1)
    return base.size == prod(kept) and is_dense(kept, kept_strides) and not any(along_axes)


def same_domain(other: Group, home: Group) -> bool:
    if other.shape == home.shape:
        return True
    same_size = prod(other.shape) == prod(home.shape)
    return same_size and (other.flat or (home.form == "map" and home.flat))
