"""Gradients through loops: a second loop that goes through the iterations backwards.

The loop gets loop variables of its own for this: how many iterations there were, and histories of what the backward
loop needs: the loop variables at the start of each iteration, and what random and other stateful operations gave. From
them the backward loop's body computes the operations of the forward body again, differentiates them as `tf.gradients`
does any operations, and adds up the gradients of what all iterations see. What no gradient needs does not run. What a
loop reads of a variable that it changes counts as constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from flowc.framework.convert import constant, convert_to_tensor
from flowc.framework.dtypes import COMPLEX, FLOATING, int32
from flowc.framework.errors import UnimplementedError
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.regions import ENTERS, NEXT_ITERATIONS, Loop, LoopVariable, back_edge
from flowc.framework.registry import gradient, lookup
from flowc.framework.source import made_at
from flowc.ops import history_ops
from flowc.ops.array_ops import identity, zeros_like
from flowc.ops.contexts import ControlContext, making_in
from flowc.ops.loop_ops import While
from flowc.ops.switch_ops import enter, exit, merge, next_iteration, switch

Gradients = Callable[[list[Tensor], list[Tensor], list[Tensor]], Sequence[Any]]  # (ys, xs, grad_ys)

_SO: Final = "so its values cannot be kept for a gradient: it is random, or reads or changes a variable"
_PASSED_ON: Final = frozenset({"Identity", "Switch", "Merge", "LoopCond", "Enter", "NextIteration", "Exit"})


@gradient("Enter", "RefEnter", "Exit", "RefExit", "NextIteration", "RefNextIteration")
def _alone(op: Operation, *grads: Any) -> Any:
    """Of one such operation without its loop: what is inside cannot be seen from outside."""
    message = f"A gradient cannot go into or out of the middle of a loop, as it would through {op.name!r}."
    raise UnimplementedError(None, op, message + made_at(op))


def differentiate(
    loop: Loop, exit_gradients: Mapping[Operation, Tensor], gradients: Gradients
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of what the loop takes from outside and its gradient, given those of what comes out by its Exits."""
    if any(op._type == "LoopHistoryRead" for op in loop.ops):
        op = loop.ops[0]
        message = "There are no second derivatives through loops: this one computes first derivatives."
        raise UnimplementedError(None, op, message + made_at(op))
    return _Backward(loop, exit_gradients, gradients).pairs()


class _Backward:
    """The backward loop of one loop."""

    def __init__(self, loop: Loop, exit_gradients: Mapping[Operation, Tensor], gradients: Gradients) -> None:
        self.loop, self.gradients = loop, gradients
        self.graph: Graph = loop.ops[0]._graph
        self.body = _Body(loop)
        given = {v: exit_gradients[op] for v in loop.variables for op in v.exits if op in exit_gradients}
        self.variables, self.invariants = self.body.reached(given)
        self.starts = [given[v] if v in given else zeros_like(v.enter._inputs[0]) for v in self.variables]

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """The gradients of where loop variables start, and of what all iterations see."""
        totals = [zeros_like(op._inputs[0]) for op in self.invariants]
        _, *results = While(
            lambda left, *_: left > 0,
            self._iteration,
            [self.body.extras.count(), *self.starts, *totals],
            name="backward",
        )
        inputs = [*(v.enter._inputs[0] for v in self.variables), *(op._inputs[0] for op in self.invariants)]
        return list(zip(inputs, results, strict=True))

    def _iteration(self, left: Tensor, *carried: Tensor) -> list[Tensor]:
        count = len(self.variables)
        index = left - 1
        copy = _Copy(self.body, index)
        outputs = [copy.of(_next(variable)) for variable in self.variables]
        sources = [copy.of(_inside(variable)) for variable in self.variables]
        sources += [copy.of(op._outputs[0]) for op in self.invariants]
        found = self.gradients(outputs, sources, list(carried[:count]))
        dense = [None if g is None else convert_to_tensor(g) for g in found]
        back = [zeros_like(x) if g is None else g for x, g in zip(sources[:count], dense[:count], strict=True)]
        sums = [total if g is None else total + g for total, g in zip(carried[count:], dense[count:], strict=True)]
        return [index, *back, *sums]


def _next(variable: LoopVariable) -> Tensor:
    assert variable.next is not None
    return variable.next


def _inside(variable: LoopVariable) -> Tensor:
    """The loop variable as the body finds it."""
    assert variable.switch is not None
    return variable.switch._outputs[1]


