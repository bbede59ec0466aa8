"""Lowering what runs if a predicate is true, and what runs if it is not.

A predicate that is known before the run leaves one side only. Both sides are computed where that is cheaper than a
jump. Otherwise each becomes a program of its own, of which the run takes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flowc.codegen.fuse import live_nodes
from flowc.codegen.ir import Node
from flowc.codegen.program import Program
from flowc.codegen.regions.inside import Arguments, Inline, NotNative, Scope, Separate
from flowc.codegen.regions.region import Slot, make_region
from flowc.framework.dtypes import int32, string
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import Conditional, operations_of

CHEAP_NODES: Final = 24  # up to which both sides are computed,
CHEAP_SIZE: Final = 64  # and how many elements each may have


def lower_conditional(scope: Scope, step: Conditional) -> None:
    """Does the step in `scope`. Raises NotNative if only the run can tell what to do next."""
    known = scope.value(step.pred)
    if known is not None:
        _take(scope, step, bool(known))
        return
    sides = _Sides(scope, step)
    if all(map(_is_cheap, sides.programs)):
        _select(scope, step)
    else:
        sides.finish()


def export(scope: Scope, inner: Scope) -> None:
    """Makes what `inner`, in the same program, has computed known outside."""
    scope.nodes.update(inner.nodes)
    scope.values.update(inner.values)
    scope.shapes.update(inner.shapes)
    scope.aliases.update(inner.aliases)
    scope.choices.update(inner.choices)
    scope.dead |= inner.dead


def bind(scope: Scope, tensor: Tensor, inner: Scope, source: Tensor) -> None:
    """Makes `tensor` what `source` is in `inner`, in the same program."""
    value = inner.value(source)
    if value is not None:
        scope.values[tensor], scope.shapes[tensor] = value, value.shape
    else:
        scope.nodes[tensor] = inner.argument(None, source)
        scope.shapes[tensor] = scope.nodes[tensor].shape


def not_valid(tensor: Tensor) -> str:
    """What the error says if a tensor of the other side is fetched."""
    return f"The tensor returned for {tensor.name} was not valid."


def only_if(program: Program, value: Node, pred: Node, outcome: bool, tensor: Tensor) -> Node:
    """`value`, which is there only if `pred` is `outcome`; the run fails if it is not."""
    message = not_valid(tensor)
    return program.call("only_if", [value, pred], value.shape, value.dtype, outcome=outcome, message=message)


# -- one side, or both -------------------------------------------------------------------------------------------------


def _take(scope: Scope, step: Conditional, outcome: bool) -> None:
    inner = scope.within(step.branches[outcome], Inline(scope, step))
    inner.run_steps()
    export(scope, inner)
    scope.variables.leave(step, inner.variables.latest)
    for merge, candidates in step.merges.items():
        index = _candidate(merge, candidates[outcome])
        bind(scope, merge._outputs[0], inner, merge._inputs[index])
        scope.values[merge._outputs[1]] = int32.as_numpy_dtype(index)
    scope.dead.update(_made_in(step, not outcome))


def _candidate(merge: Operation, candidates: Sequence[int]) -> int:
    if not candidates:
        raise NotNative(f"no input comes to {merge._name!r} on one side of its condition")
    return candidates[0]


def _made_in(step: Conditional, outcome: bool) -> list[Tensor]:
    return [tensor for inner in step.branches[outcome] for op in operations_of(inner) for tensor in op._outputs]


def _is_cheap(program: Program) -> bool:
    nodes = [node for node in live_nodes(program) if node.op not in ("input", "const", "view", "iota")]
    return len(nodes) <= CHEAP_NODES and all(node.op == "map" and node.size <= CHEAP_SIZE for node in nodes)


def _select(scope: Scope, step: Conditional) -> None:
    """Computes both sides, and takes the results of one."""
    program, pred = scope.program, scope.node(step.pred)
    inner = [scope.within(branch, Inline(scope, step)) for branch in step.branches]
    for side in inner:
        side.run_steps()
        export(scope, side)
    for merge, (if_false, if_true) in step.merges.items():
        false, true = _candidate(merge, if_false), _candidate(merge, if_true)
        choices = (
            inner[1].argument(None, merge._inputs[true]),
            inner[0].argument(None, merge._inputs[false]),
        )
        program.origin = merge._name
        scope.nodes[merge._outputs[0]] = _selected(program, pred, *choices)
        scope.nodes[merge._outputs[1]] = _index(program, pred, true, false)
        scope.shapes[merge._outputs[0]] = choices[0].shape
    for outcome in (False, True):
        scope.choices.update(dict.fromkeys(_made_in(step, outcome), (pred, outcome)))
    changed = scope.variables.changed_by(step)
    before = Inline(scope, step)
    scope.variables.leave(
        step,
        {
            name: _selected(
                program, pred, *(side.variables.latest.get(name) or before.variable(ref) for side in reversed(inner))
            )
            for name, ref in changed.items()
        },
    )


def _selected(program: Program, pred: Node, if_true: Node, if_false: Node) -> Node:
    return if_true if if_true is if_false else program.map("select", pred, if_true, if_false)


def _index(program: Program, pred: Node, if_true: int, if_false: int) -> Node:
    return program.map("select", pred, program.scalar(if_true, int32), program.scalar(if_false, int32))


# -- two programs ------------------------------------------------------------------------------------------------------


class _Sides:
    """Both sides of a condition, lowered into programs of their own."""

    def __init__(self, scope: Scope, step: Conditional) -> None:
        self.scope, self.step = scope, step
        self.arguments = Arguments()
        self.arguments.number(_stored(scope.program, scope.node(step.pred)))
        self.slots: list[Slot] = []
        self.insides = [Separate(scope, step, self.arguments) for _ in step.branches]
        self.variables = self._variable_slots()
        self.sides = [scope.within(b, inside) for b, inside in zip(step.branches, self.insides, strict=True)]
        for side in self.sides:
            side.run_steps()
            side.program.origin = ""
        self._store_variables()
        self.merged = {merge: self._store_merged(merge) for merge in step.merges}
        self.loose = self._store_loose()

    @property
    def programs(self) -> list[Program]:
        """Both programs."""
        return [inside.program for inside in self.insides]

    def _slot(self, name: str, node: Node, start: int | None) -> int:
        if node.dtype is string:
            raise NotNative("it works on strings")
        self.slots.append(Slot(name, node.dtype, node.shape, start))
        return len(self.slots) - 1

    def _variable_slots(self) -> Mapping[str, int]:
        """A slot for each variable that either side changes, which starts as the newest value."""
        variables, found = self.scope.variables, {}
        for name, ref in variables.changed_by(self.step).items():
            node = variables.current(ref)
            found[name] = self._slot(name, node, self.arguments.add(node))
            for inside in self.insides:
                inside.slots[name] = inside.program.variable(str(found[name]), node.dtype, node.shape)
        return found

    def _store_variables(self) -> None:
        for side in self.sides:
            for name, node in side.variables.latest.items():
                side.program.stores[str(self.variables[name])] = node

    def _store_merged(self, merge: Operation) -> int:
        tensors = [merge._inputs[_candidate(merge, candidates)] for candidates in self.step.merges[merge]]
        nodes = [side.argument(None, tensor) for side, tensor in zip(self.sides, tensors, strict=True)]
        if nodes[0].shape != nodes[1].shape:
            raise NotNative(f"the two sides give shapes {list(nodes[1].shape)} and {list(nodes[0].shape)}")
        slot = self._slot(merge._name, nodes[0], None)
        for side, node in zip(self.sides, nodes, strict=True):
            side.program.stores[str(slot)] = node
        return slot

    def _store_loose(self) -> dict[Tensor, tuple[int, bool]]:
        """What one side computes and others than Merges use, as gradients do."""
        members, found = set(self.step.ops), {}
        for outcome, side in enumerate(self.sides):
            for tensor in _made_in(self.step, bool(outcome)):
                used = any(op not in members for op in self.scope.uses.get(tensor, ()))
                if tensor in side.dead:
                    self.scope.dead.add(tensor)
                elif used and side.value(tensor) is None and not tensor._dtype.is_ref_dtype:
                    node = side.node(tensor)
                    slot = self._slot(tensor._op._name, node, None)
                    side.program.stores[str(slot)] = node
                    found[tensor] = slot, bool(outcome)
        return found

    def finish(self) -> None:
        """Adds the region, and makes known outside what it gives."""
        scope, step = self.scope, self.step
        scope.program.origin = next(iter(step.merges), step.ops[-1])._name
        results = make_region(scope.program, "conditional", self.arguments.nodes, self.programs, self.slots)
        pred = scope.node(step.pred)
        for merge, slot in self.merged.items():
            scope.nodes[merge._outputs[0]] = results[slot]
            scope.shapes[merge._outputs[0]] = results[slot].shape
            indices = [_candidate(merge, candidates) for candidates in reversed(step.merges[merge])]
            scope.nodes[merge._outputs[1]] = _index(scope.program, pred, *indices)
        for tensor, (slot, outcome) in self.loose.items():
            scope.nodes[tensor] = results[slot]
            scope.shapes[tensor] = results[slot].shape
            scope.choices[tensor] = pred, outcome
        for number, side in enumerate(self.sides):
            for tensor in _made_in(step, bool(number)):
                known = side.value(tensor)
                if known is not None:
                    scope.values[tensor] = known
                scope.choices.setdefault(tensor, (pred, bool(number)))
        scope.variables.leave(step, {name: results[slot] for name, slot in self.variables.items()})


def _stored(program: Program, node: Node) -> Node:
    """The node as one that owns its memory."""
    return program.map("copy", node) if node.op == "view" else node
