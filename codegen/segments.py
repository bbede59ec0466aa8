"""Cutting a run where the host must act: native segments, with host ops between them.

An op of the host (strings, queues, files, Python functions) needs its inputs as arrays and gives arrays; an op whose
shapes depend on what a run computes needs that to be there before its readers can be compiled. `Progress` says, step by
step, which operations can be compiled together next and which host ops can run. A segment takes all that it can.

Variables change in the last segment only, so that every part of the run can read their values from before it; what an
earlier segment assigns crosses to the last one as an array.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import flowc.codegen.host  # registers the host functions
import flowc.codegen.lower  # noqa: F401  # registers the lowerings
from flowc.codegen.host.registry import host_function, reads_in_place
from flowc.codegen.ir import Shape
from flowc.codegen.lower.registry import bounded_of, changed_inputs, size_rule, update_of
from flowc.framework.dtypes import string
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import Step as Unit, operations_of

_GIVEN: Final = frozenset({"Const", "Placeholder"})


@dataclass(frozen=True)
class Seen:
    """A variable's reference as `reader`, an op of the host, sees it: the value that it has there."""

    reference: Tensor
    reader: Operation


@dataclass(frozen=True)
class State:
    """What `write`, an operation, a loop or a conditional, leaves in `variable`."""

    write: Unit
    variable: str


Crossing = Tensor | Seen | State  # what goes from one segment to another, to a host op, or to the user


@dataclass(frozen=True)
class Segment:
    """What one native part of a run does: `ops`, in an order; `order` is the whole run's, by which variables are read.

    Its feeds are tensors, then `states`. Its fetches are `outputs`, where one of an op with bounded outputs takes two
    places: the array and how many of its rows count. `sizes` are output shapes that values decide.
    """

    order: tuple[Unit, ...]
    ops: tuple[Unit, ...]
    outputs: tuple[Crossing, ...]
    states: tuple[tuple[State, Shape], ...]
    sizes: Mapping[Operation, tuple[Shape, ...]]
    commits: bool  # whether it is the one in which variables change

    @property
    def operations(self) -> list[Operation]:
        """All operations of the whole run, those of loops and conditionals in their place."""
        return [op for unit in self.order for op in operations_of(unit)]

    def describe(self, numbers: Mapping[Operation, int]) -> list[object]:
        """Plain data that tells this segment from others of the same run, for a key."""
        return [
            [numbers[op] for unit in self.ops for op in operations_of(unit)],
            [_described(crossing, numbers) for crossing in self.outputs],
            [(*_described(state, numbers), shape) for state, shape in self.states],
            [(numbers[op], shapes) for op, shapes in self.sizes.items()],
            self.commits,
        ]


def _described(crossing: Crossing, numbers: Mapping[Operation, int]) -> tuple[object, ...]:
    if isinstance(crossing, Seen):
        return "seen", crossing.reference.name, numbers[crossing.reader]
    if isinstance(crossing, State):
        return "state", numbers[operations_of(crossing.write)[0]], crossing.variable
    return ("tensor", crossing.name)


def is_host_op(op: Operation) -> bool:
    """Whether the op runs on the host: by its type, or because it works on strings."""
    if op._type in _GIVEN:
        return False
    return host_function(op._type) is not None or any(
        t._dtype._base is string for tensors in (op._inputs, op._outputs) for t in tensors
    )


def is_bounded(op: Operation) -> bool:
    """Whether the run finds out how many rows the op's outputs have."""
    return bounded_of(op._type) is not None


def needs_sizes(op: Operation) -> bool:
    """Whether values decide the op's output shapes, and these are not known from the graph."""
    rule = size_rule(op._type, op._attrs)
    if rule is None or all(t._shape.is_fully_defined() for t in op._outputs):
        return False
    return any(op._inputs[index]._op._type != "Const" for index in rule.inputs)


def needs_segments(ops: Iterable[Operation]) -> bool:
    """Whether a run of these cannot be one native call."""
    return any(is_host_op(op) or is_bounded(op) or needs_sizes(op) for op in ops)


def is_two_fetches(crossing: Crossing) -> bool:
    """Whether a segment gives the output as an array and a number of rows."""
    return isinstance(crossing, Tensor) and is_bounded(crossing._op)


def names_of(crossing: Crossing) -> tuple[str, ...]:
    """What the places that the crossing takes among a segment's fetches are called."""
    if isinstance(crossing, Seen):
        return (crossing.reference.name,)
    if isinstance(crossing, State):
        return (crossing.variable,)
    return (crossing.name, f"{crossing.name} (rows)") if is_two_fetches(crossing) else (crossing.name,)


