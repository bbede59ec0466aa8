"""Coordinators, and the threads that queue runners make."""

from __future__ import annotations

import re
import sys
import threading
import time

import pytest

import flowc as tf


def started(function: object) -> threading.Thread:
    """A thread that runs the function."""
    thread = threading.Thread(target=function, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_stopping() -> None:
    coord = tf.train.Coordinator()
    assert not coord.should_stop()
    assert not coord.wait_for_stop(0.01)
    coord.request_stop()
    assert coord.should_stop()
    assert coord.wait_for_stop()


def test_join_waits_for_threads_that_end_by_themselves() -> None:
    coord = tf.train.Coordinator()
    done = []
    threads = [started(lambda: (time.sleep(0.05), done.append(1))) for _ in range(3)]
    coord.join(threads)
    assert len(done) == 3
    assert not coord.should_stop()
    coord.join([])


def test_join_waits_for_a_stop() -> None:
    coord = tf.train.Coordinator()
    threads = [started(coord.wait_for_stop) for _ in range(3)]
    started(lambda: (time.sleep(0.05), coord.request_stop()))
    coord.join(threads)
    assert not any(thread.is_alive() for thread in threads)


def test_threads_that_do_not_stop() -> None:
    coord = tf.train.Coordinator()
    end = threading.Event()
    threads = [started(end.wait), started(coord.wait_for_stop)]
    coord.request_stop()
    words = f"Coordinator stopped with threads still running: {threads[0].name}"
    with pytest.raises(RuntimeError, match=re.escape(words)):
        coord.join(threads, stop_grace_period_secs=0.02)
    end.set()


def test_the_first_exception_is_raised_by_join() -> None:
    coord = tf.train.Coordinator()

    def fail() -> None:
        try:
            raise ValueError("first")
        except ValueError:
            coord.request_stop(sys.exc_info())
        coord.request_stop(KeyError("second"))

    with pytest.raises(ValueError, match="first"):
        coord.join([started(fail)])


def test_an_exception_after_a_stop_does_not_count() -> None:
    coord = tf.train.Coordinator()
    coord.request_stop()
    coord.request_stop(ValueError("late"))
    coord.join([])


def test_stop_on_exception() -> None:
    coord = tf.train.Coordinator()
    with coord.stop_on_exception():
        raise ValueError("inside")
    assert coord.should_stop()
    with pytest.raises(ValueError, match="inside"):
        coord.join([])


# -- queue runners -----------------------------------------------------------------------------------------------------


class Counter:
    """A queue of ints that an operation adds to, `limit` times."""

    def __init__(self, limit: int, threads: int = 1) -> None:
        self.session = tf.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            self.queue = tf.FIFOQueue(10, tf.int32, [()])
            self.left = limit
            self.lock = threading.Lock()
            item = tf.py_func(self.next, [], [tf.int32])[0]
            item.set_shape([])
            self.runner = tf.train.QueueRunner(self.queue, [self.queue.enqueue([item])] * threads)
            tf.train.add_queue_runner(self.runner)
            self.dequeue, self.size = self.queue.dequeue(), self.queue.size()

    def next(self) -> int:
        with self.lock:
            self.left -= 1
            if self.left < 0:
                raise self.end()
            return self.left

    def end(self) -> Exception:
        return tf.errors.OutOfRangeError(None, None, "all is counted")

    def all(self) -> list[int]:
        """All that is left in the queue, until it is closed."""
        found = []
        try:
            while True:
                found.append(int(self.session.run(self.dequeue)))
        except tf.errors.OutOfRangeError:
            return found


def ended(threads: list[threading.Thread]) -> bool:
    """Whether all threads end soon."""
    for thread in threads:
        thread.join(10)
    return not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_queue_is_closed_when_all_threads_are_through(threads: int) -> None:
    counter = Counter(100, threads)
    running = counter.runner.create_threads(counter.session, start=True)
    assert len(running) == threads
    assert sorted(counter.all()) == list(range(100))
    assert ended(running)
    assert counter.runner.exceptions_raised == []


def test_a_stop_ends_threads_that_wait() -> None:
    counter = Counter(10**9)
    coord = tf.train.Coordinator()
    with counter.session.as_default():
        threads = tf.train.start_queue_runners(coord=coord)
    assert len(threads) == 2
    assert counter.session.run(counter.dequeue) == 10**9 - 1
    coord.request_stop()
    coord.join(threads, stop_grace_period_secs=10)
    with pytest.raises(tf.errors.AbortedError, match="is closed"):
        counter.session.run(counter.runner._enqueue_ops[0])


class Failing(Counter):
    """Fails in the end."""

    def end(self) -> Exception:
        return ValueError("broken")


def test_an_exception_goes_to_the_coordinator() -> None:
    counter = Failing(3)
    coord = tf.train.Coordinator()
    threads = tf.train.start_queue_runners(counter.session, coord)
    with pytest.raises(tf.errors.UnknownError, match="ValueError: broken"):
        coord.join(threads, stop_grace_period_secs=10)
    assert counter.runner.exceptions_raised == []
    assert len(counter.all()) == 3


def test_an_exception_without_a_coordinator_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    counter = Failing(3)
    assert ended(counter.runner.create_threads(counter.session, start=True))
    assert [str(e.message) for e in counter.runner.exceptions_raised] == ["ValueError: broken"]
    assert "the queue fifo_queue is no longer filled" in caplog.text


def test_closing_the_session_ends_the_threads() -> None:
    counter = Counter(10**9)
    threads = counter.runner.create_threads(counter.session, start=True)
    counter.session.run(counter.dequeue)
    counter.session.close()
    assert ended(threads)


def test_threads_that_still_run_are_not_made_again() -> None:
    counter = Counter(5)
    threads = counter.runner.create_threads(counter.session, daemon=True)
    assert [thread.daemon for thread in threads] == [True]
    with pytest.raises(RuntimeError, match="already running"):
        counter.runner.create_threads(counter.session)
    for thread in threads:
        thread.start()
    assert ended(threads)
    assert counter.runner.create_threads(counter.session)


def test_runners_of_a_collection_and_no_session() -> None:
    with tf.Graph().as_default():
        queue = tf.FIFOQueue(1, tf.int32)
        tf.train.add_queue_runner(tf.train.QueueRunner(queue, [queue.enqueue((1,))]), collection="mine")
        with pytest.raises(ValueError, match="no default session"):
            tf.train.start_queue_runners()
        with tf.Session() as session:
            assert tf.train.start_queue_runners(start=False) == []
            (thread,) = tf.train.start_queue_runners(session, start=False, collection="mine")
            assert not thread.is_alive()
