"""The runtime's own native functions, in the restricted Python that kernels are written in.

Each is compiled once, kept in the kernel cache and loaded without LLVM. They call each other by the addresses in the
host table, so none holds an address. Names in capitals are the members of `flowc.runtime.layout`. How the pool works,
and why it is safe, is told in `flowc.runtime.pool`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping

from flowc.runtime.kernels import NativeFunction
from flowc.runtime.layout import constants

DONE, FAULT, STALE, LOCKED = 0, 1, 2, 3  # what flowc_run returns

ACQUIRE = """
def flowc_acquire(word, only_try, unused):
    # 0: free, 1: held, 2: held, and somebody sleeps until it is free. Returns 1 with the lock, 0 if only trying failed.
    if atomic_cas(word, 0, 1) == 0:
        return 1
    if only_try != 0:
        return 0
    for poll in range(200):
        cpu_pause()
        if atomic_load(word) == 0:
            if atomic_cas(word, 0, 1) == 0:
                return 1
    while atomic_swap(word, 2) != 0:
        futex_wait(word, 2)
    return 1
"""

RELEASE = """
def flowc_release(word, unused_1, unused_2):
    if atomic_swap(word, 0) == 2:
        futex_wake(word, 1)
    return 0
"""

# The part of a region that everybody in it does. Chunk i starts at i * quotient + min(i, rest): it depends on the
# units and the number of chunks only.
WAKE = """
    for child in range(2 * me + 1, imin(2 * me + 3, threads)):
        asleep = pool + 8 * (POOL_SLOTS + child * LINE + SLOT_ASLEEP)
        if atomic_load(asleep) != 0:
            if atomic_swap(asleep, 0) != 0:
                futex_wake(asleep, 1)
"""
DRAIN = """
    quotient = idiv(units, chunks)
    rest = units - quotient * chunks
    chunk = atomic_add(pool + 8 * POOL_NEXT, 1)
    while chunk < chunks:
        low = chunk * quotient + imin(chunk, rest)
        high = low + quotient
        if chunk < rest:
            high += 1
        call_kernel(kernel, args, low, high)
        chunk = atomic_add(pool + 8 * POOL_NEXT, 1)
"""

LAUNCH = """
def flowc_launch(pool, row, chunks):
    p = ptr_i64(pool, -1)
    r = ptr_i64(row, -1)
    kernel = r[ROW_KERNEL]
    args = r[ROW_ARGS]
    units = r[ROW_UNITS]
    if atomic_cas(pool + 8 * POOL_LOCK, 0, 1) != 0:
        # Another region is open. The same chunks as in the pool, so that results do not depend on who else is
        # computing.
        each = idiv(units, chunks)
        more = units - each * chunks
        start = 0
        for part in range(chunks):
            stop = start + each
            if part < more:
                stop += 1
            call_kernel(kernel, args, start, stop)
            start = stop
        return 0
    me = 0
    threads = imin(p[POOL_THREADS], chunks)
    p[POOL_KERNEL] = kernel
    p[POOL_ARGS] = args
    p[POOL_UNITS] = units
    p[POOL_CHUNKS] = chunks
    p[POOL_NEXT] = 0
    closed = ((p[POOL_REGION] >> 16) + 1) << 16
    atomic_swap(pool + 8 * POOL_REGION, closed + threads)
    atomic_fence()
    WAKE
    DRAIN
    atomic_swap(pool + 8 * POOL_REGION, closed)
    atomic_fence()
    host = ptr_i64(p[POOL_HOST], -1)
    for other in range(1, threads):
        joined = pool + 8 * (POOL_SLOTS + other * LINE + SLOT_JOINED)
        polls = 0
        while atomic_load(joined) != 0:
            cpu_pause()
            polls += 1
            if polls > 10000:
                call_i64(host[HOST_SCHED_YIELD], 0, 0, 0)  # it was descheduled: perhaps it needs this core
    atomic_store(pool + 8 * POOL_LOCK, 0)
    return 0
