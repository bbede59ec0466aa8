"""Runs that the host takes part in: native plans with ops of the host between them.

What a segment is fed, and so its plan, may depend on what the run found before. The segments of a signature therefore
form a tree: from each, one way on for each form that its values had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowc.codegen.feed_spec import FeedSpec, NeedsComputedValue, NeedsFeedValues, NeedsStepping, NeedsVariableShapes
from flowc.codegen.host.registry import Resources
from flowc.codegen.lower.registry import size_rule
from flowc.codegen.plan import Plan
from flowc.codegen.prune import needed_ops
from flowc.codegen.segments import Crossing, Progress, Segment, Step, is_two_fetches, segment_of
from flowc.framework.arranging import arrange
from flowc.framework.dtypes import string
from flowc.framework.errors import OpError
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import Step as Unit
from flowc.runtime.bound_plan import DECLINED, BoundPlan, FastRun, decline
from flowc.runtime.fetches import Fetches, as_result
from flowc.runtime.host_steps import HostStep, Source, Values, fits, source_of
from flowc.runtime.region_steps import RegionStep, RunArrays, is_of_variable
from flowc.runtime.signature import Form, Signature
from flowc.runtime.trace import TracePart
from flowc.runtime.variables_store import VariableStore

Array = npt.NDArray[Any]
AnyStep = HostStep | RegionStep
Sizes = Mapping[Operation, tuple[tuple[int, ...], ...]]

_MOST_FORMS: Final = 128
_SHRINKS: Final = 2  # an array of this many times the rows that count is copied, so that its memory is freed


class Maker:
    """What segments are made with: the session's store and resources, and how a plan is made and bound."""

    def __init__(
        self,
        store: VariableStore,
        resources: Resources,
        lock: AbstractContextManager[Any],
        bind: Callable[[Signature, Form, Sequence[FeedSpec], Segment], BoundPlan],
    ) -> None:
        self.store, self.resources, self.lock, self.bind = store, resources, lock, bind


class SegmentedRun:
    """All runs of one signature, of which the host does a part. Threads may run it at once."""

    def __init__(
        self, signature: Signature, maker: Maker, ops: Sequence[Operation] | None = None, valid: int | None = None
    ) -> None:
        """`ops`: what runs, if it is not all that the signature's fetches and targets need. `valid`: how many of the
        fetches must have a value; by default all."""
        fed = frozenset(signature.feeds)
        if ops is None:
            ops = needed_ops(signature.fetches, signature.targets, fed)
        given = frozenset(op for op in ops if op._type == "Placeholder" and op._outputs[0] in fed)
        progress = Progress(tuple(arrange(ops, fed)), signature.fetches, fed, given)
        self._feeds = signature.feeds
        self._first = _Junction(progress, maker, frozenset(signature.feeds), frozenset(signature.fetches[:valid]))
        self._results: list[Source] = [source_of(t, None, maker.store, ()) for t in signature.fetches]

    def run(self, arrays: Sequence[Array]) -> list[Any]:
        """The fetched values. Raises the public errors."""
        return self._run(arrays, None)

    def run_traced(self, arrays: Sequence[Array]) -> tuple[list[Any], list[TracePart]]:
        """The same, and when each kernel and each op of the host ran."""
        parts: list[TracePart] = []
        return self._run(arrays, parts), parts

    def arrays(self, arrays: Sequence[Array]) -> list[Array]:
        """The fetched values as arrays, which may be some of those that are fed."""
        return self._computed(arrays, None)

    def _run(self, arrays: Sequence[Array], trace: list[TracePart] | None) -> list[Any]:
        results = self._computed(arrays, trace)
        fed = {id(array) for array in arrays}
        return [as_result(r.copy() if r is not None and id(r) in fed else r) for r in results]

    def _computed(self, arrays: Sequence[Array], trace: list[TracePart] | None) -> list[Any]:
        values: Values = dict(zip(self._feeds, arrays, strict=True))
        junction: _Junction | None = self._first
        while junction is not None:
            junction = junction.pass_on(values, trace)
        return [source(values) for source in self._results]

    def fast_run(self, fetches: Fetches) -> FastRun:
        """A function of the fed values that gives what the user gets; DECLINED unless they are exact arrays."""
        if any(tensor._dtype._base is string for tensor in self._feeds):
            return decline
        expected = [(np.dtype(t._dtype.as_numpy_dtype), t._shape.tuple) for t in self._feeds]
        build, run_of = fetches.build, self._run

        def run(values: Iterable[Any]) -> Any:
            arrays = list(values)
            if len(arrays) != len(expected):
                return DECLINED
            for array, (dtype, shape) in zip(arrays, expected, strict=True):
                if type(array) is not np.ndarray or array.dtype is not dtype or not fits(array.shape, shape):
                    return DECLINED
                if not (array.flags.c_contiguous and array.flags.aligned):
                    return DECLINED
            return build(run_of(arrays, None))

        return run

    def reshaped(self) -> frozenset[str]:
        """None: its parts see to it."""
        return frozenset()

    def parts(self) -> list[Plan | Operation]:
        """What a run does, in order, as far as runs have shown it: plans, and ops of the host."""
        found: list[Plan | Operation] = []
        junction: _Junction | None = self._first
        while junction is not None:
            junction = junction.describe(found)
        return found


