"""Lowering loops.

The condition is computed for the first iteration in the program around the loop. What an iteration does, the body and
then the condition for the next one, is a program of its own: its memory is the loop variables, the variables that the
body assigns, and whether to go on.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowc.codegen.ir import Node
from flowc.codegen.regions.conditionals import bind, export
from flowc.codegen.regions.inside import Arguments, Inline, NotNative, Scope, Separate
from flowc.codegen.regions.region import Slot, make_region
from flowc.framework.dtypes import string
from flowc.framework.errors import InvalidArgumentError
from flowc.framework.graph import Tensor
from flowc.framework.regions import Loop, LoopVariable

MORE = 0  # the slot that says whether to go on


def lower_loop(scope: Scope, step: Loop) -> None:
    """Does the step in `scope`. Raises NotNative if only the run can tell what to do next."""
    first = scope.within(step.cond, Inline(scope, step))
    for variable in step.variables:
        _start(scope, first, variable)
    first.run_steps()
    if step.pred is None:
        export(scope, first)
        scope.variables.leave(step, first.variables.latest)
        return
    more = first.value(step.pred)
    if more is not None and not more:
        _leave(scope, first, step)
    else:
        _Iteration(scope, first, step).finish()


def _start(scope: Scope, first: Scope, variable: LoopVariable) -> None:
    """Where the first iteration finds a loop variable."""
    source, merged = variable.enter._inputs[0], variable.merge._outputs[0]
    if merged._dtype.is_ref_dtype:
        return
    bind(first, merged, scope, source)


def _leave(scope: Scope, first: Scope, step: Loop) -> None:
    """Ends a loop that no iteration of is done."""
    for op in step.exits:
        bind(scope, op._outputs[0], first, op._inputs[0])
    scope.variables.leave(step, first.variables.latest)


class _Iteration:
    """One iteration of a loop, as a program."""

    def __init__(self, scope: Scope, first: Scope, step: Loop) -> None:
        assert step.pred is not None
        if first.variables.latest:
            raise NotNative("its condition assigns variables")
        self.scope, self.first, self.step = scope, first, step
        self.arguments, self.slots = Arguments(), list[Slot]()
        self.inside = Separate(scope, step, self.arguments)
        self.program = self.inside.program
        self._slot(step.pred._op._name, first.node(step.pred))
        self.carried = [v for v in step.variables if not v.merge._outputs[0]._dtype.is_ref_dtype]
        starts = {variable: first.node(variable.merge._outputs[0]) for variable in self.carried}
        self.number = {variable: self._slot(variable.merge._name, node) for variable, node in starts.items()}
        self.assigned = self._variable_slots()
        self._lower()

    def _slot(self, name: str, start: Node) -> int:
        if start.dtype is string:
            raise NotNative("it works on strings")
        self.slots.append(Slot(name, start.dtype, start.shape, self.arguments.add(start)))
        return len(self.slots) - 1

    def _memory(self, slot: int) -> Node:
        return self.program.variable(str(slot), self.slots[slot].dtype, self.slots[slot].shape)

    def _variable_slots(self) -> Mapping[str, int]:
        variables, found = self.scope.variables, {}
        for name, ref in variables.changed_by(self.step).items():
            found[name] = self._slot(name, variables.current(ref))
            self.inside.slots[name] = self._memory(found[name])
        return found

    def _lower(self) -> None:
        """The body with the loop variables as they are, then the condition with the next ones."""
        body = self.scope.within([*self.step.cond, *self.step.body], self.inside)
        for variable in self.carried:
            self._bind(body, variable.merge._outputs[0], self._memory(self.number[variable]))
        body.run_steps()
        following = {variable: self._next(body, variable) for variable in self.carried}
        condition = body.within(self.step.cond, Inline(body, self.step, body.variables.latest))
        for variable, node in following.items():
            self._bind(condition, variable.merge._outputs[0], node)
        condition.run_steps()
        self._store(MORE, condition.node(self._pred))
        for variable, node in following.items():
            self._store(self.number[variable], node)
        for name, node in body.variables.latest.items():
            self._store(self.assigned[name], node)
        self.program.origin = ""

    @property
    def _pred(self) -> Tensor:
        assert self.step.pred is not None
        return self.step.pred

    @staticmethod
    def _bind(scope: Scope, tensor: Tensor, node: Node) -> None:
        scope.nodes[tensor] = node
        scope.shapes[tensor] = node.shape

    def _next(self, body: Scope, variable: LoopVariable) -> Node:
        merge = variable.merge
        if variable.next is None:
            message = f"The loop variable of {merge._name!r} gets no value for the next iteration."
            raise InvalidArgumentError(None, merge, message)
        node = body.argument(None, variable.next)
        before = self.slots[self.number[variable]].shape
        if node.shape != before:
            change = f"changes from {list(before)} to {list(node.shape)}"
            raise NotNative(f"the shape of {merge._outputs[0].name!r} {change}")
        return node

    def _store(self, slot: int, node: Node) -> None:
        if node is not self._memory(slot):
            self.program.stores[str(slot)] = node

    def finish(self) -> None:
        """Adds the region, and makes known outside what it gives."""
        scope, step = self.scope, self.step
        scope.program.origin = self._pred._op._name
        results = make_region(scope.program, "loop", self.arguments.nodes, [self.program], self.slots)
        for variable in self.carried:
            for op in variable.exits:
                self._bind(scope, op._outputs[0], results[self.number[variable]])
        others = [op for op in step.exits if op not in {e for v in step.variables for e in v.exits}]
        for op in others:
            message = f"{op._name!r} is given what is no loop variable."
            raise InvalidArgumentError(None, op, message)
        scope.variables.leave(step, {name: results[slot] for name, slot in self.assigned.items()})