"""

WORKER = """
def flowc_worker(slot):
    s = ptr_i64(slot, -1)
    pool = s[SLOT_POOL]
    me = s[SLOT_INDEX]
    p = ptr_i64(pool, -1)
    host = ptr_i64(p[POOL_HOST], -1)
    word = pool + 8 * POOL_REGION
    flush_denormals()
    seen = 0
    polls = 0
    since = 0
    spin = p[POOL_SPIN]
    while True:
        region = atomic_load(word)
        threads = region & 65535
        if threads > me and region >> 16 != seen:
            atomic_swap(slot + 8 * SLOT_JOINED, 1)
            atomic_fence()  # announce, then look; the caller closes, then looks
            if atomic_load(word) == region:
                seen = region >> 16
                kernel = p[POOL_KERNEL]
                args = p[POOL_ARGS]
                units = p[POOL_UNITS]
                chunks = p[POOL_CHUNKS]
                WAKE
                DRAIN
            atomic_store(slot + 8 * SLOT_JOINED, 0)
            polls = 0
            since = 0
            spin = p[POOL_SPIN]
        else:
            cpu_pause()
            polls += 1
            if polls & 15 == 0:
                call_i64(host[HOST_CLOCK_GETTIME], 1, slot + 8 * SLOT_CLOCK, 0)
                now = s[SLOT_CLOCK] * 1000000000 + s[SLOT_CLOCK + 1]
                if since == 0:
                    since = now
                if now - since > p[POOL_DOZE]:
                    atomic_swap(slot + 8 * SLOT_ASLEEP, 1)
                    atomic_fence()
                    region = atomic_load(word)
                    threads = region & 65535
                    if threads <= me or region >> 16 == seen:
                        futex_wait(slot + 8 * SLOT_ASLEEP, 1)
                    atomic_swap(slot + 8 * SLOT_ASLEEP, 0)
                    since = 0
                    spin = 0  # woken on the core of who woke it, it must not hold it up
                elif now - since >= spin:
                    call_i64(host[HOST_SCHED_YIELD], 0, 0, 0)
    return 0
"""

# A part of the tape: from address `row` to `end`. START and STOP note the time of each row.
START = """
if times != 0:
    t = ptr_i64(times, -1)
    call_i64(host[HOST_CLOCK_GETTIME], 1, block + 8 * BLOCK_CLOCK, 0)
    t[0] = b[BLOCK_CLOCK] * 1000000000 + b[BLOCK_CLOCK + 1]
"""
STOP = """
if times != 0:
    t = ptr_i64(times, -1)
    call_i64(host[HOST_CLOCK_GETTIME], 1, block + 8 * BLOCK_CLOCK, 0)
    t[1] = b[BLOCK_CLOCK] * 1000000000 + b[BLOCK_CLOCK + 1]
    times += 16
"""
ROWS = """
while row < end:
    r = ptr_i64(row, -1)
    split = r[ROW_SPLIT]
    if split & 1 != 0:
        if b[BLOCK_STATUS] != 0:
            break
    START
    chunks = imin(split >> 1, p[POOL_MOST_CHUNKS])
    if chunks < 2:
        call_kernel(r[ROW_KERNEL], r[ROW_ARGS], 0, r[ROW_UNITS])
    else:
        call_i64(host[HOST_LAUNCH], pool, row, chunks)
    STOP
    row += 8 * ROW_SIZE
"""

# What a loop or a conditional runs: `count` rows from address `row`.
RUN_ROWS = """
def flowc_run_rows(block, row, count):
    b = ptr_i64(block, -1)
    host = ptr_i64(b[BLOCK_HOST], -1)
    pool = b[BLOCK_POOL]
    p = ptr_i64(pool, -1)
    end = row + 8 * ROW_SIZE * count
    ROWS
    return 0
"""

# The BLAS runs on one thread while a plan that calls it runs: the pool splits its work. What the process had set
# comes back when the last such run ends. A lock, not a bare counter: one run may end just while another begins.
# Kernels flush denormal results to 0: values that decay (a wave's front, Adam's moments) would slow a run tenfold.
RUN = """
def flowc_run(block, only_try, unused):
    b = ptr_i64(block, -1)
    host = ptr_i64(b[BLOCK_HOST], -1)
    lock = b[BLOCK_LOCK]
    if lock != 0:
        if call_i64(host[HOST_ACQUIRE], lock, only_try, 0) == 0:
            return LOCKED
        epoch = ptr_i64(b[BLOCK_EPOCH], -1)
        if epoch[0] != b[BLOCK_BOUND_EPOCH]:
            call_i64(host[HOST_RELEASE], lock, 0, 0)
            return STALE
    blas = b[BLOCK_BLAS]
    if blas != 0:
        g = ptr_i64(blas, -1)
        call_i64(host[HOST_ACQUIRE], blas + 8 * BLAS_LOCK, 0, 0)
        if g[BLAS_RUNS] == 0:
            g[BLAS_SAVED] = call_i64(g[BLAS_GET], 0, 0, 0) & 65535
            call_i64(g[BLAS_SET], 1, 0, 0)
        g[BLAS_RUNS] += 1
        call_i64(host[HOST_RELEASE], blas + 8 * BLAS_LOCK, 0, 0)
    b[BLOCK_STATUS] = 0
    float_mode = flush_denormals()
    pool = b[BLOCK_POOL]
    p = ptr_i64(pool, -1)
    times = b[BLOCK_TIMES]
    row = b[BLOCK_TAPE]
    end = row + 8 * ROW_SIZE * b[BLOCK_LENGTH]
    ROWS
    restore_float_mode(float_mode)
    if blas != 0:
        g = ptr_i64(blas, -1)
        call_i64(host[HOST_ACQUIRE], blas + 8 * BLAS_LOCK, 0, 0)
        g[BLAS_RUNS] -= 1
        if g[BLAS_RUNS] == 0:
            call_i64(g[BLAS_SET], g[BLAS_SAVED], 0, 0)
        call_i64(host[HOST_RELEASE], blas + 8 * BLAS_LOCK, 0, 0)
    outcome = DONE
    if b[BLOCK_STATUS] != 0:
        outcome = FAULT
    if lock != 0:
        call_i64(host[HOST_RELEASE], lock, 0, 0)
    return outcome