def _variable_of(reference: Tensor) -> Operation:
    """The variable that a reference refers to."""
    op = reference._op
    while op._inputs and op._inputs[0]._dtype.is_ref_dtype:
        op = op._inputs[0]._op
    return op


def _changes_variable(op: Operation) -> bool:
    is_reference = bool(op._outputs) and op._outputs[0]._dtype.is_ref_dtype
    return is_reference and bool(op._inputs) and op._type.removeprefix("Ref") not in _PASSED_ON


# -- the forward loop --------------------------------------------------------------------------------------------------


class _Body:
    """The operations of a loop's body, and where they take values from that the backward loop has."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.members = frozenset(loop.ops)
        self.frame = frozenset(loop.frame.ops)
        self.always = frozenset(step for step in loop.body if isinstance(step, Operation))  # run in each iteration
        self.extras = _Extras(loop)
        self.changed = frozenset(_variable_of(op._outputs[0]) for op in loop.ops if _changes_variable(op))
        self.entered = {op._outputs[0]: op for op in loop.invariants}
        values = [v for v in loop.variables if v.switch is not None and not v.merge._outputs[0]._dtype.is_ref_dtype]
        self.starts = {t: v for v in values for t in (_inside(v), v.merge._outputs[0])}

    def is_leaf(self, tensor: Tensor) -> bool:
        """Whether the backward loop has the tensor's values, or none are needed to have it."""
        return tensor in self.starts or tensor in self.entered or self.is_saved(tensor)

    def is_saved(self, tensor: Tensor) -> bool:
        """Whether it would not be the same if it were computed again."""
        op = tensor._op
        if op not in self.frame:
            return False
        definition = lookup(op._type)
        if definition is not None and definition.stateful:
            return True
        return any(t._dtype.is_ref_dtype and _variable_of(t) in self.changed for t in op._inputs)

    def reached(self, given: Iterable[LoopVariable]) -> tuple[list[LoopVariable], list[Operation]]:
        """The loop variables and the Enters of invariants that gradients reach from those of `given`."""
        variables, invariants = dict.fromkeys(given), dict[Operation, None]()
        pending = list(variables)
        while pending:
            for tensor in self._leaves_of(_next(pending.pop())):
                if tensor._dtype._base not in FLOATING | COMPLEX:
                    continue
                variable = self.starts.get(tensor)
                if variable is not None and variable not in variables:
                    variables[variable] = None
                    pending.append(variable)
                elif tensor in self.entered:
                    invariants[self.entered[tensor]] = None
        return list(variables), list(invariants)

    def _leaves_of(self, tensor: Tensor) -> list[Tensor]:
        if self.is_leaf(tensor):
            return [tensor]
        return [t for op in self.ancestors(tensor) for t in op._inputs if self.is_leaf(t)]

    def ancestors(self, tensor: Tensor) -> list[Operation]:
        """The operations of the body that compute the tensor from leaves, in an order."""
        found: set[Operation] = {tensor._op}
        pending = [tensor._op]
        while pending:
            op = pending.pop()
            sources = [t._op for t in op._inputs if not self.is_leaf(t)]
            for source in (*sources, *self.controls(op)):
                if source in self.members and source not in found:
                    found.add(source)
                    pending.append(source)
        return sorted(found, key=lambda op: op._id)

    def controls(self, op: Operation) -> list[Operation]:
        """The control inputs that say in which branch or loop within the body an operation is."""
        return [
            c
            for c in op._control_inputs
            if c in self.members and c._type in _PASSED_ON and not all(self.is_leaf(t) for t in c._inputs)
        ]


@dataclass(frozen=True)
class _Extras:
    """Loop variables that a loop gets for its gradients; each is made when it is asked for first."""

    loop: Loop

    @property
    def _known(self) -> dict[Any, Tensor]:
        known: dict[Any, Tensor] = self._graph._loop_extras.setdefault(self._condition._op, {})
        return known

    @property
    def _condition(self) -> Tensor:
        switches = (v.switch for v in self.loop.variables if v.switch is not None)
        return next(switches)._inputs[1]

    @property
    def _graph(self) -> Graph:
        return self.loop.ops[0]._graph

    def count(self) -> Tensor:
        """How many iterations there were."""
        known = self._known
        if "count" not in known:
            with _where_made(self._condition._op):
                one = enter(constant(1, int32), self.loop.frame.name, is_constant=True)
                known["count"] = self._variable(constant(0, int32), lambda count: count + one, "count")
        return known["count"]

    def history(self, tensor: Tensor) -> Tensor:
        """All values of a tensor of the body."""
        known = self._known
        if tensor not in known:
            with _where_made(self._condition._op):
                known[tensor] = self._variable(
                    history_ops.history(), lambda history: history_ops.push(history, tensor), "history"
                )
        return known[tensor]

    def _variable(self, start: Tensor, step: Callable[[Tensor], Tensor], name: str) -> Tensor:
        with self._graph.name_scope(name):
            entered = enter(start, self.loop.frame.name)
            merged = merge([entered, entered])[0]
            left, inside = switch(merged, self._condition)
            merged._op._update_input(1, next_iteration(step(inside)))
            left = exit(left)
        result: Tensor = left
        return result


