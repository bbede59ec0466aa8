"""A training step of the guide's deep MNIST model: batch 50, dropout, Adam; images and labels from NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from bench.deep_mnist import CHECKED_STEPS, SYSTEMS, Deep, training_case
from bench.deep_mnist_numpy import trained_loss
from bench.work import Case, Target, Work


def _case(model: Callable[[], Deep]) -> Callable[[], Case]:
    return lambda: training_case(model())


WORK = Work(
    name="deep_mnist",
    title="deep MNIST training step, batch 50",
    targets=(Target(0.8),),
    systems={system: _case(model) for system, model in SYSTEMS.items()},
    expected=cache(trained_loss),
    check_steps=CHECKED_STEPS,
    rtol=2e-3,
)
