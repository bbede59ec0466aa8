"""Executables: tapes of hand-written kernels, run by every route, by several threads and after forks."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flowc.codegen.plan import ENTRY_WIDTH, ErrorSite, FetchSpec, Kernel, Plan, Space, TensorSpec, VariableSpec
from flowc.runtime import native, symbols
from flowc.runtime.buffers import LARGE_OUTPUT, address_of
from flowc.runtime.executor import Array, Executable, KernelFault
from flowc.runtime.kernels import as_function, compile_kernels, object_codes
from flowc.runtime.native_code import FUNCTIONS
from flowc.runtime.pool import pool
from flowc.runtime.session_lock import SessionLock

MUL = """
def mul(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_f32(a[0], 0)
    y = ptr_f32(a[1], 1)
    o = ptr_f32(a[2], 2)
    for i in range(lo, hi):
        o[i] = x[i] * y[i]
"""
ADD_ONE = """
def add_one(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_f32(a[0], -1)
    o = ptr_f32(a[1], -1)
    for i in range(lo, hi):
        o[i] = x[i] + 1.0
"""
# Reports error site 1 with the index and the value where x is negative.
CHECK = """
def check(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_f32(a[0], -1)
    for i in range(lo, hi):
        if x[i] < 0.0:
            if atomic_cas(a[1], 0, 2) == 0:
                status = ptr_i64(a[1], -1)
                status[1] = i
                status[2] = i64(x[i])
"""
COUNT = """
def count_up(args, lo, hi):
    a = ptr_i64(args, -1)
    word = ptr_i64(a[0], -1)
    o = ptr_i64(a[1], -1)
    o[0] = word[0]
    word[0] += 1
"""
GEMM = """
def gemm(args, lo, hi):
    a = ptr_i64(args, -1)
    k = a[4]
    n = a[5]
    call_gemm_f32(a[0], 101, 111, 111, hi - lo, n, k, f32(1.0), a[1] + 4 * lo * k, k, a[2], n, f32(0.0),
                  a[3] + 4 * lo * n, n)
"""


def build(
    feeds: dict[str, tuple[int, ...]],
    fetches: list[FetchSpec],
    launches: list[tuple[str, str, list[tuple[Space | None, int, int]], int, int, int]],
    **more: Any,
) -> Plan:
    """A plan of float32 feeds; a launch is (symbol, source, words as (space, index, offset), units, grain, guard)."""
    kernels: dict[str, Kernel] = {}
    entries, words, relocations = [], list[int](), []
    for name, source, arguments, units, grain, guard in launches:
        kernels.setdefault(name, Kernel(name, source))
        entries.append([list(kernels).index(name), len(words), units, grain, guard, 12 * units])
        for space, index, offset in arguments:
            if space is not None:
                relocations.append([len(words), space, index])
            words.append(offset)
    return Plan(
        feeds=tuple(TensorSpec(name, "float32", shape) for name, shape in feeds.items()),
        fetches=tuple(fetches),
        variables=more.pop("variables", ()),
        constants=more.pop("constants", ()),
        kernels=tuple(kernels.values()),
        entries=np.array(entries, np.int64).reshape(-1, ENTRY_WIDTH),
        words=np.array(words, np.int64),
        relocations=np.array(relocations, np.int64).reshape(-1, 3),
        arena_size=more.pop("arena_size", 0),
        **more,
    )


def product_plan(n: int, grain: int = 4096) -> Plan:
    launch = ("mul", MUL, [(Space.FEED, 0, 0), (Space.FEED, 1, 0), (Space.FETCH, 0, 0)], n, grain, 0)
    return build({"a:0": (n,), "b:0": (n,)}, [FetchSpec("c:0", "float32", (n,))], [launch])


def executable(plan: Plan, storage: Any = None) -> Executable:
    return Executable(plan, compile_kernels(plan.kernels), storage)


def arrays(n: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n, np.float32), rng.standard_normal(n, np.float32)


@pytest.fixture(params=["builtin", "ctypes"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "ctypes":
        monkeypatch.setattr(native, "entry_problem", lambda: "for the test")
    return str(request.param)


@pytest.mark.parametrize("n", [1, 4, 17, 4096, 100_003])
def test_product(route: str, n: int) -> None:
    run = executable(product_plan(n, grain=1000))
    a, b = arrays(n)
    out = np.empty(n, np.float32)
    assert run.entry(a, b, out) is True
    np.testing.assert_array_equal(out, a * b)
    np.testing.assert_array_equal(run.call(a, b)[0], a * b)
    np.testing.assert_array_equal(run.run([a, b])[0], a * b)


def test_the_short_way_declines_what_does_not_fit(route: str) -> None:
    run = executable(product_plan(6))
    a, b = arrays(6)
    out = np.empty(6, np.float32)
    locked = np.empty(6, np.float32)
    locked.flags.writeable = False

    class Sub(np.ndarray[Any, Any]):
        pass

    wrong: list[tuple[Any, ...]] = [
        (a, b),
        (a, b, out, out),
        (a, b, None),
        (a, 3.0, out),
        (a, b.astype(np.float64), out),
        (a, b.astype(">f4"), out),
        (a, b[:5], out),
        (a, b.reshape(2, 3), out),
        (a, b[::-1], out),
        (a, b.view(Sub), out),
        (a, np.frombuffer(b"\0" * 25, np.uint8)[1:].view(np.float32), out),
        (a, b, locked),
    ]
    for arguments in wrong:
        assert run.entry(*arguments) is False
    assert run.entry(a, b, out) is True


def test_the_long_way_takes_what_it_can_and_names_the_rest(route: str) -> None:
    run = executable(product_plan(6))
    a, b = arrays(6)
    a.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + b.tobytes(), np.uint8)[1:].view(np.float32)
    np.testing.assert_array_equal(run.run([a, np.repeat(b, 2)[::2]])[0], a * b)
    np.testing.assert_array_equal(run.run([a, unaligned])[0], a * b)
    with pytest.raises(TypeError, match=r"b:0 is fed float64.*float32"):
        run.run([a, b.astype(np.float64)])
    with pytest.raises(ValueError, match=r"b:0 is fed shape \(5,\).*\(6,\)"):
        run.run([a, b[:5]])
    with pytest.raises(ValueError, match="takes 2 feeds, not 1"):
        run.run([a])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 1, 3), (1,) * 9])
def test_shapes(route: str, shape: tuple[int, ...]) -> None:
    n = int(np.prod(shape))
    launch = ("mul", MUL, [(Space.FEED, 0, 0), (Space.FEED, 1, 0), (Space.FETCH, 0, 0)], n, 4096, 0)
    plan = build({"a:0": shape, "b:0": shape}, [FetchSpec("c:0", "float32", shape)], [launch])
    a, b = np.full(shape, 3, np.float32), np.full(shape, 5, np.float32)
    for result in (executable(plan).call(a, b)[0], executable(plan).run([a, b])[0]):
        assert result.shape == shape
        np.testing.assert_array_equal(result, a * b)


def chained_plan(n: int) -> Plan:
    """t = (a + 1) * constant[1:]; fetches: t + 1, t's source a, the constant, a * a."""
    t = [(Space.ARENA, 0, 64), (Space.CONSTANT, 0, 4), (Space.ARENA, 0, 64 + 4 * n)]
    launches: Any = [
        ("add_one", ADD_ONE, [(Space.FEED, 0, 0), (Space.ARENA, 0, 64)], n, 100, 0),
        ("mul", MUL, t, n, 100, 0),
        ("add_one", ADD_ONE, [(Space.ARENA, 0, 64 + 4 * n), (Space.FETCH, 0, 0)], n, 100, 0),
        ("mul", MUL, [(Space.FEED, 0, 0), (Space.FEED, 0, 0), (Space.FETCH, 3, 0)], n, 100, 0),
    ]
    fetches = [
        FetchSpec("t:0", "float32", (n,)),
        FetchSpec("a:0", "float32", (n,), source="feed", index=0),
        FetchSpec("k:0", "float32", (n + 1,), source="constant", index=0),
        FetchSpec("s:0", "float32", (n,)),
    ]
    constant = np.arange(n + 1, dtype=np.float32)
    return build({"a:0": (n,)}, fetches, launches, constants=(constant,), arena_size=64 + 8 * n)


@pytest.mark.parametrize("n", [3, 5000])
def test_arena_constants_and_other_fetches(route: str, n: int) -> None:
    run = executable(chained_plan(n))
    a, _ = arrays(n)
    for fetched in (run.call(a), run.run([a])):
        np.testing.assert_allclose(fetched[0], (a + 1) * np.arange(1, n + 1, dtype=np.float32) + 1, rtol=1e-6)
        np.testing.assert_array_equal(fetched[1], a)
        np.testing.assert_array_equal(fetched[2], np.arange(n + 1))
        np.testing.assert_array_equal(fetched[3], a * a)
        assert not np.shares_memory(fetched[1], a)


def guarded_plan(n: int) -> Plan:
    """Checks a, then counts up a variable (guarded)."""
    launches: Any = [
        ("check", CHECK, [(Space.FEED, 0, 0), (Space.STATUS, 0, 0)], n, 10, 0),
        ("count_up", COUNT, [(Space.VARIABLE, 0, 0), (Space.FETCH, 0, 0)], 1, 1, 1),
    ]
    sites = (
        ErrorSite("other", "InvalidArgumentError", "not this one"),
        ErrorSite("check", "InvalidArgumentError", "a[{0}] is {1}"),
    )
    variables = (VariableSpec("v", "int64", (), writes=True),)
    return build({"a:0": (n,)}, [FetchSpec("n:0", "int64", ())], launches, variables=variables, errors=sites)


class OneVariable:
    """Storage of the variable v and of state words, all int64."""

    def __init__(self) -> None:
        self.lock = SessionLock()
        self.value = np.zeros((), np.int64)
        self.states: dict[str, npt.NDArray[np.int64]] = {}

    def address(self, name: str, dtype: str, shape: tuple[int, ...]) -> int:
        assert (name, dtype, shape) == ("v", "int64", ())
        return address_of(self.value)

    def state_address(self, key: str) -> int:
        return address_of(self.states.setdefault(key, np.zeros(1, np.int64)))


@pytest.mark.parametrize("n", [4, 1000])
def test_a_fault_stops_guarded_entries(route: str, n: int) -> None:
    storage = OneVariable()
    run = executable(guarded_plan(n), storage)
    good = np.ones(n, np.float32)
    bad = good.copy()
    bad[n - 1] = -7
    assert run.call(good)[0] == 0
    for attempt in (lambda: run.call(bad), lambda: run.run([bad])):
        with pytest.raises(KernelFault, match=rf"a\[{n - 1}\] is -7") as caught:
            attempt()
        assert (caught.value.site_index, caught.value.site.op, caught.value.details[:2]) == (1, "check", (n - 1, -7))
    assert run.entry(bad, np.empty((), np.int64)) is None
    assert run.run([good])[0] == 1  # the instance of the pending fault is busy: this was another one
    assert isinstance(run.take_fault(), KernelFault)
    assert run.call(good)[0] == 2
    assert storage.value == 3


def test_variables_that_moved_are_bound_anew(route: str) -> None:
    storage = OneVariable()
    run = executable(guarded_plan(4), storage)
    good, out = np.ones(4, np.float32), np.empty((), np.int64)
    assert run.call(good)[0] == 0
    with storage.lock.held():
        old = storage.value
        storage.value = np.array(100)
        storage.lock.advance()
    assert run.entry(good, out) is False
    assert run.call(good)[0] == 100
    assert run.entry(good, out) is True
    assert (storage.value, old) == (102, 1)


def test_state_words_are_shared_by_plans_of_one_storage() -> None:
    launch = ("count_up", COUNT, [(Space.STATE, 0, 0), (Space.FETCH, 0, 0)], 1, 1, 0)
    plan = build({}, [FetchSpec("n:0", "int64", ())], [launch], state_words=1, state_keys=("dropout",))
    storage = OneVariable()
    first, second = executable(plan, storage), executable(plan, storage)
    assert [int(run.call()[0]) for run in (first, second, first)] == [0, 1, 2]
    with pytest.raises(ValueError, match="needs a storage"):
        executable(plan)


def in_threads(work: Callable[[int], None], count: int) -> None:
    failures: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=guarded, args=(index,)) for index in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


@pytest.mark.parametrize("n", [4, 200_000])
def test_threads_share_an_executable(route: str, n: int) -> None:
    run = executable(product_plan(n))
    assert run.is_short == (n == 4)

    def work(seed: int) -> None:
        a, b = arrays(n, seed)
        for _ in range(200):
            np.testing.assert_array_equal(run.call(a, b)[0], a * b)

    in_threads(work, 3)


@pytest.mark.parametrize("n", [4, 100_000])
def test_runs_that_share_a_variable_take_turns(n: int) -> None:
    storage = OneVariable()
    run = executable(guarded_plan(n), storage)
    good = np.ones(n, np.float32)

    def work(seed: int) -> None:
        for i in range(300):
            run.call(good)
            if i % 50 == 0:
                with storage.lock.held():
                    storage.value = storage.value.copy()
                    storage.lock.advance()

    in_threads(work, 3)
    assert storage.value == 900


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_during_runs_of_another_thread() -> None:
    storage = OneVariable()
    run = executable(guarded_plan(100_000), storage)
    good = np.ones(100_000, np.float32)
    stop = threading.Event()

    def keep_running() -> None:
        while not stop.is_set():
            run.call(good)

    worker = threading.Thread(target=keep_running)
    worker.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                before = int(storage.value)
                counts = [int(run.call(good)[0]) for _ in range(20)]
                os._exit(0 if counts == list(range(before, before + 20)) and pool().is_running else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        worker.join()


def test_large_outputs_are_used_again_once_dropped() -> None:
    n = LARGE_OUTPUT // 4
    run = executable(product_plan(n))
    a, b = arrays(n)
    kept = run.call(a, b)[0]
    expected = kept.copy()
    addresses = set()
    for _ in range(6):
        result = run.call(b, b)[0]
        addresses.add(address_of(result))
    np.testing.assert_array_equal(kept, expected)
    assert address_of(kept) not in addresses
    assert len(addresses) <= 3
    view = run.call(a, b)[0][10:20]
    copy = view.copy()
    for _ in range(3):
        run.call(b, b)
    np.testing.assert_array_equal(view, copy)


def test_times_of_entries() -> None:
    run = executable(chained_plan(5000))
    a, _ = arrays(5000)
    fetched, times = run.run_timed([a])
    np.testing.assert_array_equal(fetched[3], a * a)
    assert times.shape == (4, 2)
    assert (np.diff(times.ravel()) >= 0).all()
    assert 0 < times[-1, 1] - times[0, 0] < 1_000_000_000


def openblas_threads() -> int:
    functions = symbols.blas_library().threads_functions()
    assert functions is not None
    return native.call(functions[0], 0)


@pytest.mark.parametrize("m", [3, 64, 700])
def test_gemm_by_rows_keeps_the_blas_on_one_thread(route: str, m: int) -> None:
    k, n = 50, 70
    words: Any = [(Space.SYMBOL, 0, 0), (Space.FEED, 0, 0), (Space.FEED, 1, 0), (Space.FETCH, 0, 0)]
    launch = ("gemm", GEMM, [*words, (None, 0, k), (None, 0, n)], m, 8, 0)
    plan = build(
        {"a:0": (m, k), "b:0": (k, n)}, [FetchSpec("c:0", "float32", (m, n))], [launch], symbols=("cblas_sgemm",)
    )
    run = executable(plan)
    rng = np.random.default_rng(0)
    before = openblas_threads()

    def work(_: int) -> None:
        a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
        exact = (a.astype(np.float64) @ b).astype(np.float32)
        for _ in range(50):
            np.testing.assert_allclose(run.call(a, b)[0], exact, rtol=1e-4, atol=1e-4)

    in_threads(work, 2)
    assert openblas_threads() == before


def test_unknown_symbols_are_named() -> None:
    with pytest.raises(symbols.SymbolError, match="no library function 'fftw_plan'"):
        symbols.resolve("fftw_plan")
    with pytest.raises(symbols.SymbolError, match="has no cblas_nonsense"):
        symbols.resolve("cblas_nonsense")


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_stays_flat() -> None:
    storage = OneVariable()
    runs = [executable(product_plan(4)), executable(product_plan(50_000)), executable(guarded_plan(4), storage)]
    feeds = [arrays(4), arrays(50_000), (np.ones(4, np.float32),)]

    def loop(count: int) -> None:
        for _ in range(count):
            for run, feed in zip(runs, feeds, strict=True):
                run.call(*feed)

    loop(1000)
    before = resident_bytes()
    loop(10_000)
    assert resident_bytes() - before < 1 << 20


def test_an_executable_that_is_dropped_is_freed_and_its_entry_stays_usable() -> None:
    a, b = arrays(1 << 20)
    entry = executable(product_plan(1 << 20)).entry
    gc.collect()
    out = np.empty(1 << 20, np.float32)
    assert entry(a, b, out) is True
    np.testing.assert_array_equal(out, a * b)
    before = resident_bytes()
    for _ in range(30):
        plan = chained_plan(1 << 18)
        executable(plan).call(a[: 1 << 18])
    gc.collect()
    assert resident_bytes() - before < 30 << 20


def test_installed_objects_need_no_compiler_and_no_cache(tmp_path: Path) -> None:
    functions = [*FUNCTIONS.values(), as_function(product_plan(4).kernels[0])]
    file = tmp_path / "objects"
    file.write_bytes(pickle.dumps((product_plan(4), dict(zip(functions, object_codes(functions), strict=True)))))
    script = (
        "import pickle, sys, numpy as np\n"
        "from flowc.runtime import kernels\n"
        "plan, objects = pickle.load(open(sys.argv[1], 'rb'))\n"
        "kernels.install(objects)\n"
        "from flowc.runtime.executor import Executable\n"
        "a = np.arange(4, dtype=np.float32)\n"
        "result = Executable(plan, kernels.compile_kernels(plan.kernels)).call(a, a)[0]\n"
        "assert (result == a * a).all()\n"
        "assert 'flowc.codegen.cpu.compiler' not in sys.modules\n"
        "assert (kernels.statistics.compiled, kernels.statistics.from_disk) == (0, 0)\n"
    )
    environment = os.environ | {"FLOWC_CACHE_DIR": str(tmp_path / "empty")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
