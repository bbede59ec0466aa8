"""The two words that native code and Python share for each session: the lock of its variables, and their epoch."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from flowc.runtime import native
from flowc.runtime.buffers import address_of, aligned_words

_EPOCH = 8  # index of the epoch's word: on another cache line than the lock


class SessionLock:
    """Serialises what touches a session's variables and state words.

    Native runs of plans that touch them hold the lock; Python code that reads or replaces them does so in `with
    held():`. The epoch counts how often a variable's memory was replaced: a run whose addresses are older binds them
    anew.

    A fork waits until it holds every lock, so that a child never sees a variable half written or a lock that nobody
    frees.
    """

    def __init__(self) -> None:
        self._words = aligned_words(2 * _EPOCH)
        self._owner = 0
        self.lock_address = address_of(self._words)
        self.epoch_address = self.lock_address + 8 * _EPOCH
        _locks.add(self)

    @property
    def epoch(self) -> int:
        """The present epoch."""
        return int(self._words[_EPOCH])

    def advance(self) -> None:
        """To be called, with the lock held, when a variable's memory was replaced, before the old memory goes."""
        self._words[_EPOCH] += 1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock; waits without the GIL. Not reentrant."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self) -> None:
        """Waits for the lock, without the GIL, and takes it."""
        native.lock(self.lock_address)
        self._owner = threading.get_ident()

    def release(self) -> None:
        """Gives the lock back."""
        self._owner = 0
        native.unlock(self.lock_address)

    def is_mine(self) -> bool:
        """Whether Python code of this thread holds the lock."""
        return self._owner == threading.get_ident()


_locks: weakref.WeakSet[SessionLock] = weakref.WeakSet()
_held_for_fork: list[SessionLock] = []


def _before_fork() -> None:
    for lock in sorted(_locks, key=lambda lock: lock.lock_address):
        if not lock.is_mine():
            lock.acquire()
            _held_for_fork.append(lock)


def _after_fork() -> None:
    while _held_for_fork:
        _held_for_fork.pop().release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
