"""Runs a graph by the definition of its ops, one op after another: what a compiled run must agree with.

State within a run: an operation that changes a variable acts on its latest value, in the order in which operations were
made, and its output stands for the value that it leaves. Any other operation that reads a variable sees the value from
before the run, unless it depends on changes, by data or control: then the value after the last of these. Nothing is
stored unless the whole run succeeds.
"""

from __future__ import annotations

import heapq
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from flowc.codegen.reference.regions import HISTORIES, Region, execute_region, history
from flowc.codegen.reference.registry import Array, UpdateRule, evaluate, update_rule
from flowc.framework.arranging import arrange
from flowc.framework.dtypes import DType
from flowc.framework.errors import FailedPreconditionError, InvalidArgumentError, OpError
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import CONTROL_FLOW, MERGES, Step, back_edge

# (operation, inputs, outputs) -> outputs to go on with; for an operation that changes variables: their new values.
Adjust = Callable[[Operation, list[Array], list[Array]], list[Array]]


def run_reference(
    fetches: Sequence[Tensor | Operation],
    feeds: Mapping[Tensor, Any],
    variables: Mapping[str, Array],
    rng: np.random.Generator | None = None,
    adjust: Adjust | None = None,
) -> tuple[list[Array | None], dict[str, Array]]:
    """The fetched values (None for an operation) and the variables' values after the run.

    feeds: values of tensors, which replace what the graph would compute.
    variables: values by the name of the `Variable` operation; one that is not there is uninitialised.
    rng: for random ops.
    adjust: sees each operation's inputs and outputs, and may change the latter; tests spread errors by it.

    Raises InvalidArgumentError for a placeholder without a feed and for values that an op cannot work on,
    FailedPreconditionError for reading an uninitialised variable, KeyError for an op type without a reference.
    """
    run = _Run(feeds, variables, rng, adjust)
    run.do(arrange(_in_order(fetches, run.fed), run.fed))
    values = [run.fetched(f) if isinstance(f, Tensor) else None for f in fetches]
    return values, run.variables


def _in_order(fetches: Iterable[Tensor | Operation], fed: Mapping[Tensor, Array]) -> list[Operation]:
    """The operations that the fetches need, each after those it depends on, else in the order they were made."""
    needed: dict[Operation, set[Operation]] = {}
    pending = [f._op if isinstance(f, Tensor) else f for f in fetches if f not in fed]
    while pending:
        op = pending.pop()
        if op not in needed:
            pending += [t._op for t in op._inputs if t not in fed and back_edge(op, t)]
            needed[op] = {t._op for t in op._inputs if t not in fed and not back_edge(op, t)} | set(op._control_inputs)
            pending += needed[op]
    return _sorted(needed)


def _sorted(needed: dict[Operation, set[Operation]]) -> list[Operation]:
    users: dict[Operation, list[Operation]] = {op: [] for op in needed}
    waiting = {op: len(before) for op, before in needed.items()}
    for op, before in needed.items():
        for source in before:
            users[source].append(op)
    ready = [(op._id, op) for op, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    result = []
    while ready:
        _, op = heapq.heappop(ready)
        result.append(op)
        for user in users[op]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, (user._id, user))
    return result


