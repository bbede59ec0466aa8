"""Queues in sessions: order, waiting, closing, sharing; and many threads at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowc as tf


class Thread(threading.Thread):
    """Runs a function; keeps its result or exception."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._function()
        except Exception as error:
            self.result = error

    def outcome(self) -> Any:
        """What came out, within ten seconds."""
        self.join(10)
        assert not self.is_alive()
        return self.result

    def waits(self) -> bool:
        """Whether it has not ended a little later."""
        self.join(0.05)
        return self.is_alive()


# -- order -------------------------------------------------------------------------------------------------------------


def test_first_in_first_out(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, [tf.float32, tf.string], shapes=[(2,), ()])
    x, name = tf.placeholder(tf.float32, [2]), tf.placeholder(tf.string, [])
    enqueue = queue.enqueue((x, name))
    for i in range(3):
        session.run(enqueue, {x: [i, i + 0.5], name: f"item {i}"})
    assert session.run(queue.size()) == 3
    vector, text = session.run(queue.dequeue())
    np.testing.assert_array_equal(vector, [0, 0.5])
    assert (text, type(text)) == (b"item 0", bytes)
    vectors, texts = session.run(queue.dequeue_many(2))
    np.testing.assert_array_equal(vectors, [[1, 1.5], [2, 2.5]])
    assert texts.tolist() == [b"item 1", b"item 2"]


def test_what_is_dequeued_goes_on_to_kernels(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, [tf.float32], shapes=[(3,)])
    session.run(queue.enqueue_many([np.arange(6, dtype=np.float32).reshape(2, 3)]))
    total = tf.reduce_sum(queue.dequeue_many(2) * 2.0, 1)
    np.testing.assert_array_equal(session.run(total), [6, 24])


def test_elements_of_any_shape(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, tf.float32)
    x = tf.placeholder(tf.float32)
    enqueue, enqueue_many, dequeue = queue.enqueue((x,)), queue.enqueue_many((x,)), queue.dequeue()
    for value in (1.0, [2.0, 3.0], np.zeros((0, 2))):
        session.run(enqueue, {x: value})
    session.run(enqueue_many, {x: [[1.0, 2.0], [3.0, 4.0]]})
    assert [np.shape(session.run(dequeue)) for _ in range(5)] == [(), (2,), (0, 2), (2,), (2,)]
    with pytest.raises(tf.errors.InvalidArgumentError, match="requires the components to have specified shapes"):
        session.run(queue.dequeue_many(1))


def test_an_element_is_a_copy(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, tf.float32, [(2,)])
    x = tf.placeholder(tf.float32, [2])
    value = np.array([1, 2], np.float32)
    session.run(queue.enqueue((x,)), {x: value})
    value[:] = 7
    np.testing.assert_array_equal(session.run(queue.dequeue()), [1, 2])


def test_wrong_shapes_and_types_at_run_time(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, [tf.float32, tf.int32], [(2,), ()])
    x, y = tf.placeholder(tf.float32), tf.placeholder(tf.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"tuple component 0. Expected \[2\], got \[3\]"):
        session.run(queue.enqueue((x, y)), {x: [1, 2, 3], y: 0})
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"tuple component 0. Expected \[\?,2\], got \[1,3\]"):
        session.run(queue.enqueue_many((x, y)), {x: [[1, 2, 3]], y: [0]})
    with pytest.raises(tf.errors.InvalidArgumentError, match="same size in the 0th dimension"):
        session.run(queue.enqueue_many((x, y)), {x: [[1, 2]], y: [0, 1]})
    n = tf.placeholder(tf.int32, [])
    with pytest.raises(tf.errors.InvalidArgumentError, match="-1 < 0 elements"):
        session.run(queue.dequeue_many(n), {n: -1})
    assert session.run(queue.size()) == 0


def test_none_and_no_elements(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, [tf.float32], [(2,)])
    session.run(queue.enqueue_many([np.zeros((0, 2), np.float32)]))
    assert session.run(queue.size()) == 0
    assert session.run(queue.dequeue_many(0)).shape == (0, 2)


def test_shuffled_elements_all_come_in_another_order(session: tf.Session) -> None:
    queue = tf.RandomShuffleQueue(100, 0, tf.int32, [()], seed=1)
    session.run(queue.enqueue_many([range(100)]))
    one, many = queue.dequeue(), queue.dequeue_many(30)
    found = [int(session.run(one)) for _ in range(40)] + session.run(many).tolist() + session.run(many).tolist()
    assert sorted(found) == list(range(100))
    assert found != list(range(100))


