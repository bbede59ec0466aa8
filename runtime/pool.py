"""The process's thread pool: a thread for each core, in native code; they share the chunks of one region at a time.

How a region runs (native half: WORKER and LAUNCH in `native_code.py`): the caller writes it down, opens it by one
store, and takes chunks itself; workers that poll the word join; who sleeps is woken along a binary tree. At the end the
caller closes the region and waits for those who joined. A worker announces itself *before* it looks whether the
region is open, and the caller looks for announcements *after* it closed it: so nobody reads a region's words while
they change, however late it is scheduled. A second caller, or a nested one, runs its region alone.

Idle workers poll for two milliseconds, first hard, then giving way to other threads, and then sleep. They never touch
Python.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import warnings
from functools import cache

from flowc.runtime import native
from flowc.runtime.buffers import Words, address_of, aligned_words, immortalise
from flowc.runtime.layout import LINE, Pool, Slot

MOST_THREADS = 1024
CHUNKS_PER_THREAD = 8  # when another process takes a core, eight dynamic chunks beat one static half by 2×
_SPIN_NS = 20_000
_DOZE_NS = 2_000_000


@cache
def thread_count() -> int:
    """Threads a region may use, with the caller's: `$FLOWC_NUM_THREADS`, or the cores this process may run on."""
    text = os.environ.get("FLOWC_NUM_THREADS", "")
    if not text:
        return min(len(os.sched_getaffinity(0)), MOST_THREADS)
    if not text.isdecimal() or not 1 <= int(text) <= MOST_THREADS:
        raise ValueError(f"FLOWC_NUM_THREADS must be a number from 1 to {MOST_THREADS}, not {text!r}")
    return int(text)


class ThreadPool:
    """`threads` threads with the caller's. They are made at the first `start`, and again in a forked child."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._words: Words = aligned_words(Pool.SLOTS + threads * LINE)
        self._lock = threading.Lock()
        immortalise(self._words)
        self.address = address_of(self._words)
        self._lay_out()
        os.register_at_fork(after_in_child=self._forget_threads)

    @property
    def is_running(self) -> bool:
        return bool(self._words[Pool.THREADS])

    def start(self) -> None:
        """Makes the threads if this process has none yet. If the system refuses some, warns and goes on with fewer."""
        if self.is_running:
            return
        with self._lock:
            if not self.is_running:
                threads = self._make_threads()
                self._words[Pool.MOST_CHUNKS] = CHUNKS_PER_THREAD * threads if threads > 1 else 1
                self._words[Pool.THREADS] = threads

    def run(self, kernel: int, args: int, units: int, chunks: int) -> None:
        """Runs `kernel(args, lo, hi)` over `units` units in `chunks` chunks, as a row of a tape would be."""
        self.start()
        native.launch(self.address, kernel, args, units, chunks)

    def _make_threads(self) -> int:
        worker = native.worker_address()
        create = ctypes.CDLL(None).pthread_create
        create.argtypes = [ctypes.c_void_p] * 4
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # Python's handlers run elsewhere
        try:
            for index in range(1, self.threads):
                error = create(ctypes.byref(ctypes.c_ulong()), None, worker, self._slot(index))
                if error:
                    warnings.warn(f"only {index} of {self.threads} threads: {os.strerror(error)}", stacklevel=4)
                    return index
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return self.threads

    def _lay_out(self) -> None:
        words = self._words
        words[:] = 0
        crowded = self.threads > len(os.sched_getaffinity(0))
        words[Pool.HOST] = native.host_address()
        words[Pool.SPIN] = 0 if crowded else _SPIN_NS
        words[Pool.DOZE] = 0 if crowded else _DOZE_NS
        slots = words[Pool.SLOTS :].reshape(self.threads, LINE)
        slots[:, Slot.POOL] = self.address
        slots[:, Slot.INDEX] = range(self.threads)

    def _slot(self, index: int) -> int:
        return self.address + 8 * (Pool.SLOTS + index * LINE)

    def _forget_threads(self) -> None:
        """In a forked child: its parent's threads are not here, and a region may have been open."""
        self._lock = threading.Lock()
        self._lay_out()


@cache
def pool() -> ThreadPool:
    """The process's pool."""
    return ThreadPool(thread_count())
