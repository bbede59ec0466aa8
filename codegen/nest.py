"""From a fused group to a loop nest: which memory it reads and writes, by which strides, and what it computes where.

The dimensions of the group's domain are ordered (kept before reduced for a row form; the last kept one innermost for a
column form), those of size 1 dropped, and neighbours merged wherever every access allows it: most elementwise groups
end as one loop over all elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod

from flowc.codegen.groups import Group
from flowc.codegen.ir import ARG_REDUCTIONS, Node, base_of, broadcast_access, row_major
from flowc.framework.dtypes import DType


@dataclass(eq=False)
class Operand:
    """Memory that the nest reads or writes: element Σ index·stride + offset of `node`'s array."""

    node: Node
    offset: int
    strides: tuple[int, ...]  # one a loop dimension, after merging
    index: int  # its number among the pointers
    written: bool = False

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return self.node.dtype

    @property
    def is_scalar(self) -> bool:
        """Whether it is one element, whatever the loops' indices."""
        return not any(self.strides) and not self.written


@dataclass(eq=False)
class LoopNest:
    """A group as loops. `outer`, `reduced` and `vector` are loop sizes; strides of operands are in that order.

    map: outer dimensions, then one vector dimension. row: outer (kept) dimensions, then the reduced ones, of which the
    last is the vector dimension. col: outer kept dimensions, the reduced ones, then the kept vector dimension.
    """

    group: Group
    outer: tuple[int, ...]
    reduced: tuple[int, ...]
    vector: int
    operands: list[Operand] = field(default_factory=list)
    reads: dict[tuple[Node, Node], Operand] = field(default_factory=dict)  # (member, argument) → where it reads it
    outputs: dict[Node, Operand] = field(default_factory=dict)
    scalars: list[Node] = field(default_factory=list)  # constants passed by value
    iotas: dict[tuple[Node, Node], tuple[int, ...]] = field(default_factory=dict)

    @property
    def sizes(self) -> tuple[int, ...]:
        """All loop sizes, outermost first."""
        return (*self.outer, *self.reduced, self.vector) if self.group.form != "row" else (*self.outer, *self.reduced)


@dataclass(frozen=True)
class _Access:
    member: Node
    arg: Node
    base: Node
    offset: int
    strides: tuple[int, ...]  # over the group's whole domain


def build_nest(group: Group, materialized: Iterable[Node], constants: set[Node]) -> LoopNest:
    """The loops of a group that stores `materialized` (members that others read, or that are fetched or assigned)."""
    accesses = [
        _access_of(group, node, arg) for node in group.nodes for arg in node.args if _is_read(group, arg, constants)
    ]
    outputs = {node: _output_strides(group, node) for node in materialized}
    every = [a.strides for a in accesses] + list(outputs.values())
    order, roles = _loop_order(group, every)
    merged = _complete(_merge(order, roles, group.shape, every), group.form, len(group.shape))
    nest = _empty_nest(group, merged)
    seen: dict[tuple[int, int, tuple[int, ...]], Operand] = {}
    for one in accesses:
        strides = tuple(one.strides[dims[-1]] for dims, _, _ in merged)
        if one.base.op == "iota":
            nest.iotas[one.member, one.arg] = strides
            continue
        key = (one.base.id, one.offset, strides)
        operand = seen.get(key)
        if operand is None:
            operand = seen[key] = Operand(one.base, one.offset, strides, len(nest.operands))
            nest.operands.append(operand)
        nest.reads[one.member, one.arg] = operand
    for node, full in outputs.items():
        strides = tuple(full[dims[-1]] for dims, _, _ in merged)
        nest.outputs[node] = Operand(node, 0, strides, len(nest.operands), written=True)
        nest.operands.append(nest.outputs[node])
    nest.scalars = _scalars(group, constants)
    return nest


def _is_read(group: Group, arg: Node, constants: set[Node]) -> bool:
    base = base_of(arg)
    return base not in group.levels and base not in constants


def _scalars(group: Group, constants: set[Node]) -> list[Node]:
    found: dict[Node, None] = {}
    for node in group.nodes:
        for arg in node.args:
            base = base_of(arg)
            if base in constants:
                found[base] = None
    return list(found)


def _access_of(group: Group, node: Node, arg: Node) -> _Access:
    """How `node` reads `arg`, with strides over the whole domain of the group (0 on reduced axes for a kept member)."""
    shape = arg.shape if node.op == "reduce" else node.shape
    base, offset, strides = broadcast_access(arg, shape)
    if base.op == "iota":
        return _Access(node, arg, base, 0, _over_domain(group, shape, _iota_steps(base, shape)))
    if arg.size == 1:
        return _Access(node, arg, base, offset, (0,) * (len(group.shape) + 1))
    level = "full" if node.op == "reduce" else group.levels[node]
    if level == "full":
        if shape != group.shape:  # the dimensions differ, so it is read in order
            strides = row_major(group.shape)
        return _Access(node, arg, base, offset, _without_units(group.shape, strides))
    return _Access(node, arg, base, offset, _over_domain(group, shape, strides))