class _Junction:
    """A point of a run from which it goes on in one of several ways, by the form of the values that are there."""

    def __init__(self, progress: Progress, maker: Maker, seen: frozenset[Crossing], valid: frozenset[Tensor]) -> None:
        self._progress, self._maker, self._seen, self._valid = progress, maker, seen, valid
        self._step = progress.next()
        self._signature = Signature((), (), self._step.feeds)
        self._keys: tuple[Crossing, ...] = (*self._step.feeds, *self._step.states)
        self._ways: dict[Form, _Way] = self._signature.plans

    def pass_on(self, values: Values, trace: list[TracePart] | None) -> _Junction | None:
        """Does the next part of a run; where it goes on, or None if it is over."""
        way = self._ways.get(self._form(values))
        if way is not None and (changed := way.reshaped()):
            self._signature.variables |= changed
            way = self._ways.get(self._form(values))
        if way is None:
            with self._maker.lock:
                way = self._ways.get(self._form(values)) or self._make(values)
        way.run(values, trace)
        return way.next

    def describe(self, found: list[Plan | Operation]) -> _Junction | None:
        """Adds what the last way did, or will do."""
        if not self._ways:
            found.extend(u if isinstance(u, Operation) else u.ops[-1] for u in self._step.host_ops)
            return None
        way = next(reversed(self._ways.values()))
        found.extend(way.parts())
        return way.next

    def _form(self, values: Values) -> Form:
        if not self._keys and not self._step.sized and not self._signature.variables:
            return _NO_FORM
        form = self._signature.form([values[key] for key in self._keys], self._maker.store)
        if not self._step.sized:
            return form
        sizes = tuple(shape for shapes in self._sizes(values).values() for shape in shapes)
        return Form(form.shapes + sizes, form.values, form.variables)

    def _sizes(self, values: Values) -> Sizes:
        return {op: _output_shapes(op, values) for op in self._step.sized}

    def _make(self, values: Values) -> _Way:
        step = self._step
        while True:
            try:
                bound = self._bound(step, values) if _is_worth_a_plan(step) else None
                break
            except NeedsFeedValues as request:
                asked = {self._signature.feeds.index(tensor) for tensor in request.tensors}
                if asked <= self._signature.needs_value:
                    raise
                self._signature.needs_value |= asked
            except NeedsVariableShapes as request:
                self._signature.variables |= request.names
            except NeedsStepping as request:
                unit = self._progress.unit_of(request.op)
                if isinstance(unit, Operation) or self._progress.on_host(unit):
                    raise
                self._progress = replace(self._progress, stepped=self._progress.stepped | {unit})
                step = self._narrowed()
            except NeedsComputedValue as request:
                demands = {**self._progress.demands, request.op: frozenset(request.tensors)}
                demands[request.op] |= self._progress.demands.get(request.op, frozenset())
                self._progress = replace(self._progress, demands=demands)
                step = self._narrowed()
        seen = self._seen | set(step.outputs)
        hosts = [self._host_step(op, seen) for op in step.host_ops]
        after = self._progress.after(step)
        following = None if after.is_over() else _Junction(after, self._maker, seen, self._valid)
        way = _Way(step, bound, hosts, following)
        if len(self._ways) >= _MOST_FORMS:
            del self._ways[next(iter(self._ways))]
        self._ways[self._form(values)] = way
        return way

    def _host_step(self, unit: Unit, seen: frozenset[Crossing]) -> AnyStep:
        store, resources = self._maker.store, self._maker.resources
        if isinstance(unit, Operation):
            return HostStep(unit, store, resources, seen)

        def run_of(
            fetches: Sequence[Tensor], valid: int, feeds: Sequence[Tensor], ops: Sequence[Operation]
        ) -> RunArrays:
            return SegmentedRun(Signature(tuple(fetches), (), tuple(feeds)), self._maker, ops, valid).arrays

        sources = {t: source_of(t, unit.ops[0], store, seen) for t in unit._inputs if not is_of_variable(t)}
        return RegionStep(unit, sources, run_of, self._valid)

    def _narrowed(self) -> Step:
        """The step without what has to wait for a value. What earlier ways are keyed by stays the same."""
        step = self._progress.next()
        assert set(step.feeds) <= set(self._step.feeds)
        assert set(step.sized) <= set(self._step.sized)
        return step

    def _bound(self, step: Step, values: Values) -> BoundPlan:
        form = self._form(values)
        feeds = [
            FeedSpec(tensor, values[tensor].shape, self._signature.value(form, self._signature.feeds.index(tensor)))
            for tensor in step.feeds
        ]
        shapes = {state: values[state].shape for state in step.states}
        sizes = {op: _output_shapes(op, values) for op in step.sized}
        return self._maker.bind(self._signature, form, feeds, segment_of(self._progress, step, shapes, sizes))


