"""Sessions under rough treatment: threads, forks, interrupts, changed results, long loops. Short versions of each."""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import os
import platform
import signal
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

import flowc as tf

LARGE = 1 << 19  # float32s: large enough for arrays that are given out again
FORKS = 6
WAIT = 60.0  # seconds until something is taken to hang


def resident_bytes() -> int:
    """The process's memory now."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run_in_threads(work: Callable[[int], None], count: int = 8) -> None:
    """Runs `work(i)` in `count` threads at once; raises what the first that failed raised."""
    errors: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]


def run_for_ever(sess: tf.Session, fetch: Any, feeds: dict[tf.Tensor, Any]) -> NoReturn:
    """Runs until something is raised."""
    while True:
        sess.run(fetch, feeds)


class TestResultsThatUsersChange:
    @pytest.mark.parametrize("size", [4, LARGE])
    def test_writing_to_a_result_changes_nothing_else(self, size: int) -> None:
        x = tf.placeholder(tf.float32, [size])
        constant, variable = tf.constant(np.ones(size, np.float32)), tf.Variable(tf.ones([size]))
        fed = np.ones(size, np.float32)
        with tf.Session() as sess:
            sess.run(variable.initializer)
            for fetch in (x, x * 1.0, constant, variable, variable.assign(tf.ones([size]))):
                sess.run(fetch, {x: fed})[...] = 7
                np.testing.assert_array_equal(sess.run(fetch, {x: fed}), 1)
        np.testing.assert_array_equal(fed, 1)

    @pytest.mark.parametrize(
        "change",
        [
            lambda array: setattr(array, "shape", (2, -1)),
            lambda array: array.setflags(write=False),
            lambda array: array.resize(10, refcheck=False),
        ],
        ids=["shape", "flags", "size"],
    )
    def test_a_result_that_was_changed_and_dropped_is_not_given_out_again(self, change: Callable[[Any], None]) -> None:
        x = tf.placeholder(tf.float32, [LARGE])
        fed = np.ones(LARGE, np.float32)
        with tf.Session() as sess:
            sess.run(x * 2, {x: fed})
            result = sess.run(x * 2, {x: fed})
            with contextlib.suppress(ValueError):
                change(result)
            del result
            for _ in range(3):
                again = sess.run(x * 2, {x: fed})
                assert again.shape == (LARGE,)
                assert again.flags.writeable
                np.testing.assert_array_equal(again[::1000], 2)

    def test_results_and_views_of_them_outlive_later_runs(self) -> None:
        x = tf.placeholder(tf.float32, [LARGE])
        y = x * 2
        fed = np.ones(LARGE, np.float32)
        with tf.Session() as sess:
            whole = [sess.run(y, {x: fed * k}) for k in range(4)]
            part, buffer = sess.run(y, {x: fed})[5:9], memoryview(sess.run(y, {x: fed}))
            for k in range(3):
                sess.run(y, {x: fed * k})
            assert [array[7] for array in whole] == [0, 2, 4, 6]
            np.testing.assert_array_equal(part, 2)
            assert buffer[0] == 2

    def test_results_are_fed_to_the_run_that_made_them(self) -> None:
        x = tf.placeholder(tf.float32, [LARGE])
        y = x * 2
        value = np.ones(LARGE, np.float32)
        with tf.Session() as sess:
            for _ in range(10):
                value = sess.run(y, {x: value})
            np.testing.assert_array_equal(value[::1000], 1024)
            np.testing.assert_array_equal(sess.run(y, {x: sess.run(y, {x: value})})[::1000], 4096)


class TestThreads:
    def test_one_session_in_eight_threads(self) -> None:
        x = tf.placeholder(tf.float32, [None])
        total = tf.reduce_sum(tf.sigmoid(x) * 2 + tf.tanh(x))
        counts = tf.Variable(tf.zeros([1000]))
        increment = counts.assign_add(tf.ones([1000]))
        inputs = [np.linspace(-1, 1, size, dtype=np.float32) for size in (3, 1000, 1 << 16)]
        with tf.Session() as sess:
            sess.run(counts.initializer)
            expected = [sess.run(total, {x: value}) for value in inputs]

            def work(index: int) -> None:
                for turn in range(50):
                    which = (index + turn) % len(inputs)
                    assert sess.run(total, {x: inputs[which]}) == expected[which]
                    seen = sess.run(increment)
                    assert (seen == seen[0]).all()

            run_in_threads(work)
            np.testing.assert_array_equal(sess.run(counts), 400)

    def test_the_first_run_of_a_plan_in_eight_threads(self) -> None:
        x = tf.placeholder(tf.float32, [None])
        fetches = [tf.cos(x * float(k)) for k in range(4)]
        barrier = threading.Barrier(8)
        with tf.Session() as sess:

            def work(index: int) -> None:
                barrier.wait()
                result = sess.run(fetches[index % 4], {x: [0.0, 0.5]})
                np.testing.assert_allclose(result, np.cos([0.0, 0.5 * (index % 4)]), rtol=1e-6)

            run_in_threads(work)

    def test_a_session_is_closed_while_others_run_it(self) -> None:
        x = tf.placeholder(tf.float32, [500, 500])
        variable = tf.Variable(tf.zeros([500, 500]))
        fetches = [variable.assign(tf.matmul(x, x)), tf.reduce_sum(tf.matmul(x, x))]
        fed = np.ones((500, 500), np.float32)
        sess = tf.Session()
        sess.run(variable.initializer)
        started = threading.Barrier(3)

        def work(index: int) -> None:
            if index == 2:
                started.wait()
                time.sleep(0.05)
                sess.close()
                return
            sess.run(fetches[index], {x: fed})
            started.wait()
            with pytest.raises(RuntimeError, match="closed"):
                run_for_ever(sess, fetches[index], {x: fed})

        run_in_threads(work, 3)

    def test_an_interrupt_ends_a_loop_of_runs_and_leaves_the_session_usable(self) -> None:
        x = tf.placeholder(tf.float32, [400, 400])
        variable = tf.Variable(tf.zeros([400, 400]))
        update = variable.assign(tf.matmul(tf.matmul(x, x), x))
        fed = np.eye(400, dtype=np.float32)
        with tf.Session() as sess:
            sess.run(variable.initializer)
            timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                run_for_ever(sess, update.op, {x: fed})
            np.testing.assert_array_equal(sess.run(update, {x: fed}), fed)


def _child(sess: tf.Session, update: tf.Tensor, base: tf.Tensor, answers: Any) -> None:
    try:
        first = sess.run(update)
        new_plan = sess.run(tf.reduce_sum(tf.sin(base) * float(os.getpid())))
        answers.put((float(first[0]), bool(np.isfinite(new_plan))))
    except BaseException as error:
        answers.put(repr(error))


class TestForks:
    def test_children_run_while_threads_run_and_compile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLOWC_CACHE_DIR", str(tmp_path))  # nothing is on disk: threads and children compile
        context = multiprocessing.get_context("fork")
        variable = tf.Variable(tf.zeros([1 << 18]))
        update = variable.assign_add(tf.ones([1 << 18]))
        stop = threading.Event()
        sess = tf.Session()
        sess.run(variable.initializer)
        sess.run(tf.reduce_sum(tf.erf(tf.cos(tf.erf(variable)))))  # imports the compiler before anything forks

        def keep_running() -> None:
            while not stop.is_set():
                sess.run(update)

        def keep_compiling() -> None:
            for number in itertools.count():
                if stop.is_set():
                    return
                with tf.Graph().as_default(), tf.Session() as other:
                    x = y = tf.placeholder(tf.float32, [None])
                    for depth in range(number % 20 + 1):
                        y = tf.tanh(y) * float(depth) + tf.square(x)
                    other.run(tf.reduce_sum(y), {x: np.ones(number + 1)})

        threads = [threading.Thread(target=f, daemon=True) for f in (keep_running, keep_compiling)]
        for thread in threads:
            thread.start()
        answers = context.Queue()
        children = [context.Process(target=_child, args=(sess, update, variable, answers)) for _ in range(FORKS)]
        for child in children:
            child.start()
            time.sleep(0.02)
        try:
            got = [answers.get(timeout=WAIT) for _ in children]
        finally:
            stop.set()
            for child in children:
                child.join(5)
                child.kill()
            for thread in threads:
                thread.join(WAIT)
        assert all(isinstance(answer, tuple) and answer[1] for answer in got), got
        assert sess.run(update)[0] > 1
        sess.close()


class TestMemory:
    def test_a_long_loop_takes_no_more_memory(self) -> None:
        x = tf.placeholder(tf.float32, [4])
        weights = tf.Variable(tf.zeros([4]))
        total, update = tf.reduce_sum(x * weights), weights.assign_add(x)
        division = 1 // tf.cast(x, tf.int32)
        fed = np.ones(4, np.float32)
        with tf.Session() as sess:
            sess.run(weights.initializer)

            def loop(turns: int) -> None:
                for _ in range(turns):
                    sess.run([total, update], {x: fed})
                    sess.run(update.op, {x: [1, 2, 3, 4]})
                for _ in range(turns // 20):
                    with pytest.raises(tf.errors.InvalidArgumentError):
                        sess.run(division, {x: np.zeros(4, np.float32)})

            loop(2000)
            before = resident_bytes()
            loop(10000)
            assert resident_bytes() - before < 1 << 20

    def test_a_dropped_session_frees_its_memory(self) -> None:
        def use() -> weakref.ref[tf.Session]:
            with tf.Graph().as_default():
                variable = tf.Variable(tf.zeros([1 << 22]))
                sess = tf.Session()
                sess.run(variable.initializer)
                sess.run(tf.reduce_sum(tf.exp(variable)))
                return weakref.ref(sess)

        use()
        before = resident_bytes()
        sessions = [use() for _ in range(4)]
        assert resident_bytes() - before < 16 << 20
        assert all(sess() is None for sess in sessions)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors compute with denormals at full speed")
class TestDenormals:
    """Results below the normal range are 0 in a run, and as ever outside of it."""

    def test_results_are_flushed_and_operands_are_not(self) -> None:
        x = tf.placeholder(tf.float32, [None])
        tiny = np.full(100_000, 1e-40, np.float32)
        with tf.Session() as sess:
            np.testing.assert_array_equal(sess.run(x * 0.5, {x: tiny}), 0)
            np.testing.assert_allclose(sess.run(x * 1e20, {x: tiny}), tiny * np.float32(1e20), rtol=1e-6)

    def test_the_callers_arithmetic_stays_as_it_is(self) -> None:
        x = tf.placeholder(tf.float32, [4])
        with tf.Session() as sess:
            for fetch in (x * 2.0, tf.gather(x, [0])):
                sess.run(fetch, {x: np.ones(4)})
                assert np.float32(1e-38) * np.float32(0.1) != 0


def test_a_fed_constant_that_must_also_run() -> None:
    with tf.Graph().as_default() as graph:
        c = tf.constant([1.0, 2.0])
        with tf.control_dependencies([c.op]):
            doubled = tf.identity(c * 2.0)
        with tf.Session(graph=graph) as session:
            assert session.run(doubled, {c: [5.0, 6.0]}).tolist() == [10.0, 12.0]
            assert session.run(doubled).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("size", [(1 << 24) + 5, (1 << 24) + 2048 * 3])
def test_a_result_written_past_the_caches(size: int) -> None:
    rng = np.random.default_rng(0)
    start = rng.random(size, np.float32)
    with tf.Graph().as_default() as graph:
        fed = tf.placeholder(tf.float32, [size])
        x, y = tf.Variable(tf.zeros([size])), tf.Variable(tf.zeros([size]))
        step = tf.assign(y, x * 2.0 + 1.0).op
        with tf.Session(graph=graph) as session:
            session.run([x.initializer, y.initializer])
            session.run(tf.assign(x, fed).op, {fed: start})
            assert "stream_copy" in session.plan(step).plan.kernels[0].source
            session.run(step)
            np.testing.assert_allclose(session.run(y), start * 2 + 1, rtol=1e-6)