@dataclass
class Step:
    """What can be done next: first the native part, if there is one, then ops of the host."""

    ops: tuple[Unit, ...]  # to be compiled together
    feeds: tuple[Tensor, ...]  # of those that are there, what they read
    outputs: tuple[Crossing, ...]
    states: tuple[State, ...]  # the writes so far: fed
    sized: tuple[Operation, ...]  # ops whose shapes are to be told
    commits: bool
    host_ops: tuple[Unit, ...] = ()


@dataclass
class Progress:
    """How far a run has come.

    `demands`: tensors that must be there as arrays before an op can be compiled. `stepped`: loops and conditionals that
    the host does step by step, though none of their ops asks for it.
    """

    order: tuple[Unit, ...]
    fetches: tuple[Tensor, ...]
    available: frozenset[Tensor]
    done: frozenset[Unit] = frozenset()
    states: tuple[State, ...] = ()
    demands: dict[Unit, frozenset[Tensor]] = field(default_factory=dict)
    stepped: frozenset[Unit] = frozenset()

    @cached_property
    def _units(self) -> dict[Operation, Unit]:
        return {op: unit for unit in self.order for op in operations_of(unit)}

    @cached_property
    def _changed(self) -> frozenset[str]:
        """The variables that the run changes."""
        return frozenset(state.variable for unit in self.order for state in states_of(unit))

    def unit_of(self, op: Operation) -> Unit:
        """The operation itself, or the loop or the conditional that it is in."""
        return self._units.get(op, op)

    def on_host(self, unit: Unit) -> bool:
        """Whether the host does it, or a part of it."""
        if isinstance(unit, Operation):
            return is_host_op(unit)
        return unit in self.stepped or needs_segments(unit.ops)

    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return len(self.done) == len(self.order)

    def after(self, step: Step) -> Progress:
        """The progress when `step` is done."""
        arrived = {crossing for crossing in step.outputs if isinstance(crossing, Tensor)}
        arrived.update(tensor for op in step.host_ops for tensor in op._outputs)
        written = tuple(crossing for crossing in step.outputs if isinstance(crossing, State))
        return Progress(
            self.order,
            self.fetches,
            self.available | arrived,
            self.done | set(step.ops) | set(step.host_ops),
            self.states + written,
            self.demands,
            self.stepped,
        )

    def next(self) -> Step:
        """What can be done next. Host ops that are ready run before any native part."""
        ready = self._ready_host_ops(self.done, self.available)
        if ready:
            return Step((), (), (), (), (), False, ready)
        ops = self._compilable()
        done = self.done | set(ops)
        left = [op for op in self.order if op not in done]
        commits = all(self.on_host(op) for op in left)
        outputs = self._outputs(ops, left, commits)
        arrived = self.available | {c for c in outputs if isinstance(c, Tensor)}
        feeds, repeated = self._inputs(ops)
        return Step(
            (*repeated, *ops),
            feeds,
            outputs,
            self.states,
            tuple(op for op in ops if isinstance(op, Operation) and needs_sizes(op)),
            commits,
            self._ready_host_ops(done, arrived),
        )

    def _ready_host_ops(self, done: Collection[Unit], available: Collection[Tensor]) -> tuple[Unit, ...]:
        """Ops of the host whose inputs are there, or will be from those before them."""
        finished, there = set(done), set(available)
        ready = []
        for op in self.order:
            if op in finished or not self.on_host(op):
                continue
            inputs_there = all(
                t in there or t._op._type == "Const" or (t._dtype.is_ref_dtype and self.unit_of(t._op) in finished)
                for t in op._inputs
            )
            if inputs_there and all(self._is_done(control, finished) for control in op._control_inputs):
                ready.append(op)
                finished.add(op)
                there.update(op._outputs)
        return tuple(ready)

    def _is_done(self, op: Operation, finished: Collection[Unit]) -> bool:
        """Whether an operation is done, or none of this run."""
        return op not in self._units or self._units[op] in finished

    def _compilable(self) -> list[Unit]:
        """The native ops that depend on nothing that the host must do first."""
        blocked: set[Unit] = set()
        late: set[Unit] = set()  # their outputs are known when the segment has run
        held: set[str] = set()  # variables that a blocked op changes first
        result = []
        for op in self.order:
            if op in self.done:
                continue
            if (
                self.on_host(op)
                or self._waits(op)
                or any(self.unit_of(c) in blocked for c in op._control_inputs)
                or any(
                    t not in self.available and (self.unit_of(t._op) in blocked or t._op in late) for t in op._inputs
                )
                or any(state.variable in held for state in states_of(op))
            ):
                blocked.add(op)
                held.update(state.variable for state in states_of(op))
            else:
                result.append(op)
                if isinstance(op, Operation) and is_bounded(op):
                    late.add(op)
        return result

    def _waits(self, op: Unit) -> bool:
        asked = set(self.demands.get(op, ()))
        if isinstance(op, Operation) and needs_sizes(op):
            rule = size_rule(op._type, op._attrs)
            assert rule is not None
            asked.update(op._inputs[i] for i in rule.inputs)
            asked.update(t for t in op._inputs if not t._shape.is_fully_defined())
        return any(t not in self.available and t._op._type != "Const" for t in asked)

    def _outputs(self, ops: Sequence[Unit], left: Sequence[Unit], commits: bool) -> tuple[Crossing, ...]:
        """What the user, host ops and later segments want of what `ops` make, or see once these are done."""
        made = {t for op in ops if op._type != "Const" for t in op._outputs if t not in self.available}
        found: dict[Crossing, None] = {}
        for tensor in self.fetches:
            if tensor._op._type == "Variable" and tensor not in self.available:
                if commits and not is_host_op(tensor._op):
                    found[tensor] = None
            elif self.unit_of(tensor._op) in set(ops) and tensor not in self.available:
                found[tensor] = None
        early = self._dependent_on_native(left)
        for op in left:
            for tensor in (*op._inputs, *self.demands.get(op, ())):
                if not tensor._dtype.is_ref_dtype:
                    if tensor in made:
                        found[tensor] = None
                elif isinstance(op, Operation) and self._sees(op, tensor) and op not in early:
                    found[Seen(tensor, op)] = None
            if isinstance(op, Operation) and needs_sizes(op):
                found.update(dict.fromkeys(t for t in op._inputs if t in made))
        if not commits:
            found.update(dict.fromkeys(s for op in ops for s in states_of(op)))
        return tuple(found)

    def _sees(self, op: Operation, ref: Tensor) -> bool:
        """Whether an op of the host has to be told what a reference refers to."""
        return self.on_host(op) and ref not in self.available and not self._in_place(op, ref)

    def _in_place(self, op: Operation, ref: Tensor) -> bool:
        """Whether an op of the host reads the variable where it lives: nothing in the run changes it."""
        return reads_in_place(op._type) and ref._op._type == "Variable" and ref._op._name not in self._changed

    def _inputs(self, ops: Sequence[Unit]) -> tuple[tuple[Tensor, ...], list[Operation]]:
        """The arrays that `ops` read, and the constants of earlier segments, which are repeated."""
        feeds: dict[Tensor, None] = {}
        repeated: dict[Operation, None] = {}
        members = {op for unit in ops for op in operations_of(unit)}
        for tensor in (t for op in ops for t in op._inputs):
            if tensor in self.available:
                feeds[tensor] = None
            elif tensor._op._type == "Const" and tensor._op not in members:
                repeated[tensor._op] = None
        return tuple(feeds), list(repeated)

    def _dependent_on_native(self, ops: Iterable[Unit]) -> set[Unit]:
        """Those of `ops`, in order, that are native or come after one that is."""
        found: set[Unit] = set()
        for op in ops:
            sources = (*(t._op for t in op._inputs), *op._control_inputs)
            if not self.on_host(op) or any(self.unit_of(source) in found for source in sources):
                found.add(op)
        return found