class _Way:
    """One way on from a junction: a plan, if there is native work, then ops of the host."""

    def __init__(self, step: Step, bound: BoundPlan | None, hosts: list[AnyStep], following: _Junction | None) -> None:
        self.bound, self.hosts, self.next = bound, hosts, following
        self._inputs: tuple[Crossing, ...] = (*step.feeds, *step.states)
        self._outputs = [(crossing, is_two_fetches(crossing)) for crossing in step.outputs]

    def run(self, values: Values, trace: list[TracePart] | None) -> None:
        if self.bound is not None:
            arrays = [values[key] for key in self._inputs]
            if trace is None:
                results = self.bound.arrays(arrays)
            else:
                results, times = self.bound.arrays_traced(arrays)
                trace.append(times)
            self._store(values, results)
        for step in self.hosts:
            if trace is None:
                step.run(values)
            else:
                trace.append(step.run_timed(values))

    def reshaped(self) -> frozenset[str]:
        """Variables that its plan reads, and that have other shapes now."""
        return frozenset() if self.bound is None else self.bound.reshaped()

    def _store(self, values: Values, results: Sequence[Array]) -> None:
        arrived = iter(results)
        for crossing, is_bounded in self._outputs:
            array = next(arrived)
            values[crossing] = _rows(array, int(next(arrived))) if is_bounded else array

    def parts(self) -> list[Plan | Operation]:
        plans = [] if self.bound is None else [self.bound.plan]
        return [*plans, *(step.op for step in self.hosts)]


_NO_FORM: Final = Form(())


def _is_worth_a_plan(step: Step) -> bool:
    return bool(step.outputs or step.states) or any(op._type not in ("Const", "Variable", "NoOp") for op in step.ops)


def _rows(array: Array, count: int) -> Array:
    """The first `count` rows."""
    part: Array = array[:count]
    return part.copy() if len(array) > _SHRINKS * count else part


def _output_shapes(op: Operation, values: Mapping[Any, Array]) -> tuple[tuple[int, ...], ...]:
    rule = size_rule(op._type, op._attrs)
    assert rule is not None
    known = {index: _value(op._inputs[index], values) for index in rule.inputs}
    shapes = [_shape(tensor, values) for tensor in op._inputs]
    try:
        return tuple(tuple(shape) for shape in rule.function(op._attrs, shapes, known))
    except OpError as error:
        if error.op is None:
            raise type(error)(None, op, error.message) from None  # type: ignore[call-arg]
        raise


def _shape(tensor: Tensor, values: Mapping[Any, Array]) -> tuple[int, ...]:
    if tensor in values:
        return values[tensor].shape
    return tuple(size for size in tensor._shape.tuple or () if size is not None)


def _value(tensor: Tensor, values: Mapping[Any, Array]) -> Array:
    return tensor._op._attrs["value"] if tensor._op._type == "Const" and tensor not in values else values[tensor]