"""

# A CPython builtin (METH_FASTCALL): `self` is an int64 array, the instance's block; `args` are feeds, then outputs.
# The words of an ndarray: 1 type, 2 data, 3 ndim (an int), 4 sizes, 7 dtype, 8 flags (an int). Returns True after a
# run, None if a kernel reported an error (the instance then stays busy, for take_fault), False if it did nothing:
# wrong arrays, threads not started, variables moved, instance in use.
ENTRY = """
def flowc_entry(self, args, count):
    header = ptr_i64(self, -1)
    block = header[2]
    b = ptr_i64(block, -1)
    host = ptr_i64(b[BLOCK_HOST], -1)
    pool = ptr_i64(b[BLOCK_POOL], -1)
    array_type = host[HOST_ARRAY_TYPE]
    a = ptr_i64(args, -1)
    answer = host[HOST_FALSE]
    fits = 1
    if b[BLOCK_BUSY] != 0 or count != b[BLOCK_ARRAYS] or pool[POOL_THREADS] < b[BLOCK_NEEDS_THREADS]:
        fits = 0
    else:
        check = b[BLOCK_CHECKS]
        for i in range(count):
            c = ptr_i64(check, -1)
            array = ptr_i64(a[i], -1)
            if array[1] != array_type:
                fits = 0
                break
            flags = c[CHECK_FLAGS]
            ndim = c[CHECK_NDIM]
            if array[7] != c[CHECK_DTYPE] or array[8] & flags != flags or array[3] & 4294967295 != ndim:
                fits = 0
                break
            sizes = ptr_i64(array[4], -1)
            for axis in range(ndim):
                if sizes[axis] != c[CHECK_SIZE + axis]:
                    fits = 0
            patch = CHECK_SIZE + ndim
            last = patch + 2 * c[CHECK_PATCHES]
            while patch < last:
                target = ptr_i64(c[patch], -1)
                target[0] = array[2] + c[patch + 1]
                patch += 2
            check += 8 * last
    if fits != 0:
        b[BLOCK_BUSY] = 1
        outcome = LOCKED
        if b[BLOCK_KEEP_GIL] != 0:
            outcome = call_i64(b[BLOCK_RUN], block, 1, 0)
        if outcome == LOCKED:
            thread = call_i64(host[HOST_SAVE_THREAD], 0, 0, 0)
            outcome = call_i64(b[BLOCK_RUN], block, 0, 0)
            call_i64(host[HOST_RESTORE_THREAD], thread, 0, 0)
        if outcome == FAULT:
            answer = host[HOST_NONE]
        else:
            b[BLOCK_BUSY] = 0
            if outcome == DONE:
                answer = host[HOST_TRUE]
    call_i64(host[HOST_INC_REF], answer, 0, 0)
    return answer
"""


_SHARED = {"WAKE": WAKE, "DRAIN": DRAIN, "ROWS": ROWS, "START": START, "STOP": STOP}
_UNTIMED = {**_SHARED, "START": "", "STOP": ""}


def _function(template: str, signature: str, shared: Mapping[str, str] = _SHARED) -> NativeFunction:
    """Puts the shared parts in, and defines the constants that the text uses."""
    text = "\n".join(_expanded(template, shared)) + "\n"
    known = constants() | {"DONE": DONE, "FAULT": FAULT, "STALE": STALE, "LOCKED": LOCKED}
    words = set(re.findall(r"\w+", text))
    header = "".join(f"{word} = {value}\n" for word, value in known.items() if word in words)
    matched = re.match(r"def (\w+)", text)
    assert matched is not None
    return NativeFunction(matched[1], header + text, signature)


def _expanded(template: str, shared: Mapping[str, str]) -> Iterator[str]:
    """The lines of a text in which a line that is the name of a shared part stands for it."""
    for line in textwrap.dedent(template).strip().splitlines():
        word = line.strip()
        if word in shared:
            yield from textwrap.indent("\n".join(_expanded(shared[word], shared)), line[: -len(word)]).splitlines()
        else:
            yield line


_THREE = "i64(i64,i64,i64)"
FUNCTIONS = {
    "acquire": _function(ACQUIRE, _THREE),
    "release": _function(RELEASE, _THREE),
    "launch": _function(LAUNCH, _THREE),
    "worker": _function(WORKER, "i64(i64)"),
    "run": _function(RUN, _THREE),
    "run_rows": _function(RUN_ROWS, _THREE, _UNTIMED),
    "entry": _function(ENTRY, _THREE),
}
