"""One plan bound to a GPU: its first run launches it as it stands; it is then captured, and from then on replayed.

A run whose kernels can report an error, and that writes variables, is two graphs: the host looks at the error record
between what may fail and what overwrites.
"""

from __future__ import annotations

import ctypes
import time
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from flowc.codegen.cuda.geometry import Geometry, geometry_of
from flowc.codegen.cuda.target import CudaTarget
from flowc.codegen.plan import RESHAPED, Column, Plan, Space
from flowc.framework.errors import InternalError, UnimplementedError
from flowc.framework.graph import Graph, Operation
from flowc.runtime import run_errors
from flowc.runtime.bound_plan import DECLINED, FastRun
from flowc.runtime.cuda.device_arrays import DeviceArray
from flowc.runtime.cuda.device_memory import DeviceMemory
from flowc.runtime.cuda.driver import Array, DriverError, Gpu
from flowc.runtime.cuda.modules import images
from flowc.runtime.cuda.residents import Resident
from flowc.runtime.cuda.session_variables import SessionVariables
from flowc.runtime.executor import KernelFault, numpy_dtype
from flowc.runtime.fetches import Fetches, as_result
from flowc.runtime.trace import PlanTimes, TracePart
from flowc.runtime.variables_store import VariableStore

Launch = tuple[int, Geometry, int, int]  # function, blocks and threads, argument block's place, units
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
        gpu.enter()
        codes = images(plan.kernels, CudaTarget(gpu.info.capability))
        self._functions = [gpu.load(code, kernel) for code, kernel in zip(codes, plan.kernels, strict=True)]
        try:
            self.memory = DeviceMemory(plan, gpu)
        except MemoryError as error:
            raise run_errors.out_of_memory(graph, plan, error) from None
        self._launches = [self._launch(entry) for entry in plan.entries.tolist()]
        guarded = [i for i, entry in enumerate(plan.entries.tolist()) if entry[Column.GUARD]]
        split = guarded[0] if guarded and plan.errors else 0
        every = range(len(self._launches))
        self._steps = [every[:split], every[split:]] if split else [every]
        self._names = [spec.name for spec in plan.variables]
        self._addresses: list[int] | None = None  # of variables, as argument blocks have them
        self._epoch = -1  # of the store, when variables were looked up last
        self._read: list[Resident] = []
        self._written: list[Resident] = []
        self._graphs = [0] * len(self._steps)  # 0: not captured yet
        weakref.finalize(self, _forget, gpu, self._graphs)
        self._runs = 0

    def _launch(self, entry: Sequence[int]) -> Launch:
        kernel, units = entry[Column.KERNEL], entry[Column.UNITS]
        geometry = geometry_of(self.plan.kernels[kernel].source, units, self._gpu.info.multiprocessors)
        return self._functions[kernel], geometry, self.memory.base + self.memory.words + 8 * entry[Column.ARGS], units

    # -- as a bound plan -----------------------------------------------------------------------------------------------

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """The fetched values. Raises the public errors; variables are then as they were."""
        return [as_result(array) for array in self.arrays(arrays)]

    def arrays(self, arrays: Sequence[Any]) -> list[Array]:
        """The same, scalars as arrays."""
        with self._shared.turn:
            self._check()
            with self._store.lock.held():
                return self._run(arrays)

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

    def fast_run(self, fetches: Fetches) -> FastRun:
        """A function of the fed values that gives what the user gets, or DECLINED for values other than as planned."""
        expected = [(spec.shape, numpy_dtype(spec.dtype)) for spec in self.plan.feeds]

        def run(values: Iterable[Any]) -> Any:
            fed = list(values)
            if len(fed) != len(expected):
                return DECLINED
            for value, (shape, dtype) in zip(fed, expected, strict=True):
                if type(value) is not np.ndarray or value.shape != shape or value.dtype != dtype:
                    return DECLINED
            return fetches.build(self.run(fed))

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

    # -- running -------------------------------------------------------------------------------------------------------

    def _run(self, arrays: Sequence[Any]) -> list[Array]:
        self._gpu.enter()
        try:
            self._bring_in(arrays)
            self._go()
        except KernelFault as fault:
            raise run_errors.of_fault(self._graph, fault) from None
        except DriverError as error:
            raise InternalError(None, None, f"/gpu:{self._gpu.info.index}: {error}") from None
        except MemoryError as error:
            raise run_errors.out_of_memory(self._graph, self.plan, error) from None
        for resident in self._written:
            resident.newest = "device"
        if self._shared.are_on_several:
            self._shared.written((spec.name for spec in self.plan.variables if spec.writes), self._residents)
        self._keep_states()
        self._store.mark_written(self.plan)
        return self._fetched(arrays)

    def _bring_in(self, arrays: Sequence[Any]) -> None:
        """Argument blocks, variables, feeds and state words, where they are not on the device already."""
        if self._epoch != self._store.lock.epoch:
            self._find_variables()
        if self._shared.are_on_several:
            self._shared.gather(self._names, self._residents)
        self._residents.bring_in(self._read)
        self.memory.status[:] = 0
        for number, key in enumerate(self.plan.state_keys):
            self.memory.states[number] = _word_at(self._store.state_address(key))
        on_device = []
        for index, (staged, fed) in enumerate(zip(self.memory.feeds, arrays, strict=True)):
            if isinstance(fed, DeviceArray):
                on_device.append((index, fed))
            else:
                staged[...] = fed
        if self.plan.feeds or self.plan.state_keys or self.plan.errors:
            self.memory.upload()
        for index, fed in on_device:
            self._gpu.copy(self.memory.feed_address(index), fed.address, fed.nbytes)

    def _find_variables(self) -> None:
        """Looks variables up after memory of some has changed, and writes argument blocks with their addresses."""
        variables = self.plan.variables
        found = self._residents.find(variables)
        self._read = [resident for spec, resident in zip(variables, found, strict=True) if spec.reads]
        self._written = [resident for spec, resident in zip(variables, found, strict=True) if spec.writes]
        addresses = [resident.address for resident in found]
        if addresses != self._addresses:
            self.memory.relocate(addresses)
            self._addresses = addresses
        self._epoch = self._store.lock.epoch

    def _go(self) -> None:
        """A run in steps, each launched, then captured, then replayed; errors are looked for after each."""
        self._runs += 1
        for number in range(len(self._steps)):
            if self._graphs[number]:
                self._gpu.replay(self._graphs[number])
            else:
                self._ask(number)
            self._gpu.synchronize()
            self._raise_fault()
        if self._runs == 1:
            self._graphs[:] = [self._captured(number) for number in range(len(self._steps))]

    def _captured(self, number: int) -> int:
        self._gpu.begin_capture()
        self._ask(number)
        return self._gpu.end_capture()

    def _ask(self, number: int) -> None:
        """Asks for one step's launches, and for what comes out."""
        for index in self._steps[number]:
            self._gpu.launch(*self._launches[index])
        if number == len(self._steps) - 1:
            self.memory.download()
        else:
            self.memory.download_status()

    def _raise_fault(self) -> None:
        error, *details = self.memory.status.tolist()
        if error and self.plan.errors:  # else nobody has written the record, not even 0
            raise KernelFault(error - 1, self.plan.errors[error - 1], (details[0], details[1], details[2]))

    def _keep_states(self) -> None:
        for number, key in enumerate(self.plan.state_keys):
            _set_word_at(self._store.state_address(key), int(self.memory.states[number]))

    def _fetched(self, arrays: Sequence[Any]) -> list[Array]:
        computed = iter(self.memory.fetches)
        known: dict[str, Sequence[Any]] = {"constant": self.plan.constants, "feed": arrays}
        return [
            (next(computed) if fetch.source == "kernel" else known[fetch.source][fetch.index]).copy()
            for fetch in self.plan.fetches
        ]


def _forget(gpu: Gpu, graphs: list[int]) -> None:
    """Gives graphs back."""
    gpu.enter()
    for graph in filter(None, graphs):
        gpu.forget(graph)


def _word_at(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _set_word_at(address: int, value: int) -> None:
    ctypes.c_int64.from_address(address).value = value
