"""What a plan asks of a GPU in a run: launched as it stands the first time, then captured, and replayed from then on.

A plan whose kernels can report an error, and that writes variables, is two steps: the host looks at the error record
between what may fail and what overwrites. Copies of feeds and fetches are part of the graphs; which there are is the
run's variant, and each variant has graphs of its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from flowc.codegen.plan import Column, Plan
from flowc.runtime.cuda.device_memory import DeviceMemory
from flowc.runtime.cuda.driver import DriverError, Gpu
from flowc.runtime.executor import KernelFault

Action = Callable[[], None]

_MOST_VARIANTS: Final = 8


class Variant(NamedTuple):
    """What goes over the bus in a run. `on_device`: a bit for each feed that does not; `with_fetches`: whether fetches
    come to the host."""

    on_device: int = 0
    with_fetches: bool = True


class CapturedSteps:
    """The launches of one plan, and the graphs that were made of them."""

    def __init__(self, plan: Plan, gpu: Gpu, memory: DeviceMemory, launches: Sequence[Action]) -> None:
        """`launches`: for each entry of the plan, what asks for it."""
        self._plan, self._gpu, self._memory, self._launches = plan, gpu, memory, launches
        guarded = [i for i, entry in enumerate(plan.entries.tolist()) if entry[Column.GUARD]]
        split = guarded[0] if guarded and plan.errors else 0
        self._parts = [range(split), range(split, len(launches))] if split else [range(len(launches))]
        self._replays: dict[Variant, list[Action]] = {}
        self._graphs: dict[Variant, list[int]] = {}
        weakref.finalize(self, _forget, gpu, self._graphs)

    def run(self, variant: Variant) -> None:
        """Does all steps and waits, with the GPU entered. Raises KernelFault and DriverError."""
        replays = self._replays.get(variant)
        if replays is None:
            self._launch(variant)
            self._capture(variant)
            return
        for replay in replays:
            replay()
            self.check()

    def replays(self, variant: Variant) -> Sequence[Action] | None:
        """What does each step of a variant that is captured. `check` is to be called after each."""
        return self._replays.get(variant)

    def check(self) -> None:
        """Raises KernelFault if the error record is not empty; it is then emptied."""
        errors, status = self._plan.errors, self._memory.status
        if not errors or not (error := status.item(0)):
            return
        details = status.item(1), status.item(2), status.item(3)
        status[:] = 0
        raise KernelFault(error - 1, errors[error - 1], details)

    def forget(self) -> None:
        """Gives the graphs back: what is captured in them has changed."""
        self._replays.clear()
        _forget(self._gpu, self._graphs)

    def _launch(self, variant: Variant) -> None:
        for number in range(len(self._parts)):
            self._ask(number, variant)
            self._gpu.synchronize()
            self.check()

    def _capture(self, variant: Variant) -> None:
        while len(self._graphs) >= _MOST_VARIANTS:
            oldest = next(iter(self._graphs))
            del self._replays[oldest]
            _forget(self._gpu, {oldest: self._graphs.pop(oldest)})
        graphs = self._graphs[variant] = [self._captured(number, variant) for number in range(len(self._parts))]
        self._replays[variant] = [self._gpu.replay(graph) for graph in graphs]

    def _captured(self, number: int, variant: Variant) -> int:
        self._gpu.begin_capture()
        try:
            self._ask(number, variant)
        except BaseException:
            with suppress(DriverError):  # of a capture that was spoilt
                self._gpu.forget(self._gpu.end_capture())
            raise
        return self._gpu.end_capture()

    def _ask(self, number: int, variant: Variant) -> None:
        """Asks for one step's launches, before the first for what goes in, after the last for what comes out."""
        if number == 0:
            self._memory.upload(variant.on_device)
        for index in self._parts[number]:
            self._launches[index]()
        if number == len(self._parts) - 1:
            self._memory.download(variant.with_fetches)
        else:
            self._memory.download_status()


def _forget(gpu: Gpu, graphs: dict[Variant, list[int]]) -> None:
    if graphs:
        gpu.enter()
    while graphs:
        for graph in graphs.popitem()[1]:
            gpu.forget(graph)
