"""A plan in one session: bound to the session's variables, with its errors made public ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowc.codegen.plan import RESHAPED, FetchSpec, Plan
from flowc.framework.graph import Graph, Operation
from flowc.runtime import run_errors
from flowc.runtime.executor import Executable, KernelFault
from flowc.runtime.fetches import Fetches, as_result
from flowc.runtime.trace import PlanTimes, TracePart
from flowc.runtime.variables_store import VariableStore

Array = npt.NDArray[Any]
Results = list[Any]
FastRun = Callable[[Iterable[Any]], Any]

DECLINED: Final = object()  # a fast run's answer when the arrays are not exactly as planned, or memory moved


def decline(values: Iterable[Any]) -> Any:
    """The fast run of a request that has none yet."""
    return DECLINED


class BoundPlan:
    """One plan, ready to run in a session."""

    def __init__(self, plan: Plan, addresses: Sequence[int], store: VariableStore, graph: Graph) -> None:
        self.plan, self._store, self._graph = plan, store, graph
        self._has_variables = bool(plan.variables)
        self._reshapes = any(spec.name.endswith(RESHAPED) for spec in plan.variables)
        self._prepare()
        try:
            self.executable = Executable(plan, addresses, store)
        except MemoryError as error:
            raise run_errors.out_of_memory(graph, plan, error) from None

    def run(self, arrays: Sequence[Array]) -> Results:
        """The fetched values. Raises the public errors; variables are then as they were."""
        return [as_result(array) for array in self.arrays(arrays)]

    def arrays(self, arrays: Sequence[Array]) -> list[Array]:
        """The same, scalars as arrays."""
        if self._has_variables:
            self._check()
        try:
            results = self.executable.call(*arrays)
        except KernelFault as fault:
            raise run_errors.of_fault(self._graph, fault) from None
        except MemoryError as error:
            raise run_errors.out_of_memory(self._graph, self.plan, error) from None
        if self._has_variables:
            self._store.mark_written(self.plan)
        return results

    def run_traced(self, arrays: Sequence[Array]) -> tuple[Results, list[TracePart]]:
        """The same as `run`, and when each entry of the tape ran."""
        results, part = self.arrays_traced(arrays)
        return [as_result(array) for array in results], [part]

    def arrays_traced(self, arrays: Sequence[Array]) -> tuple[list[Array], PlanTimes]:
        """The same as `arrays`, and when each entry of the tape ran."""
        self._check()
        try:
            results, times = self.executable.run_timed(arrays)
        except KernelFault as fault:
            raise run_errors.of_fault(self._graph, fault) from None
        except MemoryError as error:
            raise run_errors.out_of_memory(self._graph, self.plan, error) from None
        self._store.mark_written(self.plan)
        return results, PlanTimes(self.plan, times)

    def reshaped(self) -> frozenset[str]:
        """Variables that it reads, and that have other shapes now: it cannot run."""
        return self._store.reshaped(self.plan) if self._has_variables else frozenset()

    def parts(self) -> list[Plan | Operation]:
        """What a run does, in order, as far as it is known: plans, and ops of the host."""
        return [self.plan]

    def fast_run(self, fetches: Fetches) -> FastRun:
        """A function of the fed values that gives what the user gets, or DECLINED. After a run with this plan only."""
        executable, specs = self.executable, self.plan.fetches
        if self._reshapes:  # a variable takes its new value in Python
            return decline
        if fetches.flat is not None and all(spec.source == "kernel" for spec in specs):
            if fetches.is_single and not specs:
                return self._without_results(executable.entry)
            if fetches.is_single and not executable.outputs[0].is_large:
                return self._of_one(executable.entry, specs[0])
            return self._of_many(fetches)
        return self._of_any(fetches)

    def _check(self) -> None:
        missing = self._store.uninitialized(self.plan.variables)
        if missing:
            known = self._store.initialized_names()
            initializes = any(spec.writes and spec.name not in known for spec in self.plan.variables)
            raise run_errors.uninitialized(self._graph, missing, initializes)
        self._prepare()

    def _prepare(self) -> None:
        try:
            self._store.prepare(self.plan)
        except ValueError as error:
            raise run_errors.changed_variable(self._graph, error) from None

    def _not_run(self, answer: bool | None) -> Any:
        """What a fast run says when the builtin did not answer True."""
        if answer is None:
            raise run_errors.of_fault(self._graph, self.executable.take_fault())
        return DECLINED

    def _makers(self) -> list[Callable[[], Array]]:
        """A function a computed fetch that gives an array for it."""
        outputs = self.executable.outputs
        return [output.take if output.is_large else partial(np.empty, output.shape, output.dtype) for output in outputs]

    # -- fast runs: written out for the common cases, since each attribute and call costs some 30 ns -------------------

    def _without_results(self, entry: Callable[..., bool | None]) -> FastRun:
        not_run = self._not_run

        def run(values: Iterable[Any]) -> Any:
            answer = entry(*values)
            return None if answer else not_run(answer)

        return run

    def _of_one(self, entry: Callable[..., bool | None], spec: FetchSpec) -> FastRun:
        not_run, empty = self._not_run, np.empty
        shape, dtype = spec.shape, self.executable.outputs[0].dtype

        def run_array(values: Iterable[Any]) -> Any:
            output = empty(shape, dtype)
            answer = entry(*values, output)
            return output if answer else not_run(answer)

        def run_scalar(values: Iterable[Any]) -> Any:
            output = empty((), dtype)
            answer = entry(*values, output)
            return output[()] if answer else not_run(answer)

        return run_array if shape else run_scalar

    def _of_many(self, fetches: Fetches) -> FastRun:
        not_run, entry, makers = self._not_run, self.executable.entry, self._makers()
        assert fetches.flat is not None
        picks = [(index, index >= 0 and not self.plan.fetches[index].shape) for index in fetches.flat]
        is_single = fetches.is_single

        def run(values: Iterable[Any]) -> Any:
            made = [make() for make in makers]
            answer = entry(*values, *made)
            if not answer:
                return not_run(answer)
            if is_single:
                return made[0]
            return [None if i < 0 else made[i][()] if is_scalar else made[i] for i, is_scalar in picks]

        return run

    def _of_any(self, fetches: Fetches) -> FastRun:
        not_run, entry, makers, build = self._not_run, self.executable.entry, self._makers(), fetches.build

        def run(values: Iterable[Any]) -> Any:
            fed = tuple(values)
            made = [make() for make in makers]
            answer = entry(*fed, *made)
            if not answer:
                return not_run(answer)
            return build([as_result(array) for array in self.executable.fetched(fed, made)])

        return run
