"""Where queues keep elements, and what sessions keep for ops of the host."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.host.queue_storage import FirstInFirstOut, Shuffled, Store
from flowc.codegen.host.registry import Resources


def test_a_ring_that_grows_and_wraps_around() -> None:
    """Against a deque, by random steps."""
    rng = random.Random(0)
    store = Store([np.int64, object], [(2,), None], FirstInFirstOut())
    expected: deque[int] = deque()
    following = 0
    for _ in range(3000):
        count = rng.randrange(6)
        if rng.random() < 0.55:
            numbers = np.arange(following, following + count)
            texts = np.array([b"%d" % n for n in numbers], object)
            store.put_many([np.stack([numbers, -numbers], 1), texts], 0, count)
            expected.extend(numbers.tolist())
            following += count
        else:
            for _ in range(min(count, len(expected))):
                pair, text = store.take()
                number = expected.popleft()
                assert pair.tolist() == [number, -number]
                assert text.item() == b"%d" % number
        assert len(store) == len(expected)
    assert len(expected) > 100


def test_put_back_comes_first_and_in_order() -> None:
    store = Store([np.int32], [()], FirstInFirstOut())
    store.put_many([np.arange(20, dtype=np.int32)], 0, 20)
    rows = [np.empty(5, np.int32)]
    store.take_many(rows, 0, 5)
    store.put_back(rows, 5)
    assert [int(store.take()[0]) for _ in range(20)] == list(range(20))


@pytest.mark.parametrize("seed", [None, 4])
def test_a_shuffled_store_gives_each_element_once(seed: int | None) -> None:
    rng = random.Random(1)
    store = Store([np.int64], [()], Shuffled(seed))
    there: set[int] = set()
    for number in range(2000):
        store.put([np.array(number)])
        there.add(number)
        if rng.random() < 0.9:
            there.remove(int(store.take()[0]))
    rows = [np.empty(len(store), np.int64)]
    store.take_many(rows, 0, len(store))
    assert sorted(rows[0].tolist()) == sorted(there)


def test_strings_and_arrays_come_back_as_they_were() -> None:
    store = Store([object, object, np.float32], [(), (2,), None], FirstInFirstOut())
    store.put([np.array(b"x\0", object), np.array([b"a", b"b"], object), np.array(2.5, np.float32)])
    text, texts, number = store.take()
    assert (text.shape, text.dtype, text.item()) == ((), object, b"x\0")
    assert texts.tolist() == [b"a", b"b"]
    assert (number.shape, number.dtype) == ((), np.float32)


def test_resources_of_a_closed_session() -> None:
    resources = Resources()
    made = resources.get("a", lambda: [1])
    assert resources.get("a", lambda: [2]) is made
    resources.close()
    with pytest.raises(tf.errors.CancelledError, match="session was closed"):
        resources.get("a", lambda: [3])
