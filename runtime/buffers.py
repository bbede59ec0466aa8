"""Memory that native code works on: aligned blocks, blocks that outlive the interpreter, and reused output arrays."""

from __future__ import annotations

import ctypes
import sys
from collections import deque

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
LARGE_OUTPUT = 1 << 20  # bytes: from here on, the page faults of fresh memory cost more than the kernel that fills it

Words = npt.NDArray[np.int64]


def aligned_bytes(size: int) -> npt.NDArray[np.uint8]:
    """`size` bytes of uninitialised memory at a multiple of ALIGNMENT."""
    block = np.empty(size + ALIGNMENT, np.uint8)
    start = -address_of(block) % ALIGNMENT
    return block[start : start + size]


def aligned_words(count: int) -> Words:
    """`count` zeroed int64 words at a multiple of ALIGNMENT."""
    words = aligned_bytes(8 * count).view(np.int64)
    words[:] = 0
    return words


def address_of(array: npt.NDArray[np.generic]) -> int:
    """Address of the array's first element."""
    return int(array.__array_interface__["data"][0])


def immortalise(value: object) -> None:
    """Keeps `value` alive even while the interpreter tears its modules down: sleeping threads may still refer to it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


class OutputArrays:
    """Arrays of one shape and dtype for the results of runs.

    Small ones are always fresh. Of large ones the two given out last are remembered and given out again once nobody
    else refers to them (in `y = run()` the old y lives until the new one is made, so one would not do).
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        self.shape, self.dtype = shape, dtype
        self.is_large = dtype.itemsize * int(np.prod(shape, dtype=object)) >= LARGE_OUTPUT and not dtype.hasobject
        self._spares: deque[npt.NDArray[np.generic]] = deque()

    def take(self) -> npt.NDArray[np.generic]:
        """An array that nobody else refers to; its content is arbitrary. Safe for threads."""
        if not self.is_large:
            return np.empty(self.shape, self.dtype)
        for _ in range(len(self._spares)):
            try:
                array = self._spares.popleft()  # from here on, no other thread can take it
            except IndexError:
                break
            free = sys.getrefcount(array) == _ALONE
            if free and not self._is_as_made(array):
                continue
            self._spares.append(array)
            if free:
                return array
        array = np.empty(self.shape, self.dtype)
        self._spares.append(array)
        if len(self._spares) > 2:
            self._spares.popleft()
        return array

    def _is_as_made(self, array: npt.NDArray[np.generic]) -> bool:
        """Whether whoever had the array has left its shape, type and flags alone."""
        return array.shape == self.shape and array.dtype == self.dtype and array.flags.carray


def _references_of_a_local() -> int:
    array = np.empty(0)
    return sys.getrefcount(array)


_ALONE = _references_of_a_local()  # what getrefcount says of an array that one local variable refers to
