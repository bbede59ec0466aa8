"""The device memory of one plan: one block, laid out here, and pinned host memory for what goes in and out.

arena      temporaries, as the plan laid them out
workspace  what calls of libraries work in, one at a time
constants  each at a multiple of 256 bytes
words      all argument blocks, addresses filled in: copied to the device when an address changes
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
from flowc.runtime.cuda.argument_blocks import ArgumentBlocks
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
    state words, and `status`, its error record; `words`, where in the block the argument blocks are, and
    `staged_words`, the same words on the host; `own_feeds` and `own_fetches`, where these lie on the device unless
    `point` says otherwise, and `constants`; `workspace`, where calls of libraries work; `can_be_fetched_to`, whether
    kernels can write a computed fetch to other memory.
    """

    def __init__(self, plan: Plan, gpu: Gpu, workspace: int = 0) -> None:
        self._plan, self._gpu = plan, gpu
        self._end = 0
        self.arena, work = self._place(plan.arena_size), self._place(workspace)
        constants = [self._place(constant.nbytes) for constant in plan.constants]
        self.words = self._place(plan.words.nbytes)
        feeds = [self._place(size_of(spec)) for spec in plan.feeds]
        self._states = self._place(8 * len(plan.state_keys))
        self._status = self._place(8 * STATUS_WORDS)
        kept = [spec for spec in plan.fetches if spec.source == "kernel"]
        fetches = [self._place(size_of(spec)) for spec in kept]
        self._results = fetches[0] if fetches else self._end
        self._staging = gpu.pinned(self._end - self.words)
        self._staging_address = address_of(self._staging)
        self.base = self._allocate()
        self.release = weakref.finalize(self, _give_back, gpu, self.base)  # at the latest when nobody has it any more
        self._feeds = feeds
        self.feeds = [self._view(at, spec) for at, spec in zip(feeds, plan.feeds, strict=True)]
        self.fetches = [self._view(at, spec) for at, spec in zip(fetches, kept, strict=True)]
        self.states = self._view(self._states, TensorSpec("states", "int64", (len(plan.state_keys),)))
        self.status = self._view(self._status, TensorSpec("status", "int64", (STATUS_WORDS,)))
        self.staged_words = self._view(self.words, TensorSpec("words", "int64", plan.words.shape))
        self.status[:] = 0
        self.own_feeds = tuple(self.base + at for at in feeds)
        self.own_fetches = tuple(self.base + at for at in fetches)
        self.constants = tuple(self.base + at for at in constants)
        self.workspace = self.base + work
        self._pointed = self.own_feeds, self.own_fetches
        self.blocks = self._blocks()
        computed = [index for index, spec in enumerate(plan.fetches) if spec.source == "kernel"]
        self.can_be_fetched_to = [self.blocks.can_point(Space.FETCH, index) for index in computed]
        self._bring_constants()

    def _place(self, size: int) -> int:
        place = self._end
        self._end += -(-size // ALIGNMENT) * ALIGNMENT
        return place

    def _allocate(self) -> int:
        try:
            return self._gpu.allocate(self._end)
        except DeviceMemoryError as error:
            raise DeviceMemoryError(f"the plan's block of {self._end:,} bytes: {error}") from None

    def _view(self, at: int, spec: TensorSpec) -> Array:
        dtype = numpy_dtype(spec.dtype)
        start = at - self.words
        part: Array = self._staging[start : start + size_of(spec)].view(dtype).reshape(spec.shape)
        return part

    def _blocks(self) -> ArgumentBlocks:
        states = self.base + self._states
        places: dict[Space, Sequence[int]] = {
            Space.ARENA: [self.base + self.arena],
            Space.STATUS: [self.base + self._status],
            Space.CONSTANT: self.constants,
            Space.STATE: [states + 8 * number for number in range(len(self._plan.state_keys))],
            Space.VARIABLE: [0] * len(self._plan.variables),
            Space.FEED: self.own_feeds,
            Space.FETCH: self._of_all_fetches(self.own_fetches),
        }
        return ArgumentBlocks(self._plan, self.staged_words, places)

    def _of_all_fetches(self, computed: Sequence[int]) -> list[int]:
        """Addresses of computed fetches as those of all fetches."""
        if len(computed) == len(self._plan.fetches):
            return list(computed)
        following = iter(computed)
        return [next(following) if spec.source == "kernel" else 0 for spec in self._plan.fetches]

    def _bring_constants(self) -> None:
        held = [np.ascontiguousarray(constant) for constant in self._plan.constants]
        for at, constant in zip(self.constants, held, strict=True):
            self._gpu.upload(at, address_of(constant), constant.nbytes)
        self._gpu.synchronize()

    # -- where things are ----------------------------------------------------------------------------------------------

    def point(self, feeds: tuple[int, ...], fetches: tuple[int, ...]) -> None:
        """Has kernels read feeds, and write computed fetches, at these addresses; multiples of 16 bytes."""
        if feeds != self._pointed[0]:
            self.blocks.point(Space.FEED, feeds)
        if fetches != self._pointed[1]:
            self.blocks.point(Space.FETCH, self._of_all_fetches(fetches))
        self._pointed = feeds, fetches

    def write_blocks(self) -> None:
        """Asks for the argument blocks to be copied, if an address in them has changed."""
        if self.blocks.write():
            self._gpu.upload(self.base + self.words, self._host(self.words), self.staged_words.nbytes)

    # -- what goes in and out: asked for once if it is captured --------------------------------------------------------

    def upload(self, on_device: int = 0) -> None:
        """Asks for what goes in: feeds but those of the bits in `on_device`, state words, and an empty error record."""
        places = [*self._feeds, self._states]
        parts = [(places[i], places[i + 1]) for i in range(len(self._feeds)) if not on_device >> i & 1]
        if self._plan.state_keys or self._plan.errors:
            parts.append((self._states, self._status + 8 * STATUS_WORDS))
        for start, end in _joined(parts):
            self._gpu.upload(self.base + start, self._host(start), end - start)

    def download(self, with_fetches: bool = True) -> None:
        """Asks for what comes out: state words and the error record, where there are any, and fetches."""
        has_words = bool(self._plan.state_keys or self._plan.errors)
        start = self._states if has_words else self._results
        end = self._end if with_fetches else self._results
        if start < end:
            self._gpu.download(self._host(start), self.base + start, end - start)

    def download_status(self) -> None:
        """Asks for the error record alone."""
        self._gpu.download(self._host(self._status), self.base + self._status, 8 * STATUS_WORDS)

    def _host(self, at: int) -> int:
        return self._staging_address + at - self.words


def _joined(parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges, those that adjoin made one."""
    joined: list[tuple[int, int]] = []
    for start, end in parts:
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        elif start < end:
            joined.append((start, end))
    return joined


def _give_back(gpu: Gpu, address: int) -> None:
    gpu.enter()
    gpu.free(address)
