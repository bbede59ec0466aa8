"""A training step of the guide's CIFAR-10 program, whose batches its own threads read and distort, beside itself fed.

It is one graph: fed with a batch, it takes none from its queue. What the input costs the step is the difference.
"""

from __future__ import annotations

from functools import cache
from itertools import cycle
from typing import Any

import numpy as np

from bench.cifar10_files import BATCH, SHUFFLED, folder
from bench.work import Arrays, Case, Target, Work


def expected() -> Arrays:
    """How many losses are no numbers."""
    return {"not finite": np.array(0)}


@cache
def _program() -> tuple[Any, Any, Any]:
    """A session whose queues are filled, what to run in it for a step, and the tensors of its batch."""
    import flowc as tf
    from flowc.models.image.cifar10 import cifar10

    with tf.Graph().as_default():
        images, labels = cifar10.distorted_inputs(folder(), BATCH, SHUFFLED)
        loss = cifar10.loss(cifar10.inference(images), labels)
        train = cifar10.train(loss, tf.Variable(0, trainable=False))
        session = tf.Session()
        session.run(tf.initialize_all_variables())
        tf.train.start_queue_runners(session)
    return session, [loss, train], [images, labels]


def _case(feeds: list[dict[Any, Any]]) -> Case:
    session, fetches, _ = _program()
    losses: list[float] = []
    batches = cycle(feeds)
    return Case(
        lambda: losses.append(session.run(fetches, next(batches))[0]),
        lambda: {"not finite": np.sum(~np.isfinite(losses))},
    )


def piped() -> Case:
    return _case([{}])


def fed() -> Case:
    session, _, batch = _program()
    return _case([dict(zip(batch, session.run(batch), strict=True)) for _ in range(4)])


WORK = Work(
    name="cifar10_piped",
    title="CIFAR-10 program's training step, input by its own threads (peer: fed from memory)",
    targets=(Target(1.05, "flowc.fed"),),
    systems={"flowc": piped, "flowc.fed": fed},
    expected=expected,
)