def test_a_seed_repeats_the_order(graph: tf.Graph) -> None:
    queue = tf.RandomShuffleQueue(50, 0, tf.int32, [()], seed=5)
    fill, take = queue.enqueue_many([range(50)]), queue.dequeue_many(50)
    orders = []
    for _ in range(2):
        with tf.Session() as session:
            session.run(fill)
            orders.append(session.run(take).tolist())
    assert orders[0] == orders[1]


def test_each_element_is_as_likely_to_come_next(session: tf.Session) -> None:
    queue = tf.RandomShuffleQueue(10, 0, tf.int64, [()], seed=2)
    fill, take = queue.enqueue_many([range(10)]), queue.dequeue_many(10)
    counts = np.zeros((10, 10))
    for _ in range(500):
        session.run(fill)
        counts[np.arange(10), session.run(take)] += 1
    chi_squared = ((counts - 50) ** 2 / 50).sum()
    assert 40 < chi_squared < 130  # 81 degrees of freedom: 99.9 % of all seeds


def test_some_must_stay_to_choose_from(session: tf.Session) -> None:
    queue = tf.RandomShuffleQueue(10, 4, tf.int32, [()])
    session.run(queue.enqueue_many([range(5)]))
    dequeue = queue.dequeue()
    session.run(dequeue)
    waiting = Thread(lambda: session.run(dequeue))
    assert waiting.waits()
    session.run(queue.close())
    assert waiting.outcome() in range(5)
    assert session.run(queue.dequeue_many(3)).shape == (3,)


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_dequeue_waits_for_elements(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, tf.int32, [()])
    many = Thread(lambda: session.run(queue.dequeue_many(3)).tolist())
    session.run(queue.enqueue((1,)))
    session.run(queue.enqueue((2,)))
    assert many.waits()
    session.run(queue.enqueue((3,)))
    assert many.outcome() == [1, 2, 3]


