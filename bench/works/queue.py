"""One element put into a FIFOQueue and taken out again: a run that enqueues float32[100], and one that dequeues it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work, random

X = random(100, seed=1)


def expected() -> Arrays:
    return {"element": X.astype(np.float64)}


def _case(tf: Any) -> Case:
    """The program of the graph API, the same in both."""
    queue = tf.FIFOQueue(10, tf.float32, [[100]])
    x = tf.placeholder(tf.float32, [100])
    put, taken = queue.enqueue(x), queue.dequeue()
    session = tf.Session()

    def step() -> Any:
        session.run(put, {x: X})
        return session.run(taken)

    return Case(step, lambda: {"element": step()})


def in_flowc() -> Case:
    import flowc as tf

    return _case(tf)


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    return _case(tf)


WORK = Work(
    name="queue",
    title="enqueue and dequeue, a run each",
    targets=(Target(0.8, "tf"),),
    systems={"flowc": in_flowc, "tf": in_tensorflow},
    expected=expected,
)
