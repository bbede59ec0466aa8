"""The lock of queues and readers, and the columns that are copied under it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from flowc.codegen.host.queue_storage import Rows
from flowc.codegen.host.short_lock import ShortLock


@pytest.mark.parametrize("held", [0.0, 0.1])  # for the moment, and longer than anyone asks again
def test_one_thread_at_a_time(held: float) -> None:
    lock, inside, most = ShortLock(), 0, []

    def work() -> None:
        nonlocal inside
        for _ in range(3):
            with lock:
                inside += 1
                time.sleep(held)
                most.append(inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 12
    assert lock.try_acquire()
    assert not lock.try_acquire()
    lock.release()
    assert lock.try_acquire()


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "u1", "i8", "?", "c8", "O"])
@pytest.mark.parametrize("shape", [(), (3,), (0, 700), (30, 20), (501,)])
def test_rows_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    rows = Rows(np.dtype(dtype), shape)
    values = [np.full(shape, index % 2, dtype) for index in range(40)]
    for index, value in enumerate(values):
        if index == 16:
            rows.grow(list(range(16)), 64)
        rows.put(index, value)
    turned = np.asarray(values[1], order="F")
    rows.put(40, turned)
    for index, value in [*enumerate(values), (40, turned)]:
        taken = rows.take(index)
        assert (taken.dtype, taken.shape, taken.tolist()) == (value.dtype, shape, value.tolist())