def _where_made(op: Operation) -> AbstractContextManager[None]:
    """In the with-block, operations are made where `op` was."""
    context = op._graph._context
    while isinstance(context, ControlContext) and not context.has(op):
        context = context.outer
    return making_in(op._graph, context, [])


# -- the body again ----------------------------------------------------------------------------------------------------


class _Copy:
    """The body's operations in the backward loop, where iteration `index` is looked at. Made as far as asked for."""

    def __init__(self, body: _Body, index: Tensor) -> None:
        self.body, self.index = body, index
        self.graph: Graph = index._op._graph
        self.scope = self.graph._name_scope
        self.tensors: dict[Tensor, Tensor] = {}
        self.ops: dict[Operation, Operation] = {}

    def of(self, tensor: Tensor) -> Tensor:
        """The copy of a tensor of the body."""
        if tensor not in self.tensors and self.body.is_leaf(tensor):
            self.tensors[tensor] = self._leaf(tensor)
        if tensor not in self.tensors:
            self._copy(self.body.ancestors(tensor))
        return self.tensors[tensor]

    def _leaf(self, tensor: Tensor) -> Tensor:
        entered = self.body.entered.get(tensor)
        if entered is not None:
            return identity(entered._inputs[0])
        variable = self.body.starts.get(tensor)
        like = tensor if variable is None else variable.enter._inputs[0]
        if variable is None:
            self._check_can_be_kept(tensor)
            like = constant(0, tensor._dtype._base, shape=tensor._shape)
        kept = tensor if variable is None else _inside(variable)
        return history_ops.read(self.body.extras.history(kept), self.index, like)

    def _check_can_be_kept(self, tensor: Tensor) -> None:
        """Raises UnimplementedError for what a gradient needs and cannot have."""
        op = tensor._op
        if not tensor._shape.is_fully_defined():
            raise UnimplementedError(None, op, f"{tensor.name!r} has no fixed shape, {_SO}.")
        if op not in self.body.always:
            raise UnimplementedError(None, op, f"{tensor.name!r} is in a branch or a loop within a loop, {_SO}.")

    def _copy(self, ops: Iterable[Operation]) -> None:
        new = [op for op in ops if op not in self.ops]
        late: list[Operation] = []
        for op in new:
            self._copy_one(op)
            if any(back_edge(op, tensor) for tensor in op._inputs):
                late.append(op)
        for op in late:
            for number, tensor in enumerate(op._inputs):
                if tensor._op._type in NEXT_ITERATIONS:
                    self.ops[op]._update_input(number, self._input(tensor))

    def _input(self, tensor: Tensor) -> Tensor:
        if self.body.is_leaf(tensor):
            return self.of(tensor)
        return self.tensors.get(tensor, tensor)

    def _copy_one(self, op: Operation) -> None:
        first = next((t for t in op._inputs if not back_edge(op, t)), None)
        inputs = [self._input(first if back_edge(op, t) and first is not None else t) for t in op._inputs]
        attrs: dict[str, Any] = dict(op._attrs)
        if op._type in ENTERS:
            attrs["frame_name"] = f"{self.scope}/{attrs['frame_name']}"
        name, op_type, types = op._name.rpartition("/")[2], op._type, [t._dtype for t in op._outputs]
        if op_type.startswith("Ref") and not inputs[0]._dtype.is_ref_dtype:
            op_type, types = op_type.removeprefix("Ref"), [dtype.base_dtype for dtype in types]  # a value's copy now
        copy = self.graph._create(op_type, inputs, types, name, attrs)
        controls = [self.ops[c] for c in self.body.controls(op) if c in self.ops]
        if controls:
            copy._add_control_inputs(controls)
        self.ops[op] = copy
        for old, made in zip(op._outputs, copy._outputs, strict=True):
            made._shape = old._shape
            self.tensors[old] = made
