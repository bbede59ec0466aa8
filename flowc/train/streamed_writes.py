"""Large files at the disk's pace: each part goes to the disk, and leaves the system's cache, while the next is written.

Otherwise the system gathers the whole file in its cache before the disk has much to do, and must find as much memory:
where that was given back to a virtual machine's host, this takes several times as long as writing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Write", "streamed"]

Write = Callable[[npt.NDArray[np.generic]], None]

_CHUNK: Final = 1 << 20  # bytes written at once
_PART: Final = 32 << 20  # bytes flushed at once; a smaller file is left to the system
_MOST_UNFLUSHED: Final = 2  # parts


@contextmanager
def streamed(descriptor: int) -> Iterator[Write]:
    """A function that appends a contiguous array's bytes to a file from its present position on.

    What is written may be yet in the system's cache when the with-block ends. Raises OSError there, and from the
    function, also for what was written before.
    """
    with ThreadPoolExecutor(1) as disk:
        stream = _Stream(descriptor, disk)
        yield stream.write
        stream.wait(unflushed=0)


class _Stream:
    """How far a file is written, and what of it goes to the disk."""

    def __init__(self, descriptor: int, disk: ThreadPoolExecutor) -> None:
        self._descriptor, self._disk = descriptor, disk
        self._part = self._end = os.lseek(descriptor, 0, os.SEEK_CUR)
        self._unflushed: deque[Future[None]] = deque()

    def write(self, array: npt.NDArray[np.generic]) -> None:
        """See `streamed`."""
        content = array.reshape(-1).view(np.uint8).data
        start = 0
        while start < len(content):
            count = os.write(self._descriptor, content[start : start + _CHUNK])
            start, self._end = start + count, self._end + count
            if self._end - self._part >= _PART:
                self._unflushed.append(self._disk.submit(self._flush, self._part, self._end))
                self._part = self._end
                self.wait(_MOST_UNFLUSHED)

    def wait(self, unflushed: int) -> None:
        """Waits until no more parts than that are on their way to the disk."""
        while len(self._unflushed) > unflushed:
            self._unflushed.popleft().result()

    def _flush(self, start: int, end: int) -> None:
        os.fdatasync(self._descriptor)
        os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