def states_of(unit: Unit) -> list[State]:
    """What an op, a loop or a conditional leaves in the variables that it changes."""
    names = (variable_of(ref)._name for op in operations_of(unit) for ref in _changed(op))
    return [State(unit, name) for name in dict.fromkeys(names)]


def _changed(op: Operation) -> Sequence[Tensor]:
    return () if update_of(op._type) is None else op._inputs[: changed_inputs(op._type)]


def variable_named(state: State) -> Tensor:
    """The reference to the variable of a state."""
    references = (ref for op in operations_of(state.write) for ref in _changed(op))
    return next(v._outputs[0] for v in map(variable_of, references) if v._name == state.variable)


def variable_of(reference: Tensor) -> Operation:
    """The variable that a reference, maybe through assignments, refers to."""
    op = reference._op
    while op._type != "Variable" and op._inputs and op._inputs[0]._dtype.is_ref_dtype:
        op = op._inputs[0]._op
    return op


def segment_of(
    progress: Progress, step: Step, shapes: Mapping[State, Shape], sizes: Mapping[Operation, tuple[Shape, ...]]
) -> Segment:
    """The segment of a step, given the shapes of the states that it is fed and of the ops that values size."""
    return Segment(
        progress.order, step.ops, step.outputs, tuple((s, shapes[s]) for s in step.states), sizes, step.commits
    )
