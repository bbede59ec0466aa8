"""The thread pool: every unit is done exactly once, whatever the sizes, callers and forks; idling costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from flowc.runtime import native
from flowc.runtime.buffers import Words, address_of
from flowc.runtime.kernels import NativeFunction, load_functions
from flowc.runtime.pool import ThreadPool, pool, thread_count

COUNT = """
def count_units(args, lo, hi):
    a = ptr_i64(args, -1)
    seen = ptr_i64(a[0], 0)
    for i in range(lo, hi):
        seen[i] += 1
"""
# Where each chunk begins and ends, to compare with the rule.
BOUNDS = """
def note_bounds(args, lo, hi):
    a = ptr_i64(args, -1)
    ends = ptr_i64(a[0], 0)
    ends[lo] = hi
"""
# Calls the pool from inside a region: args = (launch, pool, row, chunks).
NESTED = """
def nest(args, lo, hi):
    a = ptr_i64(args, -1)
    for i in range(lo, hi):
        call_i64(a[0], a[1], a[2], a[3])
"""
ADD = """
def add_atomically(args, lo, hi):
    a = ptr_i64(args, -1)
    atomic_add(a[0], hi - lo)
"""


@pytest.fixture(scope="module")
def kernels() -> dict[str, int]:
    sources = {"count_units": COUNT, "note_bounds": BOUNDS, "nest": NESTED, "add_atomically": ADD}
    return dict(zip(sources, load_functions([NativeFunction(n, s) for n, s in sources.items()]), strict=True))


@pytest.fixture(scope="module", params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> ThreadPool:
    return ThreadPool(request.param)


def counted(threads: ThreadPool, kernel: int, units: int, chunks: int, runs: int) -> Words:
    seen = np.zeros(units, np.int64)
    args = np.array([address_of(seen)])
    for _ in range(runs):
        threads.run(kernel, address_of(args), units, chunks)
    return seen


@pytest.mark.parametrize(("units", "chunks"), [(2, 2), (3, 2), (17, 5), (1000, 999), (100_003, 16), (60_000, 12_289)])
def test_each_unit_is_done_once(threads: ThreadPool, kernels: dict[str, int], units: int, chunks: int) -> None:
    assert (counted(threads, kernels["count_units"], units, chunks, 30) == 30).all()


def test_many_short_regions(threads: ThreadPool, kernels: dict[str, int]) -> None:
    assert (counted(threads, kernels["count_units"], 7, 3, 20_000) == 20_000).all()


def test_huge_unit_counts_do_not_overflow(threads: ThreadPool, kernels: dict[str, int]) -> None:
    total = np.zeros(1, np.int64)
    args = np.array([address_of(total)])
    units = (1 << 62) + 12_345
    threads.run(kernels["add_atomically"], address_of(args), units, 5000)
    assert total[0] == units


def test_bounds_depend_on_units_and_chunks_only(threads: ThreadPool, kernels: dict[str, int]) -> None:
    ends = np.zeros(103, np.int64)
    args = np.array([address_of(ends)])
    threads.run(kernels["note_bounds"], address_of(args), 103, 10)
    starts = np.flatnonzero(ends)
    assert starts.tolist() == [0, 11, 22, 33, 43, 53, 63, 73, 83, 93]
    assert ends[starts].tolist() == [*starts[1:].tolist(), 103]


def test_two_callers_at_once(threads: ThreadPool, kernels: dict[str, int]) -> None:
    results: list[Words] = []

    def work() -> None:
        results.append(counted(threads, kernels["count_units"], 5001, 9, 2000))

    callers = [threading.Thread(target=work) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 3
    assert all((seen == 2000).all() for seen in results)


def test_nested_regions_run_alone(threads: ThreadPool, kernels: dict[str, int]) -> None:
    total = np.zeros(1, np.int64)
    inner_args = np.array([address_of(total)])
    row = np.array([kernels["add_atomically"], address_of(inner_args), 50, 0])
    launch = int(native.launch_address())
    outer_args = np.array([launch, threads.address, address_of(row), 4])
    threads.run(kernels["nest"], address_of(outer_args), 20, 6)
    assert total[0] == 20 * 50


def test_a_region_after_sleep(kernels: dict[str, int]) -> None:
    assert (counted(pool(), kernels["count_units"], 100, 8, 1) == 1).all()
    for pause in (0.001, 0.005, 0.05):
        time.sleep(pause)
        assert (counted(pool(), kernels["count_units"], 100, 8, 1) == 1).all()


def test_idle_threads_use_no_cpu(threads: ThreadPool, kernels: dict[str, int]) -> None:
    counted(threads, kernels["count_units"], 100, 8, 1)
    time.sleep(0.05)  # they poll for some milliseconds
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.02


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_its_own_threads(threads: ThreadPool, kernels: dict[str, int]) -> None:
    counted(threads, kernels["count_units"], 100, 8, 10)
    child = os.fork()
    if child == 0:
        had_none = not threads.is_running
        right = (counted(threads, kernels["count_units"], 10_000, 8, 100) == 100).all()
        os._exit(0 if had_none and right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (counted(threads, kernels["count_units"], 100, 8, 10) == 10).all()


def test_the_environment_sets_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWC_NUM_THREADS", "3")
    assert thread_count.__wrapped__() == 3
    monkeypatch.delenv("FLOWC_NUM_THREADS")
    assert thread_count.__wrapped__() == len(os.sched_getaffinity(0))
    for wrong in ("0", "-1", "many", "100000"):
        monkeypatch.setenv("FLOWC_NUM_THREADS", wrong)
        with pytest.raises(ValueError, match="FLOWC_NUM_THREADS"):
            thread_count.__wrapped__()


def test_a_process_exits_cleanly_while_threads_poll() -> None:
    script = (
        "from flowc.runtime.pool import ThreadPool\n"
        "from flowc.runtime.kernels import NativeFunction, load_functions\n"
        f"kernel = load_functions([NativeFunction('count_units', {COUNT!r})])[0]\n"
        "import numpy as np\n"
        "seen = np.zeros(100, np.int64); args = np.array([seen.ctypes.data])\n"
        "pool = ThreadPool(8); pool.run(kernel, args.ctypes.data, 100, 64)\n"
        "assert (seen == 1).all()\n"
    )
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
