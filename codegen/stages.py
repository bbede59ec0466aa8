"""The passes over a row: a reduction's result is known only after a loop, so what uses it at full level needs another.

Members at full level that a later loop needs again are computed again, unless they are dear: then the first loop leaves
them in an output's memory (`stashed`), which is free until its own value is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from flowc.codegen.cpu import primitives
from flowc.codegen.groups import Group
from flowc.codegen.ir import Node, base_of

_FREE: Final = frozenset({"copy", "cast", "complex"})  # map primitives that are not in the target's table
DEAR: Final = 0.8  # cycles an element, from which a value is rather stored than computed again


@dataclass
class Stages:
    """Loop by loop, what a row kernel does. Column and map forms have one loop."""

    count: int
    stage_of: dict[Node, int]  # full members: the first loop that can compute them
    reductions: list[list[Node]]  # accumulated in each loop
    needed: list[list[Node]]  # full map members that each loop evaluates, arguments first
    has_loop: list[bool]
    kept_after: dict[int, list[Node]] = field(
        default_factory=dict
    )  # kept map members, by the loop they follow; -1: none
    stashed: dict[Node, tuple[int, Node]] = field(
        default_factory=dict
    )  # value → (loop that stores it, output it is in)


def stages_of(group: Group, outputs: set[Node]) -> Stages:
    """The loops of a group that stores `outputs`."""
    stage: dict[Node, int] = {}
    for node in group.nodes:
        stage[node] = _stage(node, group, stage)
    full = [n for n in group.nodes if group.levels[n] == "full"]
    reduces = [n for n in group.nodes if n.op == "reduce"]
    last = max([stage[n] for n in reduces] + [stage[n] for n in full if n in outputs], default=0)
    result = Stages(last + 1, {n: stage[n] for n in full}, [[] for _ in range(last + 1)], [], [])
    for node in reduces:
        result.reductions[stage[node]].append(node)
    for node in group.nodes:
        if node.op == "map" and group.levels[node] == "kept":
            result.kept_after.setdefault(stage[node], []).append(node)
    for loop in range(result.count):
        roots = [n.args[0] for n in result.reductions[loop]] + [n for n in full if n in outputs and stage[n] == loop]
        result.needed.append(_closure(roots, group))
        result.has_loop.append(bool(roots))
    if group.form == "row":
        _stash(result, group, outputs)
    return result


def _stage(node: Node, group: Group, stage: dict[Node, int]) -> int:
    """Full member: the loop that computes it. Reduce: the loop it accumulates in. Kept map: the loop it follows."""
    level = group.levels[node]
    best = 0 if level == "full" or node.op == "reduce" else -1
    for arg in node.args:
        base = base_of(arg)
        if base in group.levels:
            after = level == "full" and group.levels[base] == "kept"
            best = max(best, stage[base] + after)
    return best


def _closure(roots: Iterable[Node], group: Group, stop: Iterable[Node] = ()) -> list[Node]:
    seen: set[Node] = set()
    barrier = set(stop)
    bases = [base_of(r) for r in roots]
    pending = [r for r in bases if r in group.levels and group.levels[r] == "full"]
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in barrier:
            continue
        for arg in node.args:
            base = base_of(arg)
            if base in group.levels and group.levels[base] == "full":
                pending.append(base)
    return sorted(seen, key=lambda n: n.id)


def _stash(stages: Stages, group: Group, outputs: set[Node]) -> None:
    """Chooses what is stored between loops, and takes out of later loops what that makes needless."""
    full_outputs = [n for n in outputs if group.levels[n] == "full"]
    free = {n: stages.stage_of[n] for n in full_outputs}
    for loop in range(stages.count - 1):
        later = {n for wanted in stages.needed[loop + 1 :] for n in wanted}
        for node in stages.needed[loop]:
            if node not in later or node in stages.stashed or stages.stage_of[node] != loop or not _is_dear(node):
                continue
            if node in full_outputs:
                stages.stashed[node] = (loop, node)
                continue
            last = max(at for at in range(stages.count) if node in stages.needed[at])  # then its holder may be written
            holder = next((o for o, at in free.items() if at >= last and o.dtype is node.dtype), None)
            if holder is not None and not any(held is holder for _, held in stages.stashed.values()):
                stages.stashed[node] = (loop, holder)
    for loop in range(1, stages.count):
        held = [n for n, (at, _) in stages.stashed.items() if at < loop]
        roots = [n.args[0] for n in stages.reductions[loop]]
        roots += [n for n in full_outputs if stages.stage_of[n] == loop]
        stages.needed[loop] = _closure(roots, group, held)


def _is_dear(node: Node) -> bool:
    if node.op != "map" or node.attr in _FREE or node.args[-1].dtype.is_complex:
        return False
    return primitives.cost(node.attr, node.args[-1].dtype.name) >= DEAR