class _Run:
    """The values of one run, and of each variable the versions that its operations made."""

    def __init__(
        self,
        feeds: Mapping[Tensor, Any],
        variables: Mapping[str, Array],
        rng: np.random.Generator | None,
        adjust: Adjust | None,
    ) -> None:
        self.fed = {t: np.asarray(v, t._dtype.as_numpy_dtype) for t, v in feeds.items()}
        self.initial = variables
        self.rng, self.adjust = rng, adjust
        self.values: MutableMapping[Tensor, Array] = dict(self.fed)
        self.versions: dict[str, list[tuple[Step, Array]]] = {}
        self.changes_before: dict[Operation, frozenset[Step]] = {}  # the changing operations it depends on
        self.dead: set[Tensor] = set()  # of branches that were not taken

    def do(self, steps: Sequence[Step]) -> None:
        """Executes steps in order."""
        for step in steps:
            if isinstance(step, Operation):
                self.execute(step)
            else:
                self._do_region(step)

    def _do_region(self, step: Region) -> None:
        """A branch or a loop: one change of all the variables that it may change."""
        changed = sorted({_variable_of(t)._name for op in step.ops for t in _changed_by(op)})
        before: frozenset[Step] = frozenset().union(*(self._dependencies(op) for op in step.ops))
        self.changes_before.update(dict.fromkeys(step.ops, before | ({step} if changed else frozenset())))
        start = {name: self._latest(name, step.ops[0]) for name in changed if self._has(name)}
        left = execute_region(self, step, {**self._seen_by(step), **start})
        for name in changed:
            if name in left:
                self.versions.setdefault(name, []).append((step, left[name]))

    def _seen_by(self, step: Region) -> dict[str, Array]:
        """The variables that a region reads, as they are for it."""
        references = [t for op in step.ops for t in op._inputs if t._dtype.is_ref_dtype]
        names = {_variable_of(t)._name: _variable_of(t)._outputs[0] for t in references}
        return {name: self.read(ref, step.ops[0]) for name, ref in names.items() if self._has(name)}

    def _has(self, name: str) -> bool:
        return name in self.initial or name in self.versions

    def within(self, variables: Mapping[str, Array]) -> _Run:
        """A run of what is in a branch or a loop, where these are the variables."""
        inner = _Run({}, variables, self.rng, self.adjust)
        inner.fed, inner.dead, inner.values = self.fed, self.dead, ChainMap({}, self.values)
        return inner

    @property
    def variables(self) -> dict[str, Array]:
        """The variables as the run leaves them."""
        return {**self.initial, **{name: versions[-1][1] for name, versions in self.versions.items()}}

    def fetched(self, tensor: Tensor) -> Array:
        """What the user gets for a tensor."""
        if tensor in self.dead:
            raise InvalidArgumentError(None, tensor._op, f"The tensor returned for {tensor.name} was not valid.")
        return self.read(tensor, tensor._op)

    def execute(self, op: Operation) -> None:
        """Computes an operation's outputs, or the new values of the variables that it changes."""
        self.changes_before[op] = self._dependencies(op)
        if op._type == "Variable":
            return
        if op._type in CONTROL_FLOW:
            self._pass_on(op)
            return
        if op._type in HISTORIES:
            self.values[op._outputs[0]] = history(op._type, [self.read(t, op) for t in op._inputs])
            return
        if op._type == "Placeholder":
            if op._outputs[0] in self.fed:
                return
            raise InvalidArgumentError(None, op, f"You must feed a value for placeholder tensor {op._name!r}")
        rule = update_rule(op._type)
        try:
            if rule is None:
                self._compute(op)
            else:
                self._change(op, rule)
        except OpError as error:
            raise error if error.op is not None else type(error)(None, op, error.message) from None  # type: ignore[call-arg]

    def _pass_on(self, op: Operation) -> None:
        """What loops and branches are made of only says where values go."""
        source = op._inputs[0]
        for tensor in op._outputs[: 1 if op._type in MERGES else 2]:
            if tensor not in self.values and not source._dtype.is_ref_dtype:
                self.values[tensor] = self.read(source, op)
        if op._type in MERGES:
            self.values[op._outputs[1]] = np.array(0, np.int32)

    def _dependencies(self, op: Operation) -> frozenset[Step]:
        result: set[Step] = set()
        sources = [t._op for t in op._inputs if t not in self.fed] + list(op._control_inputs)
        for source in sources:
            result |= self.changes_before.get(source, frozenset())
            if update_rule(source._type) is not None:
                result.add(source)
        return frozenset(result)

    def _evaluate(self, op: Operation, types: list[DType], inputs: list[Array]) -> list[Array]:
        results = evaluate(op._type, op._attrs, types, inputs, self.rng)
        return results if self.adjust is None else self.adjust(op, inputs, results)

    def _compute(self, op: Operation) -> None:
        inputs = [self.read(t, op) for t in op._inputs]
        outputs = self._evaluate(op, [t._dtype._base for t in op._outputs], inputs)
        for tensor, value in zip(op._outputs, outputs, strict=True):
            self.values.setdefault(tensor, value)

    def _change(self, op: Operation, rule: UpdateRule) -> None:
        references = op._inputs[: rule.variables]
        names = [_variable_of(t)._name for t in references]
        types = [t._dtype._base for t in references]
        if rule.reads:
            present = [self._latest(name, op) for name in names]
        else:
            present = [np.zeros(0, d.as_numpy_dtype) for d in types]
        others = [self.read(t, op) for t in op._inputs[rule.variables :]]
        new = self._evaluate(op, types, [*present, *others])
        for name, value in zip(names, new, strict=True):
            self.versions.setdefault(name, []).append((op, np.array(value)))
        self.values.setdefault(op._outputs[0], present[0] if rule.returns_old else np.array(new[0]))

    def read(self, tensor: Tensor, reader: Operation) -> Array:
        """A tensor's value as an operation sees it."""
        if tensor in self.values:
            return self.values[tensor]
        name = _variable_of(tensor)._name
        for step, value in reversed(self.versions.get(name, [])):
            if step in self.changes_before[reader]:
                return value
        return self._initial(name, reader)

    def _latest(self, name: str, op: Operation) -> Array:
        versions = self.versions.get(name)
        return versions[-1][1] if versions else self._initial(name, op)

    def _initial(self, name: str, op: Operation) -> Array:
        if name not in self.initial:
            raise FailedPreconditionError(None, op, f"Attempting to use uninitialized value {name}")
        return np.asarray(self.initial[name])


def _changed_by(op: Operation) -> Sequence[Tensor]:
    rule = update_rule(op._type)
    return op._inputs[: rule.variables] if rule is not None else ()


def _variable_of(tensor: Tensor) -> Operation:
    """The `Variable` operation behind a reference, which operations that change it pass on."""
    op = tensor._op
    while op._type != "Variable":
        if not tensor._dtype.is_ref_dtype:
            raise TypeError(f"{tensor} is no reference to a variable")
        tensor = op._inputs[0 if op._type in CONTROL_FLOW else tensor._value_index]
        op = tensor._op
    return op
