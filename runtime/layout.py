"""Where the words of the structures lie that Python fills and native code reads.

All are int64 words. Words that different threads write have a cache line of their own (`LINE` words: two lines of 64
bytes, since processors fetch them in pairs). Native sources see each member as a constant: `BLOCK_TAPE`.
"""

from __future__ import annotations

from enum import IntEnum

LINE = 16


class Host(IntEnum):
    """What native code needs of the interpreter and the C library. One a process; never changes."""

    SAVE_THREAD = 0  # PyEval_SaveThread: releases the GIL
    RESTORE_THREAD = 1  # PyEval_RestoreThread
    INC_REF = 2  # Py_IncRef
    TRUE = 3
    FALSE = 4
    NONE = 5
    ARRAY_TYPE = 6  # address of the type numpy.ndarray
    CLOCK_GETTIME = 7
    SCHED_YIELD = 8
    ACQUIRE = 9  # flowc_acquire, and so on
    RELEASE = 10
    LAUNCH = 11
    SIZE = 12


class Pool(IntEnum):
    """The thread pool. `REGION` is (generation << 16) + threads that may take part; 0 threads: closed."""

    THREADS = 0  # with the caller; 0: not started in this process
    MOST_CHUNKS = 1  # of a region; below 2: regions run without the pool
    HOST = 2
    SPIN = 3  # ns that an idle worker polls before it yields between polls
    DOZE = 4  # ns after which it sleeps
    LOCK = LINE  # 1 while a region is open or being closed
    REGION = 2 * LINE
    NEXT = 3 * LINE  # the first chunk that nobody took
    KERNEL = 4 * LINE
    ARGS = 4 * LINE + 1
    UNITS = 4 * LINE + 2
    CHUNKS = 4 * LINE + 3
    SLOTS = 5 * LINE  # one slot of LINE words a thread; the caller's (0) is unused


class Slot(IntEnum):
    """One worker of the pool."""

    JOINED = 0  # 1 while it may read the region's words
    ASLEEP = 1  # 1 while it waits for a futex, which is this word
    POOL = 2
    INDEX = 3  # 1, 2, …
    CLOCK = 4  # two words of scratch: a timespec


class Row(IntEnum):
    """A row of the tape."""

    KERNEL = 0
    ARGS = 1
    UNITS = 2
    SPLIT = 3  # (most chunks << 1) + guard
    SIZE = 4


class Block(IntEnum):
    """An instance of an executable: what one run needs."""

    BUSY = 0  # 1 while a run uses the instance
    RUN = 1  # address of flowc_run_tape
    HOST = 2
    POOL = 3
    LOCK = 4  # address of the session's lock, 0 if the plan touches nothing that the session keeps
    EPOCH = 5  # address of the storage's epoch
    BOUND_EPOCH = 6  # the epoch at which the variables' addresses were read
    KEEP_GIL = 7  # 1: shorter than a release of the GIL is worth
    BLAS = 8  # address of the guard of the BLAS' threads, 0 if the plan does not call BLAS
    TAPE = 9
    LENGTH = 10
    TIMES = 11  # 0, or where to store start and stop of each row in ns
    ARRAYS = 12  # how many arrays a call takes: feeds, then fetches
    CHECKS = 13  # address of what these arrays must be; see `Check`
    CLOCK = 14  # two words of scratch: a timespec
    NEEDS_THREADS = 16  # 1: an entry is large enough to be split, so the pool must have been started
    STATUS = 17  # four words: see plan.Space.STATUS
    SIZE = 21


class Check(IntEnum):
    """What one array must be. Then follow `NDIM` sizes, and `PATCHES` pairs (address of a word, byte offset)."""

    DTYPE = 0  # address of the dtype object
    FLAGS = 1  # NumPy's flags that must be set
    NDIM = 2
    PATCHES = 3
    SIZE = 4


class Blas(IntEnum):
    """The guard that keeps the BLAS at one thread while plans that call it run."""

    LOCK = 0
    RUNS = 1  # how many are under way
    SAVED = 2  # its threads before the first of them
    GET = 3  # address of its get_num_threads
    SET = 4
    SIZE = 5


def constants() -> dict[str, int]:
    """All of the above as `CLASS_MEMBER`, for native sources."""
    enums = (Host, Pool, Slot, Row, Block, Check, Blas)
    return {"LINE": LINE} | {f"{e.__name__.upper()}_{m}": int(v) for e in enums for m, v in e.__members__.items()}
