"""The probabilities of the classes of one image by the guide's deep MNIST model, from NumPy to NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from bench.deep_mnist import SYSTEMS, Deep, batches, classifying_case
from bench.deep_mnist_numpy import probabilities
from bench.work import Case, Floats, Target, Work

COUNT = 1


def images() -> Floats:
    return batches()[0][0][:COUNT].copy()


def _case(model: Callable[[], Deep]) -> Callable[[], Case]:
    return lambda: classifying_case(model(), images())


WORK = Work(
    name="deep_mnist_classify_1",
    title="deep MNIST inference, batch 1",
    targets=(Target(0.8),),
    systems={system: _case(model) for system, model in SYSTEMS.items()},
    expected=cache(lambda: probabilities(images())),
    rtol=1e-3,
)
