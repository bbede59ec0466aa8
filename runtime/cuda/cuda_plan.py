"""One plan bound to a GPU: what goes in and comes out of its runs, and whose variables are where.

The usual run is the quick one: the same plan, and no variable moved since the last run. It brings feeds, replays, and
takes fetches; all else is looked up beforehand.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import numpy as np

from flowc.codegen.cuda.geometry import geometry_of
from flowc.codegen.cuda.library_words import is_library_call
from flowc.codegen.cuda.target import CudaTarget
from flowc.codegen.plan import RESHAPED, Column, Kernel, Plan, Space
from flowc.framework.errors import UnimplementedError
from flowc.framework.graph import Graph, Operation
from flowc.runtime import run_errors
from flowc.runtime.bound_plan import DECLINED, FastRun
from flowc.runtime.cuda.captured_steps import Action, CapturedSteps
from flowc.runtime.cuda.device_arrays import FedArray
from flowc.runtime.cuda.device_memory import DeviceMemory
from flowc.runtime.cuda.device_results import DeviceArray
from flowc.runtime.cuda.driver import Array, DriverError, Gpu
from flowc.runtime.cuda.exchange import Blocks, Exchange
from flowc.runtime.cuda.modules import images
from flowc.runtime.cuda.residents import Resident
from flowc.runtime.cuda.session_variables import SessionVariables
from flowc.runtime.cuda.vendor_libraries import LibraryCalls
from flowc.runtime.executor import KernelFault, numpy_dtype
from flowc.runtime.fetches import Fetches, as_result
from flowc.runtime.trace import PlanTimes, TracePart
from flowc.runtime.variables_store import VariableStore

_HOST_SPACES: Final = (Space.SYMBOL, Space.TAPE, Space.STACK, Space.RUNTIME)


def why_not_on_gpu(plan: Plan) -> str:
    """What keeps a plan from running on a GPU; empty if nothing does."""
    if any(spec.name.endswith(RESHAPED) for spec in plan.variables):
        return "a variable changes its shape"
    if any(spec.dtype == "string" for spec in (*plan.feeds, *plan.fetches, *plan.variables)):
        return "it has strings"
    spaces = {Space(space) for space in plan.relocations[:, 1].tolist()}
    host = [space.name.lower() for space in _HOST_SPACES if space in spaces]
    return f"its kernels use what only the host has: {', '.join(host)}" if host else ""


class CudaPlan:
    """A plan in a session, on a GPU. It is used as `bound_plan.BoundPlan` is. Threads take turns."""

    def __init__(self, plan: Plan, gpu: Gpu, variables: SessionVariables, store: VariableStore, graph: Graph) -> None:
        reason = why_not_on_gpu(plan)
        if reason:
            raise UnimplementedError(None, None, f"This run has no GPU plan: {reason}.")
        self.plan, self._gpu, self._store, self._graph = plan, gpu, store, graph
        self._shared, self._residents = variables, variables.on(gpu)
        self._keeps = bool(plan.variables or plan.state_keys)  # whether runs take the store's lock
        generated = [kernel for kernel in plan.kernels if not is_library_call(kernel)]
        codes = images(generated, CudaTarget(gpu.info.capability))
        with gpu.lock, run_errors.on_gpu(graph, plan, gpu.info):
            gpu.enter()
            self._bind(dict(zip(generated, codes, strict=True)))
        self._epoch = -1  # of the store, when variables were looked up last
        self._settled = -1  # the count of changes of places when all was where this plan's runs leave it
        self._read: list[Resident] = []
        self._written: list[Resident] = []
        self._words: list[ctypes.c_int64] = []  # of the session: state words

    def _bind(self, codes: Mapping[Kernel, bytes]) -> None:
        """Loads kernels, and allots memory."""
        plan, gpu = self.plan, self._gpu
        functions = {kernel: gpu.load(code, kernel) for kernel, code in codes.items()}
        self._calls = LibraryCalls(plan, gpu)
        self.memory = DeviceMemory(plan, gpu, self._calls.workspace)
        launches = [self._launch(functions, *numbered) for numbered in enumerate(plan.entries.tolist())]
        self._steps = CapturedSteps(plan, gpu, self.memory, launches)
        self._exchange = Exchange(plan, gpu, self.memory, self._residents.pool, self._graph)

    def _launch(self, functions: Mapping[Kernel, int], number: int, entry: Sequence[int]) -> Action:
        """What asks for the launch of an entry of the plan."""
        calls, memory = self._calls, self.memory
        if number in calls:
            return lambda: calls.launch(number, memory.staged_words.tolist(), memory.workspace)
        kernel, units = self.plan.kernels[entry[Column.KERNEL]], entry[Column.UNITS]
        geometry = geometry_of(kernel.source, units, self._gpu.info.multiprocessors)
        block = memory.base + memory.words + 8 * entry[Column.ARGS]
        return partial(self._gpu.launch, functions[kernel], geometry, block, units)

    # -- as a bound plan -----------------------------------------------------------------------------------------------

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """The fetched values. Raises the public errors; variables are then as they were."""
        return [as_result(array) for array in self.arrays(arrays)]

    def arrays(self, arrays: Sequence[Any]) -> list[Array]:
        """The same, scalars as arrays."""
        with self._locked():
            self._run(arrays, ())
            return self._exchange.fetched(arrays)

    def run_on_device(self, arrays: Sequence[Any]) -> list[DeviceArray]:
        """The fetched values, which stay on the GPU."""
        with self._locked():
            blocks = self._exchange.blocks()
            self._run(arrays, blocks)
            return self._exchange.kept(arrays, blocks)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """For a run: with all locks held, the GPU entered, and errors made public ones."""
        info = self._gpu.info
        with self._shared.turn:
            self._check()
            with self._store.lock.held(), self._gpu.lock, run_errors.on_gpu(self._graph, self.plan, info):
                self._gpu.enter()
                yield

    def run_traced(self, arrays: Sequence[Any]) -> tuple[list[Any], list[TracePart]]:
        """The same as `run`; the times are those of the whole run, since a graph's launches have none of their own."""
        results, part = self.arrays_traced(arrays)
        return [as_result(array) for array in results], [part]

    def arrays_traced(self, arrays: Sequence[Any]) -> tuple[list[Array], PlanTimes]:
        """The same as `arrays`, with times as those of `run_traced`."""
        start = time.monotonic_ns()
        results = self.arrays(arrays)
        times = np.tile(np.array([start, time.monotonic_ns()], np.int64), (len(self.plan.entries), 1))
        return results, PlanTimes(self.plan, times)

    def reshaped(self) -> frozenset[str]:
        """Variables that it reads, and that have other shapes now: it cannot run."""
        return self._store.reshaped(self.plan)

    def parts(self) -> list[Plan | Operation]:
        """What a run does."""
        return [self.plan]

    def fast_run(self, fetches: Fetches, on_device: bool = False) -> FastRun:
        """A function of the fed values that gives what the user gets, or DECLINED for what is not the usual run.

        `on_device`: fetched values stay on the GPU.
        """
        expected = [(spec.shape, numpy_dtype(spec.dtype), spec) for spec in self.plan.feeds]
        count, quick, build, ndarray = len(expected), self._quick, fetches.build, np.ndarray

        def run(values: Iterable[Any]) -> Any:
            fed = list(values)
            if len(fed) != count:
                return DECLINED
            for index, (shape, dtype, spec) in enumerate(expected):
                value = fed[index]
                kind = type(value)
                if kind is not ndarray and kind is not FedArray:
                    if kind is not DeviceArray or value.kind != spec.dtype:
                        return DECLINED
                    fed[index] = value.as_feed(spec.name)
                if value.shape != shape or value.dtype != dtype:
                    return DECLINED
            results = quick(fed, on_device)
            return DECLINED if results is None else build(results)

        return run

    def _check(self) -> None:
        missing = self._store.uninitialized(self.plan.variables)
        if missing:
            known = self._store.initialized_names()
            initializes = any(spec.writes and spec.name not in known for spec in self.plan.variables)
            raise run_errors.uninitialized(self._graph, missing, initializes)
        try:
            self._store.prepare(self.plan)
        except ValueError as error:
            raise run_errors.changed_variable(self._graph, error) from None

    # -- the usual run -------------------------------------------------------------------------------------------------

    def _quick(self, fed: Sequence[Any], on_device: bool) -> list[Any] | None:
        """The fetched values, feeds being as planned; None if something is not where the last run left it."""
        with self._shared.turn:
            if not self._keeps:
                return self._replayed(fed, on_device)
            self._store.lock.acquire()
            try:
                return self._replayed(fed, on_device)
            finally:
                self._store.lock.release()

    def _replayed(self, fed: Sequence[Any], on_device: bool) -> list[Any] | None:
        if self._settled != self._shared.changes or self._epoch != self._store.lock.epoch:
            return None
        exchange, check = self._exchange, self._steps.check
        with self._gpu.lock:
            try:
                self._gpu.enter()
                blocks = exchange.blocks() if on_device else ()
                replays = self._steps.replays(exchange.bring(fed, blocks))
                if replays is None:
                    return None
                self._take_states()
                for replay in replays:
                    replay()
                    check()
            except (KernelFault, DriverError, MemoryError) as error:
                raise run_errors.of_gpu(self._graph, self.plan, self._gpu.info, error) from None
            self._keep_states()
            return exchange.kept(fed, blocks) if on_device else [as_result(array) for array in exchange.fetched(fed)]

    def _take_states(self) -> None:
        for number, word in enumerate(self._words):
            self.memory.states[number] = word.value

    def _keep_states(self) -> None:
        for number, word in enumerate(self._words):
            word.value = self.memory.states.item(number)

    # -- any run -------------------------------------------------------------------------------------------------------

    def _run(self, arrays: Sequence[Any], blocks: Blocks) -> None:
        """A run; fetches stay in `blocks`, if there are any. With all locks held."""
        self._settled = -1
        self._bring_variables()
        self._take_states()
        self._steps.run(self._exchange.bring(arrays, blocks))
        for resident in self._written:
            resident.newest = "device"
        if self._shared.are_on_several:
            self._shared.written((spec.name for spec in self.plan.variables if spec.writes), self._residents)
        self._keep_states()
        self._store.mark_written(self.plan)
        self._settled = self._shared.changes

    def _bring_variables(self) -> None:
        """Variables, where they are not on the device already."""
        if self._epoch != self._store.lock.epoch:
            self._find_variables()
        if self._shared.are_on_several:
            self._shared.gather([spec.name for spec in self.plan.variables], self._residents)
        self._residents.bring_in(self._read)

    def _find_variables(self) -> None:
        """Looks variables up after memory of some has changed; what was captured may have their old addresses."""
        variables = self.plan.variables
        found = self._residents.find(variables)
        self._read = [resident for spec, resident in zip(variables, found, strict=True) if spec.reads]
        self._written = [resident for spec, resident in zip(variables, found, strict=True) if spec.writes]
        self._words = [ctypes.c_int64.from_address(self._store.state_address(key)) for key in self.plan.state_keys]
        if self.memory.blocks.point(Space.VARIABLE, [resident.address for resident in found]):
            self._steps.forget()
        self._epoch = self._store.lock.epoch