def _iota_steps(iota: Node, shape: Sequence[int]) -> tuple[int, ...]:
    """By how much an iota's value grows along each dimension of `shape`."""
    axis = len(shape) - len(iota.shape) + iota.attr
    return tuple(int(a == axis and iota.shape[iota.attr] != 1) for a in range(len(shape)))


def _over_domain(group: Group, shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """A kept member's strides, spread over the domain: its dimensions are those of the domain that stay."""
    if tuple(shape) == group.shape:
        return _without_units(group.shape, strides)
    mine = [s for n, s in zip(shape, strides, strict=True) if n != 1]
    result = []
    for axis, size in enumerate(group.shape):
        result.append(0 if axis in group.axes or size == 1 else mine.pop(0))
    return (*result, 0)


def _without_units(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """Strides over the domain, 0 where it has one element; the last 0 is for loops that stand for no dimension."""
    return (*(0 if n == 1 else s for n, s in zip(shape, strides, strict=True)), 0)


def _output_strides(group: Group, node: Node) -> tuple[int, ...]:
    if group.levels[node] == "full":
        return _without_units(group.shape, row_major(group.shape))
    kept = row_major(group.kept)
    result, position = [], 0
    for axis, size in enumerate(group.shape):
        if axis in group.axes:
            result.append(0)
            continue
        result.append(0 if size == 1 else kept[position])
        position += 1
    return (*result, 0)


def _loop_order(group: Group, accesses: Sequence[Sequence[int]]) -> tuple[list[int], list[str]]:
    """The domain's dimensions in loop order, and each one's role: o(uter), r(educed) or v(ector).

    Of the reduced ones, whose order is free but for the position that an argmax gives, the widest strides come first.
    """
    rank = len(group.shape)
    kept = [a for a in range(rank) if a not in group.axes]
    reduced = [a for a in range(rank) if a in group.axes]
    if not any(node.op == "reduce" and node.attr[0] in ARG_REDUCTIONS for node in group.levels):
        reduced.sort(key=lambda axis: -sum(abs(strides[axis]) for strides in accesses))
    if group.form != "col":
        return kept + reduced, ["o"] * len(kept) + ["r"] * len(reduced)
    last = max(reduced)
    trailing = [a for a in kept if a > last]
    leading = [a for a in kept if a < last]
    return leading + reduced + trailing, ["o"] * len(leading) + ["r"] * len(reduced) + ["v"] * len(trailing)


_Merged = list[tuple[list[int], int, str]]


def _merge(order: list[int], roles: list[str], shape: Sequence[int], accesses: Sequence[Sequence[int]]) -> _Merged:
    """Loop dimensions as (domain axes merged into it, size, role); the stride of one is that of its last axis."""
    merged: _Merged = []
    for axis, role in zip(order, roles, strict=True):
        size = shape[axis]
        if size == 1:
            continue
        if merged and merged[-1][2] == role:
            axes, before, _ = merged[-1]
            if all(strides[axes[-1]] == strides[axis] * size for strides in accesses):
                merged[-1] = ([*axes, axis], before * size, role)
                continue
        merged.append(([axis], size, role))
    return merged


def _complete(merged: _Merged, form: str, rank: int) -> _Merged:
    """The loop dimensions with those that the form must have, of size 1 where the domain has none to give."""
    unit = [rank]
    outer = [m for m in merged if m[2] == "o"]
    reduced = [m for m in merged if m[2] == "r"]
    vector = [m for m in merged if m[2] == "v"]
    if form == "map":
        return outer or [(unit, 1, "o")]
    reduced = reduced or [(unit, 1, "r")]
    if form == "row":
        return outer + reduced
    vector = vector or [(unit, 1, "v")]
    outer += [(axes, size, "o") for axes, size, _ in vector[:-1]]  # only the last is the vector dimension
    return outer + reduced + vector[-1:]


def _empty_nest(group: Group, merged: _Merged) -> LoopNest:
    outer = [size for _, size, role in merged if role == "o"]
    reduced = [size for _, size, role in merged if role == "r"]
    if group.form == "map":
        return LoopNest(group, tuple(outer[:-1]), (), outer[-1])
    return LoopNest(group, tuple(outer), tuple(reduced), reduced[-1] if group.form == "row" else merged[-1][1])


def units_of(nest: LoopNest) -> int:
    """The product of the outer loops' sizes."""
    return prod(nest.outer)
