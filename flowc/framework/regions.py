"""Loops and branches: what the operations are that they are made of, and the tree of them that a graph stands for.

A graph says loops and branches by what its operations pass on. `Switch` gives its value to one of two outputs, and what
depends on an output does not run unless the value came there; `Merge` takes whichever value comes. `Enter` brings a
value into a loop's frame, in which operations run once an iteration; `NextIteration` hands it to the next one, `Exit`
out of it. `flowc.framework.arranging` finds the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from flowc.framework.graph import Operation, Tensor

SWITCHES: Final = frozenset({"Switch", "RefSwitch"})
MERGES: Final = frozenset({"Merge", "RefMerge"})
ENTERS: Final = frozenset({"Enter", "RefEnter"})
EXITS: Final = frozenset({"Exit", "RefExit"})
NEXT_ITERATIONS: Final = frozenset({"NextIteration", "RefNextIteration"})
CONTROL_FLOW: Final = SWITCHES | MERGES | ENTERS | EXITS | NEXT_ITERATIONS | {"LoopCond"}


@dataclass(eq=False)
class Frame:
    """A loop's frame: the part of a graph that is between its Enters and its Exits."""

    name: str
    parent: Frame | None
    depth: int
    ops: list[Operation] = field(default_factory=list)  # but for those of frames inside


class _Compound:
    """What makes a step of several operations look like one operation to those who put steps in an order."""

    _attrs: Mapping[str, Any] = {}
    ops: list[Operation]

    @property
    def _type(self) -> str:
        return type(self).__name__

    @property
    def _name(self) -> str:
        return self.ops[-1]._name

    @cached_property
    def _inputs(self) -> tuple[Tensor, ...]:
        """What it takes from outside."""
        members = set(self.ops)
        found = dict.fromkeys(t for op in self.ops for t in op._inputs if t._op not in members)
        return (*found, *(t for t in self._deciding() if t._op not in members and t not in found))

    def _deciding(self) -> tuple[Tensor, ...]:
        return ()

    @cached_property
    def _control_inputs(self) -> tuple[Operation, ...]:
        members = set(self.ops)
        return tuple(dict.fromkeys(c for op in self.ops for c in op._control_inputs if c not in members))

    @cached_property
    def _outputs(self) -> tuple[Tensor, ...]:
        """All that others may use of it."""
        return tuple(tensor for op in self.ops for tensor in op._outputs)


@dataclass(eq=False)
class Conditional(_Compound):
    """What runs if `pred` is true, what runs if it is not, and the Merges that choose between the two."""

    pred: Tensor
    if_false: list[Step]
    if_true: list[Step]
    merges: dict[Operation, tuple[list[int], list[int]]]  # → the inputs that come if `pred` is false, and if it is true
    ops: list[Operation]  # all of them, in an order

    def _deciding(self) -> tuple[Tensor, ...]:
        return (self.pred,)

    @property
    def branches(self) -> tuple[list[Step], list[Step]]:
        """The steps by the predicate's value."""
        return self.if_false, self.if_true


@dataclass(eq=False)
class LoopVariable:
    """A value that goes from iteration to iteration: where it starts, where an iteration finds it, what it becomes."""

    enter: Operation
    merge: Operation
    switch: Operation | None
    next: Tensor | None
    exits: list[Operation]


@dataclass(eq=False)
class Loop(_Compound):
    """A loop: `cond`, which computes `pred`, then `body` while that is true. Without a predicate: `cond`, once."""

    frame: Frame
    variables: list[LoopVariable]
    invariants: list[Operation]  # Enters of what all iterations see
    exits: list[Operation]  # all Exits, of variables or not
    pred: Tensor | None
    cond: list[Step]
    body: list[Step]
    ops: list[Operation]


Step = Operation | Conditional | Loop


def has_control_flow(ops: Iterable[Operation]) -> bool:
    """Whether there is anything to arrange."""
    return any(op._type in CONTROL_FLOW for op in ops)


def operations_of(step: Step) -> Sequence[Operation]:
    """The operations in a step."""
    return (step,) if isinstance(step, Operation) else step.ops


def back_edge(op: Operation, tensor: Tensor) -> bool:
    """Whether input `tensor` of `op` comes from the iteration before."""
    return op._type in MERGES and tensor._op._type in NEXT_ITERATIONS


def conditionals_in(steps: Iterable[Step]) -> list[Conditional]:
    """All conditionals in steps, at any depth."""
    found: list[Conditional] = []
    for step in steps:
        if isinstance(step, Loop):
            found += conditionals_in([*step.cond, *step.body])
        elif isinstance(step, Conditional):
            found += [step, *conditionals_in([*step.if_false, *step.if_true])]
    return found


def loops_in(steps: Iterable[Step]) -> list[Loop]:
    """All loops in steps, at any depth."""
    found: list[Loop] = []
    for step in steps:
        if isinstance(step, Loop):
            found += [step, *loops_in(step.cond), *loops_in(step.body)]
        elif isinstance(step, Conditional):
            found += [*loops_in(step.if_false), *loops_in(step.if_true)]
    return found
