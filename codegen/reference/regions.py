"""What loops and branches do, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Final, Protocol

import numpy as np

from flowc.codegen.reference.registry import Array
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import Conditional, Loop, Step, operations_of

Region = Conditional | Loop
HISTORIES: Final = frozenset({"LoopHistory", "LoopHistoryPush", "LoopHistoryRead"})


class Run(Protocol):
    """A run, or what is in a branch or a loop of it."""

    values: MutableMapping[Tensor, Array]
    dead: set[Tensor]

    @property
    def variables(self) -> dict[str, Array]:
        """The variables as it leaves them."""

    def do(self, steps: Sequence[Step]) -> None:
        """Executes steps in order."""

    def read(self, tensor: Tensor, reader: Operation) -> Array:
        """A tensor's value as an operation sees it."""

    def within(self, variables: Mapping[str, Array]) -> Run:
        """A run of what is in a branch or a loop, where these are the variables."""


def execute_region(run: Run, step: Region, variables: Mapping[str, Array]) -> dict[str, Array]:
    """Executes a branch or a loop that starts with `variables`; as what it leaves them."""
    return _conditional(run, step, variables) if isinstance(step, Conditional) else _loop(run, step, variables)


def _conditional(run: Run, step: Conditional, variables: Mapping[str, Array]) -> dict[str, Array]:
    outcome = bool(run.read(step.pred, step.ops[0]))
    inner = run.within(variables)
    inner.do(step.branches[outcome])
    for tensor in _made_in(step.branches[not outcome]):
        run.dead.add(tensor)
    for tensor in _made_in(step.branches[outcome]):
        run.dead.discard(tensor)
        if tensor in inner.values:
            run.values[tensor] = inner.values[tensor]
    for merge, candidates in step.merges.items():
        index = candidates[outcome][0]
        run.values[merge._outputs[0]] = inner.read(merge._inputs[index], merge)
        run.values[merge._outputs[1]] = np.array(index, np.int32)
    return inner.variables


def _loop(run: Run, step: Loop, variables: Mapping[str, Array]) -> dict[str, Array]:
    carried = [v for v in step.variables if not v.merge._outputs[0]._dtype.is_ref_dtype]
    found = [run.read(v.enter._inputs[0], v.enter) for v in carried]
    left = dict(variables)
    while True:
        inner = run.within(left)
        for variable, value in zip(carried, found, strict=True):
            inner.values[variable.merge._outputs[0]] = value
        inner.do(step.cond)
        if step.pred is None or not inner.read(step.pred, step.ops[0]):
            break
        inner.do(step.body)
        found = [inner.read(v.next, v.merge) for v in carried if v.next is not None]
        left = inner.variables
    for op in step.exits:
        if not op._outputs[0]._dtype.is_ref_dtype:
            run.values[op._outputs[0]] = inner.read(op._inputs[0], op)
    return inner.variables


def _made_in(steps: Iterable[Step]) -> list[Tensor]:
    return [tensor for step in steps for op in operations_of(step) for tensor in op._outputs]


def history(op_type: str, inputs: Sequence[Array]) -> Array:
    """What an op of histories gives. A history is an array of one object: the tuple of its values."""
    if op_type == "LoopHistoryRead":
        value: Array = inputs[0].item()[int(inputs[1])]
        return value
    boxed = np.empty((), object)
    boxed[()] = () if op_type == "LoopHistory" else (*inputs[0].item(), inputs[1])
    return boxed