def test_enqueue_waits_for_room(session: tf.Session) -> None:
    queue = tf.FIFOQueue(3, tf.int32, [()])
    waiting = Thread(lambda: session.run(queue.enqueue_many([range(8)])))
    assert waiting.waits()
    dequeue = queue.dequeue()
    assert [session.run(dequeue) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert waiting.outcome() is None
    assert session.run(queue.size()) == 3


def test_more_elements_at_once_than_the_queue_holds(session: tf.Session) -> None:
    queue = tf.FIFOQueue(2, tf.int32, [()])
    waiting = Thread(lambda: session.run(queue.dequeue_many(7)).tolist())
    session.run(queue.enqueue_many([range(8)]))
    assert waiting.outcome() == list(range(7))
    assert session.run(queue.size()) == 1


def test_those_who_wait_are_served_in_turn(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, tf.int32, [()])
    dequeue_many = queue.dequeue_many(2)
    first = Thread(lambda: session.run(dequeue_many).tolist())
    assert first.waits()
    second = Thread(lambda: session.run(dequeue_many).tolist())
    assert second.waits()
    session.run(queue.enqueue_many([range(4)]))
    assert (first.outcome(), second.outcome()) == ([0, 1], [2, 3])


def test_a_run_that_waits_blocks_no_other(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, tf.float32, [()])
    count = tf.Variable(0.0)
    session.run(tf.initialize_all_variables())
    waiting = Thread(lambda: session.run(count + queue.dequeue()))
    assert waiting.waits()
    assert session.run(count.assign_add(5.0)) == 5
    session.run(queue.enqueue((1.0,)))
    assert waiting.outcome() in (1.0, 6.0)


# -- closing -----------------------------------------------------------------------------------------------------------


def test_a_closed_queue(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, tf.int32, [()])
    session.run(queue.enqueue_many([range(3)]))
    session.run(queue.close())
    with pytest.raises(tf.errors.AbortedError, match="FIFOQueue 'fifo_queue' is closed"):
        session.run(queue.enqueue((1,)))
    with pytest.raises(tf.errors.AbortedError, match="is closed"):
        session.run(queue.enqueue_many([[1]]))
    words = r"is closed and has insufficient elements \(requested 4, current size 3\)"
    with pytest.raises(tf.errors.OutOfRangeError, match=words) as caught:
        session.run(queue.dequeue_many(4))
    assert caught.value.op.type == "QueueDequeueMany"
    assert session.run(queue.dequeue_many(3)).tolist() == [0, 1, 2]
    with pytest.raises(tf.errors.OutOfRangeError, match=r"\(requested 1, current size 0\)"):
        session.run(queue.dequeue())
    session.run(queue.close())


def test_closing_ends_waiting_for_elements_which_stay(session: tf.Session) -> None:
    queue = tf.FIFOQueue(10, tf.int32, [()])
    session.run(queue.enqueue_many([range(3)]))
    waiting = Thread(lambda: session.run(queue.dequeue_many(5)))
    assert waiting.waits()
    session.run(queue.close())
    assert isinstance(waiting.outcome(), tf.errors.OutOfRangeError)
    assert session.run(queue.dequeue_many(3)).tolist() == [0, 1, 2]


def test_enqueues_that_wait_come_before_the_close(session: tf.Session) -> None:
    queue = tf.FIFOQueue(2, tf.int32, [()])
    session.run(queue.enqueue_many([[0, 1]]))
    enqueue = Thread(lambda: session.run(queue.enqueue((2,))))
    assert enqueue.waits()
    close = Thread(lambda: session.run(queue.close()))
    assert close.waits()
    late = Thread(lambda: session.run(queue.enqueue((3,))))
    assert late.waits()
    dequeue = queue.dequeue()
    assert [session.run(dequeue) for _ in range(3)] == [0, 1, 2]
    assert (enqueue.outcome(), close.outcome()) == (None, None)
    assert isinstance(late.outcome(), tf.errors.AbortedError)


def test_cancelling_enqueues_that_wait(session: tf.Session) -> None:
    queue = tf.FIFOQueue(2, tf.int32, [()])
    enqueue = Thread(lambda: session.run(queue.enqueue_many([range(4)])))
    assert enqueue.waits()
    session.run(queue.close(cancel_pending_enqueues=True))
    error = enqueue.outcome()
    assert isinstance(error, tf.errors.CancelledError)
    assert "Enqueue operation was cancelled" in str(error)
    assert session.run(queue.dequeue_many(2)).tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["Enqueue", "Dequeue"])
def test_closing_the_session_ends_waiting(kind: str, graph: tf.Graph) -> None:
    queue = tf.FIFOQueue(1, tf.int32, [()])
    enqueue, dequeue = queue.enqueue((1,)), queue.dequeue()
    session = tf.Session()
    session.run(enqueue)
    if kind == "Dequeue":
        session.run(dequeue)
    waiting = Thread(lambda: session.run(enqueue if kind == "Enqueue" else dequeue))
    assert waiting.waits()
    session.close()
    error = waiting.outcome()
    assert isinstance(error, tf.errors.CancelledError)
    assert f"{kind} operation was cancelled" in str(error)


# -- sharing -----------------------------------------------------------------------------------------------------------


def test_sessions_have_queues_of_their_own(graph: tf.Graph) -> None:
    queue = tf.FIFOQueue(10, tf.int32, [()], shared_name="shared")
    enqueue, size = queue.enqueue((1,)), queue.size()
    with tf.Session() as one, tf.Session() as other:
        one.run(enqueue)
        assert (one.run(size), other.run(size)) == (1, 0)


def test_shared_queues(session: tf.Session) -> None:
    one, other = (tf.RandomShuffleQueue(9, 0, tf.int32, [()], seed=1, shared_name="s") for _ in range(2))
    session.run(one.enqueue((7,)))
    assert session.run(other.dequeue()) == 7
    wrong = {
        "capacity": lambda: tf.RandomShuffleQueue(8, 0, tf.int32, [()], seed=1, shared_name="s"),
        "min_after_dequeue": lambda: tf.RandomShuffleQueue(9, 1, tf.int32, [()], seed=1, shared_name="s"),
        "component types": lambda: tf.RandomShuffleQueue(9, 0, tf.int64, [()], seed=1, shared_name="s"),
        "component shapes": lambda: tf.RandomShuffleQueue(9, 0, tf.int32, [(1,)], seed=1, shared_name="s"),
        "random seeds": lambda: tf.RandomShuffleQueue(9, 0, tf.int32, [()], seed=2, shared_name="s"),
        "is a RandomShuffleQueue, not a FIFOQueue": lambda: tf.FIFOQueue(9, tf.int32, [()], shared_name="s"),
    }
    for words, make in wrong.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            session.run(make().queue_ref.op)


