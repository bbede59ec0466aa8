"""The argument blocks of a plan's launches, with addresses in them.

They lie on the device, so that a captured graph goes on to be good when an address in them changes: a feed or a fetch
can be memory that the user brings or takes, without a copy. What a library is called with is another matter: it reads
its arguments on the host, when the graph is captured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from flowc.codegen.cuda.library_words import is_library_call
from flowc.codegen.plan import Column, Plan, Space
from flowc.runtime.buffers import Words

_SPACES: Final = (Space.ARENA, Space.STATUS, Space.CONSTANT, Space.STATE, Space.VARIABLE, Space.FEED, Space.FETCH)
_SINGLE: Final = (Space.ARENA, Space.STATUS)  # relocations that point there have no index


class ArgumentBlocks:
    """The words of a plan, written to `staged`, which is memory of the host."""

    def __init__(self, plan: Plan, staged: Words, places: Mapping[Space, Sequence[int]]) -> None:
        """`places`: the addresses in each space; variables may be told later, by `point`."""
        self._plan, self._staged = plan, staged
        counts = [len(places[space]) for space in _SPACES]
        starts = [sum(counts[:number]) for number in range(len(counts))]
        self._ranges = {s: slice(at, at + n) for s, at, n in zip(_SPACES, starts, counts, strict=True)}
        self._table = np.array([at for space in _SPACES for at in places[space]], np.int64)
        relocations = plan.relocations.reshape(-1, 3).tolist()
        self._where = np.array([word for word, _, _ in relocations], np.int64)
        self._rows = np.array([self._row(Space(space), index) for _, space, index in relocations], np.int64)
        self._offsets = plan.words[self._where]
        self._is_written = False
        staged[:] = plan.words
        called = _words_of_libraries(plan)
        self._baked = {(Space(space), index) for word, space, index in relocations if word in called}

    def _row(self, space: Space, index: int) -> int:
        return int(self._ranges[space].start) + (0 if space in _SINGLE else index)

    def can_point(self, space: Space, index: int) -> bool:
        """Whether a feed or a fetch may be elsewhere than in the plan's own memory."""
        return (space, index) not in self._baked

    def point(self, space: Space, addresses: Sequence[int]) -> bool:
        """Has a space's memory be at these addresses; whether it was elsewhere."""
        part = self._table[self._ranges[space]]
        if part.tolist() == list(addresses):
            return False
        part[:] = addresses
        self._is_written = False
        return True

    def write(self) -> bool:
        """Brings the words up to date; whether that changed any."""
        if self._is_written:
            return False
        self._staged[self._where] = self._offsets + self._table[self._rows]
        self._is_written = True
        return True


def _words_of_libraries(plan: Plan) -> frozenset[int]:
    """The words that libraries are called with."""
    starts = sorted({entry[Column.ARGS] for entry in plan.entries.tolist()})
    ends = dict(zip(starts, [*starts, len(plan.words)][1:], strict=True))
    calls = [entry for entry in plan.entries.tolist() if is_library_call(plan.kernels[entry[Column.KERNEL]])]
    return frozenset(word for call in calls for word in range(call[Column.ARGS], ends[call[Column.ARGS]]))
