"""The device memory of one plan: one block, laid out here, and pinned host memory for what goes in and out.

arena      temporaries, as the plan laid them out
constants  each at a multiple of 256 bytes
words      all argument blocks, addresses filled in
feeds      ─┐ copied to the device before a run
states      │ ─┐ the session's words: random counters
status     ─┘  │ the error record
fetches       ─┘ copied to the host after it
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from math import prod
from typing import Final

import numpy as np

from flowc.codegen.plan import Plan, Space, TensorSpec
from flowc.runtime.buffers import address_of
from flowc.runtime.cuda.driver import Array, DeviceMemoryError, Gpu
from flowc.runtime.executor import numpy_dtype

ALIGNMENT: Final = 256
STATUS_WORDS: Final = 4


def size_of(spec: TensorSpec) -> int:
    """Bytes of a tensor."""
    return prod(spec.shape) * numpy_dtype(spec.dtype).itemsize


class DeviceMemory:
    """A plan's block on a GPU.

    Attributes: `feeds` and `fetches`, views of the pinned memory, one array a feed and a computed fetch; `states`, its
    state words, and `status`, its error record; `words`, the device address of the argument blocks.
    """

    def __init__(self, plan: Plan, gpu: Gpu) -> None:
        self._plan, self._gpu = plan, gpu
        self._end = 0
        self.arena = self._place(plan.arena_size)
        self._constants = [self._place(constant.nbytes) for constant in plan.constants]
        self.words = self._place(plan.words.nbytes)
        self._feeds = [self._place(size_of(spec)) for spec in plan.feeds]
        self._states = self._place(8 * len(plan.state_keys))
        self._status = self._place(8 * STATUS_WORDS)
        self._fetches = [self._place(size_of(spec)) for spec in plan.fetches if spec.source == "kernel"]
        self._first = self._feeds[0] if self._feeds else self._states
        self._staging = gpu.pinned(self._end - self._first)
        self.base = self._allocate()
        self.release = weakref.finalize(self, _give_back, gpu, self.base)  # at the latest when nobody has it any more
        kept = [spec for spec in plan.fetches if spec.source == "kernel"]
        self.feeds = [self._view(at, spec) for at, spec in zip(self._feeds, plan.feeds, strict=True)]
        self.fetches = [self._view(at, spec) for at, spec in zip(self._fetches, kept, strict=True)]
        self.states = self._view(self._states, TensorSpec("states", "int64", (len(plan.state_keys),)))
        self.status = self._view(self._status, TensorSpec("status", "int64", (STATUS_WORDS,)))
        held = [np.ascontiguousarray(constant) for constant in plan.constants]
        for at, constant in zip(self._constants, held, strict=True):
            gpu.upload(self.base + at, address_of(constant), constant.nbytes)
        gpu.synchronize()

    def _place(self, size: int) -> int:
        place = self._end
        self._end += -(-size // ALIGNMENT) * ALIGNMENT
        return place

    def _allocate(self) -> int:
        try:
            return self._gpu.allocate(self._end)
        except DeviceMemoryError as error:
            name, index = self._gpu.info.name, self._gpu.info.index
            raise DeviceMemoryError(f"/gpu:{index} ({name}) cannot allot {self._end:,} bytes: {error}") from None

    def _view(self, at: int, spec: TensorSpec) -> Array:
        dtype = numpy_dtype(spec.dtype)
        start = at - self._first
        part: Array = self._staging[start : start + size_of(spec)].view(dtype).reshape(spec.shape)
        return part

    def feed_address(self, index: int) -> int:
        """Where feed `index` lies on the device."""
        return self.base + self._feeds[index]

    def relocate(self, variables: Sequence[int]) -> None:
        """Writes the argument blocks, with the variables at these addresses."""
        words = self._plan.words.copy()
        for word, space, index in self._plan.relocations.tolist():
            words[word] += variables[index] if space == Space.VARIABLE else self.base + self._start(space, index)
        self._gpu.upload(self.base + self.words, address_of(words), words.nbytes)
        self._gpu.synchronize()

    def _start(self, space: int, index: int) -> int:
        """Where in the block a space starts that relocations name."""
        if space == Space.FETCH:
            return self._fetches[sum(spec.source == "kernel" for spec in self._plan.fetches[:index])]
        places = {Space.CONSTANT: self._constants, Space.FEED: self._feeds}
        if Space(space) in places:
            return places[Space(space)][index]
        return {Space.ARENA: self.arena, Space.STATUS: self._status, Space.STATE: self._states + 8 * index}[
            Space(space)
        ]

    def upload(self) -> None:
        """Asks for what goes in: feeds, state words, and an empty error record."""
        end = self._status + 8 * STATUS_WORDS
        self._gpu.upload(self.base + self._first, address_of(self._staging), end - self._first)

    def download(self) -> None:
        """Asks for what comes out: state words, the error record, fetches."""
        start = self._states - self._first
        size = self._end - self._states
        self._gpu.download(address_of(self._staging) + start, self.base + self._states, size)

    def download_status(self) -> None:
        """Asks for the error record alone."""
        start = self._status - self._first
        self._gpu.download(address_of(self._staging) + start, self.base + self._status, 8 * STATUS_WORDS)


def _give_back(gpu: Gpu, address: int) -> None:
    gpu.enter()
    gpu.free(address)
