"""What a benchmark *work* is: one computation, its expected result, and how each system's good users write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Arrays = dict[str, Array]

#: Environments that works run in, one worker process each. A system such as "torch.compile" runs in that of "torch".
#: "native" is this Python and C, for what the machine itself can do.
PACKAGES = {"flowc": "flowc", "tf": "tensorflow", "jax": "jax", "torch": "torch", "native": "ctypes"}


def environment_of(system: str) -> str:
    """`"torch.compile"` → `"torch"`."""
    return system.partition(".")[0]


@dataclass(frozen=True)
class Case:
    """A work made ready in one system. One `step()` is what is timed; it returns when its result is there.

    `result()` gives the arrays that are compared with `Work.expected()`, after `Work.check_steps` calls of `step`.
    """

    step: Callable[[], object]
    result: Callable[[], Mapping[str, object]]


@dataclass(frozen=True)
class Target:
    """flowc's time is to be at most `ratio` × that of the system `peer`, or, where none is named, of the best peer."""

    ratio: float
    peer: str = ""

    def __str__(self) -> str:
        return f"≤ {self.ratio:g} × {self.peer or 'best peer'}"


@dataclass(frozen=True)
class BandwidthTarget:
    """flowc is to move bytes at `ratio` × the rate of the fastest system of the work `yardstick`, or faster."""

    ratio: float
    yardstick: str

    def __str__(self) -> str:
        return f"≥ {self.ratio:g} × {self.yardstick} bandwidth"


@dataclass(frozen=True)
class Work:
    """One row of the table. `systems` maps a system's name to the function that builds its `Case`.

    A system's name is its environment's, with a suffix where it is a variant: "torch", "torch.compile". The builders of
    "flowc" and "tf" are called with a fresh default graph.

    Args:
        expected: the result after `check_steps` steps, computed with NumPy in float64 (or int64).
        rtol, atol: tolerance of the comparison, as in `numpy.testing.assert_allclose`.
        bytes_moved: bytes that a step must read and write at least; given where bandwidth is the target.
        beside: names of works that are timed in the same rounds.
        slow: systems whose first step takes minutes. They get one attempt, and none with `--quick`.
    """

    name: str
    title: str
    targets: tuple[Target | BandwidthTarget, ...]
    systems: Mapping[str, Callable[[], Case]]
    expected: Callable[[], Arrays]
    check_steps: int = 3
    rtol: float = 1e-4
    atol: float = 1e-5
    bytes_moved: int = 0
    beside: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()


def random(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Floats:
    """Uniform float32 numbers, the same in every process."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)