def test_a_queue_chosen_by_each_run(session: tf.Session) -> None:
    queues = [tf.FIFOQueue(10, tf.int32, [()]) for _ in range(3)]
    index = tf.placeholder(tf.int32, [])
    chosen = tf.QueueBase.from_list(index, queues)
    enqueue = chosen.enqueue((5,))
    session.run(enqueue, {index: 1})
    session.run(enqueue, {index: 1})
    session.run(enqueue, {index: 2})
    assert session.run([queue.size() for queue in queues]) == [0, 2, 1]
    assert session.run(chosen.dequeue(), {index: 2}) == 5
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"range \[0, 3\) but got 3"):
        session.run(enqueue, {index: 3})


# -- many threads ------------------------------------------------------------------------------------------------------

ITEMS = 16_000
THREADS = 8


def _produce(run: Callable[..., Any], worker: int, batch: int) -> None:
    for start in range(worker * ITEMS // THREADS, (worker + 1) * ITEMS // THREADS, batch):
        run(np.arange(start, start + batch))


def _consume(session: tf.Session, dequeue: tf.Tensor, found: list[int]) -> None:
    while True:
        found += np.ravel(session.run(dequeue)).tolist()


@pytest.mark.parametrize("shuffle", [False, True])
def test_nothing_is_lost_or_doubled(shuffle: bool, session: tf.Session) -> None:
    if shuffle:
        queue: tf.QueueBase = tf.RandomShuffleQueue(300, 100, tf.int64, [()])
    else:
        queue = tf.FIFOQueue(300, tf.int64, [()])
    x = tf.placeholder(tf.int64, [None])
    enqueue, dequeue = queue.enqueue_many([x]), queue.dequeue_many(5)
    found: list[list[int]] = [[] for _ in range(THREADS)]
    producers = [Thread(lambda k=k: _produce(lambda v: session.run(enqueue, {x: v}), k, 20)) for k in range(THREADS)]
    consumers = [Thread(lambda k=k: _consume(session, dequeue, found[k])) for k in range(THREADS)]
    assert [producer.outcome() for producer in producers] == [None] * THREADS
    session.run(queue.close())
    assert all(isinstance(consumer.outcome(), tf.errors.OutOfRangeError) for consumer in consumers)
    assert sorted(item for items in found for item in items) == list(range(ITEMS))


def test_nothing_is_lost_or_doubled_when_cancelled_midway(session: tf.Session) -> None:
    queue = tf.FIFOQueue(50, tf.int64, [()])
    x = tf.placeholder(tf.int64, [])
    enqueue, dequeue = queue.enqueue([x]), queue.dequeue()
    found: list[list[int]] = [[] for _ in range(THREADS)]
    accepted: list[list[int]] = [[] for _ in range(THREADS)]

    def produce(worker: int) -> None:
        for item in range(worker, 10**9, THREADS):
            session.run(enqueue, {x: item})
            accepted[worker].append(item)

    producers = [Thread(lambda k=k: produce(k)) for k in range(THREADS)]
    consumers = [Thread(lambda k=k: _consume(session, dequeue, found[k])) for k in range(THREADS)]
    time.sleep(0.3)
    session.run(queue.close(cancel_pending_enqueues=True))
    ends = (tf.errors.CancelledError, tf.errors.AbortedError)
    assert all(isinstance(producer.outcome(), ends) for producer in producers)
    assert all(isinstance(consumer.outcome(), tf.errors.OutOfRangeError) for consumer in consumers)
    assert sorted(i for items in found for i in items) == sorted(i for items in accepted for i in items)


def test_an_interrupt_ends_waiting_and_loses_nothing(session: tf.Session) -> None:
    """Ctrl-C while the main thread waits: what it took so far is there again."""
    queue = tf.FIFOQueue(10, tf.int32, [()])
    session.run(queue.enqueue_many([[1, 2]]))
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        session.run(queue.dequeue_many(3))
    timer.join()
    session.run(queue.enqueue((3,)))
    assert session.run(queue.dequeue_many(3)).tolist() == [1, 2, 3]
