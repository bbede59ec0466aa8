"""Loops and conditionals that the host does step by step: those with ops of the host in them, and loops whose variables
change their shapes.

Each part is a run by itself, of which what goes in is fed: a loop's condition and its body, a conditional's two sides.
Variables that it assigns change at once, not with the rest of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowc.codegen.segments import needs_segments, variable_of
from flowc.framework.dtypes import string
from flowc.framework.errors import InvalidArgumentError, UnimplementedError
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import ENTERS, MERGES, NEXT_ITERATIONS, Conditional, Loop, Step, operations_of
from flowc.runtime.host_steps import Source, Values
from flowc.runtime.trace import HostTime

Array = npt.NDArray[Any]
RunArrays = Callable[[Sequence[Array]], list[Array]]
# Of (fetches, how many of them must have a value, feeds, operations); the others may be of a branch that is not taken.
RunOf = Callable[[Sequence[Tensor], int, Sequence[Tensor], Sequence[Operation]], RunArrays]

_NOT_AGAIN: Final = MERGES | NEXT_ITERATIONS | {"LoopCond"}


class RegionStep:
    """One loop or conditional in one session. `sources`: where what it takes from outside comes from."""

    def __init__(
        self, region: Conditional | Loop, sources: Mapping[Tensor, Source], run_of: RunOf, fetched: Collection[Tensor]
    ) -> None:
        self.op = region.ops[-1]
        self._sources, self._fetched = sources, fetched
        self._does: _Loop | _Conditional
        if isinstance(region, Loop):
            self._does = _Loop(region, tuple(sources), run_of)
        else:
            self._does = _Conditional(region, tuple(sources), run_of)

    def run(self, values: Values) -> None:
        """Takes what it needs from `values`, and puts there what it gives. Raises the public errors."""
        outside = {tensor: source(values) for tensor, source in self._sources.items()}
        found, dead = self._does.run({t: np.asarray(a) for t, a in outside.items() if a is not None})
        for tensor, array in found.items():
            values[tensor] = array
        for tensor in dead:
            if tensor in self._fetched:
                message = f"The tensor returned for {tensor.name} was not valid."
                raise InvalidArgumentError(None, tensor._op, message)
            values[tensor] = _nothing(tensor)

    def run_timed(self, values: Values) -> HostTime:
        """The same; says when."""
        start = time.monotonic_ns()
        self.run(values)
        return HostTime(self.op._name, self.op._type, start, time.monotonic_ns())


Found = tuple[dict[Tensor, Array], Iterable[Tensor]]  # what a region gives, and what it does not


def _nothing(tensor: Tensor) -> Array:
    """What stands for a tensor of the side that was not taken: nobody looks at it."""
    sizes = (0 if size is None else size for size in tensor._shape.tuple or ())
    if tensor._dtype._base is string:
        return np.full(tuple(sizes), b"", object)
    return np.zeros(tuple(sizes), tensor._dtype.as_numpy_dtype)


def is_of_variable(tensor: Tensor) -> bool:
    """Whether the tensor refers to a variable, which sub-runs find by themselves; other references are handles."""
    return tensor._dtype.is_ref_dtype and variable_of(tensor)._type == "Variable"


def _refuse_host_ops(what: str, ops: Collection[Operation]) -> None:
    """Raises UnimplementedError if ops that depend on a reference to a variable need the host."""
    if needs_segments(ops):
        op = next(iter(ops))
        message = f"{what} cannot be done: what follows an assignment in it needs the host, too."
        raise UnimplementedError(None, op, message)


def _variables(tensors: Iterable[Tensor]) -> set[Operation]:
    """What makes references to variables: their operations, and those that pass them on."""
    found: set[Operation] = set()
    for op in (tensor._op for tensor in tensors if is_of_variable(tensor)):
        while op._type != "Variable":
            found.add(op)
            op = op._inputs[0]._op
        found.add(op)
    return found


class _Loop:
    def __init__(self, loop: Loop, outside: Sequence[Tensor], run_of: RunOf) -> None:
        if loop.pred is None:
            _refuse_host_ops(f"The loop {loop.frame.name!r}", loop.ops)
        assert loop.pred is not None
        self._loop, self._pred = loop, loop.pred
        merges = [v.merge._outputs[0] for v in loop.variables]
        inside = [v.switch._outputs[1] for v in loop.variables if v.switch is not None]
        self._invariants = {
            op._outputs[0]: op._inputs[0] for op in loop.invariants if not is_of_variable(op._inputs[0])
        }
        entered = {op._inputs[0] for op in loop.ops if op._type in ENTERS and op in loop.frame.ops}
        implicit = [t for t in outside if t not in entered]
        feeds = [*merges, *inside, *self._invariants, *implicit]
        self._switched = [index for index, v in enumerate(loop.variables) if v.switch is not None]
        self._from_outside = [*self._invariants.values(), *implicit]
        members = {op for op in loop.ops if op._type not in _NOT_AGAIN or op not in loop.frame.ops}
        members |= _variables(loop._inputs)
        following = [v.next for v in loop.variables if v.next is not None]
        self._condition = run_of([self._pred], 1, feeds, _needed([self._pred], feeds, members))
        self._body = run_of(following, len(following), feeds, _needed(following, feeds, members))

    def run(self, outside: Mapping[Tensor, Array]) -> Found:
        loop = self._loop
        carried = [outside[v.enter._inputs[0]] for v in loop.variables]
        fixed = [outside[tensor] for tensor in self._from_outside]
        while True:
            fed = [*carried, *(carried[index] for index in self._switched), *fixed]
            if not self._condition(fed)[0].item():
                break
            carried = [a if a.flags.c_contiguous else a.copy(order="C") for a in self._body(fed)]
        left = {op._outputs[0]: a for v, a in zip(loop.variables, carried, strict=True) for op in v.exits}
        return left, ()


class _Conditional:
    def __init__(self, conditional: Conditional, outside: Sequence[Tensor], run_of: RunOf) -> None:
        self._conditional, self._outside, self._run_of = conditional, outside, run_of

    @cached_property
    def _sides(self) -> list[tuple[list[Tensor], RunArrays]]:
        """What each side gives, and its run."""
        return [self._side(bool(outcome)) for outcome in (0, 1)]

    def _side(self, outcome: bool) -> tuple[list[Tensor], RunArrays]:
        conditional = self._conditional
        members = {op for step in conditional.branches[outcome] for op in operations_of(step)}
        variables = _variables(conditional._inputs)
        if any(op._type != "Variable" for op in variables):
            _refuse_host_ops("The conditional", members)
        members |= variables
        wanted = [merge._inputs[candidates[outcome][0]] for merge, candidates in conditional.merges.items()]
        own = set(conditional.ops)
        made = [tensor for step in conditional.branches[outcome] for tensor in _given_by(step)]
        loose = [t for t in made if not t._dtype.is_ref_dtype and not own.issuperset(t._consumers)]
        fetches = list(dict.fromkeys([*wanted, *loose]))
        ops = _needed(fetches, self._outside, members, every=True)
        return fetches, self._run_of(fetches, len(set(wanted)), self._outside, ops)

    def run(self, outside: Mapping[Tensor, Array]) -> Found:
        conditional = self._conditional
        outcome = bool(outside[conditional.pred].item())
        fetches, run = self._sides[outcome]
        given = dict(zip(fetches, run([outside[tensor] for tensor in self._outside]), strict=True))
        found = dict(given)
        for merge, candidates in conditional.merges.items():
            index = candidates[outcome][0]
            found[merge._outputs[0]] = given[merge._inputs[index]]
            found[merge._outputs[1]] = np.array(index, np.int32)
        other: list[Step] = conditional.branches[not outcome]
        return found, [t for step in other for op in operations_of(step) for t in op._outputs]


def _given_by(step: Step) -> list[Tensor]:
    """What others can take from a step of a branch: not what is inside a loop."""
    if isinstance(step, Operation):
        return list(step._outputs)
    if isinstance(step, Loop):
        return [tensor for variable in step.variables for op in variable.exits for tensor in op._outputs]
    inner = [tensor for branch in step.branches for part in branch for tensor in _given_by(part)]
    return [*inner, *(tensor for merge in step.merges for tensor in merge._outputs)]


def _needed(
    fetches: Iterable[Tensor], feeds: Collection[Tensor], members: Collection[Operation], every: bool = False
) -> list[Operation]:
    """Those of `members` that compute `fetches` when `feeds` are there; with `every`, all, for their effects."""
    fed = set(feeds)
    found = {t._op for t in fetches if t not in fed and t._op in members} | (set(members) if every else set())
    pending = list(found)
    while pending:
        op = pending.pop()
        for source in (*(t._op for t in op._inputs if t not in fed), *op._control_inputs):
            if source in members and source not in found:
                found.add(source)
                pending.append(source)
    return sorted(found, key=lambda op: op._id)
