"""A lock for what takes microseconds.

`threading.Lock` goes to a thread that waits for it as soon as it is free, and that thread then waits for the GIL with
the lock in its hands. Whoever has the GIL soon runs into the lock, sleeps, and is given it in the same way: from then
on the threads wake each other at every turn, which costs more than what they do in it. Here, who finds the lock taken
comes again later.
"""

from __future__ import annotations

import threading
import time
from typing import Final

_FIRST_WAIT: Final = 5e-5  # seconds
_LONGEST_WAIT: Final = 2e-2


class ShortLock:
    """To be held in a with-block. One that is held for long is waited for as for any other lock."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def try_acquire(self) -> bool:
        """Takes the lock if it is free; `release` gives it back."""
        return self._lock.acquire(blocking=False)

    def release(self) -> None:
        """Gives the lock back."""
        self._lock.release()

    def __enter__(self) -> None:
        if not self._lock.acquire(False):
            self._wait()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def _wait(self) -> None:
        wait = _FIRST_WAIT
        while wait < _LONGEST_WAIT:
            time.sleep(wait)
            if self._lock.acquire(False):
                return
            wait *= 2
        self._lock.acquire()
