"""Times works: every system prepared and checked, then round after round, each system in its turn: A B C A B C …"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from bench import works
from bench.connection import Connection, WorkerError
from bench.environments import NotAvailable
from bench.work import Work, environment_of

SAMPLE_SECONDS = 0.02
TURN_SECONDS = 0.1
SAMPLES_A_TURN = 5
PAUSE_SECONDS = 0.02  # between turns, so that the last system's threads have stopped spinning
ANSWER_SECONDS = 120.0


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure. `quick` leaves out what takes minutes."""

    rounds: int
    quick: bool
    slow_seconds: float
    logs: Path


@dataclass
class Timing:
    """What one system did on one work. Times in seconds; `problem` says why there are none."""

    system: str
    build: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    calls: int = 1
    samples: list[float] = field(default_factory=list)
    problem: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.samples) if self.samples else math.nan


class Workers:
    """One worker process an environment, started when first asked for, and again after it died.

    A system whose first run takes minutes has a process to itself: it may have to be killed.
    """

    def __init__(self, logs: Path, cache: Path) -> None:
        self.logs, self.cache = logs, cache
        self.connections: dict[str, Connection] = {}
        self.unavailable: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def get(self, work: Work, system: str) -> Connection:
        """Raises NotAvailable (the reason is kept, and told again) or WorkerError."""
        environment = environment_of(system)
        if environment in self.unavailable:
            raise NotAvailable(self.unavailable[environment])
        key = system if system in work.slow else environment
        connection = self.connections.get(key)
        if connection is None or not connection.alive:
            connection = self.connections[key] = self._start(environment)
        return connection

    def _start(self, environment: str) -> Connection:
        try:
            connection = Connection(environment, self.logs / f"{environment}.log", self.cache)
        except (NotAvailable, WorkerError) as error:
            self.unavailable[environment] = str(error)
            raise NotAvailable(str(error)) from None
        self.versions[environment] = f"{connection.hello['package']} {connection.hello['version']}"
        return connection

    def release(self) -> None:
        """Frees what the workers have prepared."""
        for connection in self.connections.values():
            if connection.alive:
                connection.ask({"do": "release"}, ANSWER_SECONDS)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for connection in self.connections.values():
            connection.close()


@contextmanager
def noting_problems(timing: Timing) -> Iterator[None]:
    """A system that cannot do a work keeps its place in the table, with the reason."""
    try:
        yield
    except NotAvailable as error:
        timing.problem = f"not available: {error}"
    except WorkerError as error:
        timing.problem = f"failed: {error}"
    except AssertionError as error:
        timing.problem = f"wrong result: {error}"


def check(work: Work, saved: Path) -> None:
    """Compares a system's result with the expected one. Raises AssertionError with the largest differences."""
    with np.load(saved) as result:
        for name, expected in work.expected().items():
            actual = result[name].reshape(expected.shape).astype(expected.dtype)
            difference = float(np.max(np.abs(actual - expected), initial=0.0))
            if not np.allclose(actual, expected, work.rtol, work.atol):
                raise AssertionError(f"{name} differs by up to {difference:.3g}")


def prepare(connection: Connection, work: Work, timing: Timing, seconds: float) -> None:
    """Builds the case, takes its first steps and checks their result. Raises WorkerError or AssertionError."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "result.npz"
        request = {"do": "prepare", "work": work.name, "system": timing.system, "save": str(saved)}
        reply = connection.ask(request, seconds)
        check(work, saved)
    timing.build.append(reply["build"])
    timing.first.append(reply["first"])


def take_turn(connection: Connection, work: Work, timing: Timing, samples: int) -> list[float]:
    """Seconds a call, one number a sample of `timing.calls` calls."""
    request = {"do": "time", "work": work.name, "system": timing.system, "calls": timing.calls, "samples": samples}
    seconds: list[float] = connection.ask(request, ANSWER_SECONDS)["seconds"]
    return seconds


def calibrate(connection: Connection, work: Work, timing: Timing) -> None:
    """Sets `timing.calls` so that a sample takes about `SAMPLE_SECONDS`."""
    for _ in range(3):
        seconds = min(take_turn(connection, work, timing, samples=1))
        timing.calls = max(1, math.ceil(SAMPLE_SECONDS / seconds))
        if timing.calls == 1:
            break


def _prepare_all(entries: list[tuple[Work, Timing]], workers: Workers, settings: Settings) -> None:
    for work, timing in entries:
        slow = timing.system in work.slow
        if settings.quick and slow:
            timing.problem = "not tried with --quick: its first run takes minutes"
            continue
        seconds = settings.slow_seconds if slow else ANSWER_SECONDS
        with noting_problems(timing):
            connection = workers.get(work, timing.system)
            prepare(connection, work, timing, seconds)
            calibrate(connection, work, timing)


def _time_all(entries: list[tuple[Work, Timing]], workers: Workers, rounds: int) -> None:
    for _ in range(rounds):
        for work, timing in entries:
            if timing.problem:
                continue
            with noting_problems(timing):
                connection = workers.get(work, timing.system)
                timing.samples += take_turn(connection, work, timing, samples=1)
                more = int(TURN_SECONDS / (timing.calls * timing.samples[-1]))
                timing.samples += take_turn(connection, work, timing, min(SAMPLES_A_TURN, more))
            time.sleep(PAUSE_SECONDS)


def measure(name: str, workers: Workers, settings: Settings) -> dict[str, dict[str, Timing]]:
    """The timings of the work `name`, and of those timed beside it: by work, then by system."""
    measured = [works.load(name), *(works.load(other) for other in works.load(name).beside)]
    result = {work.name: {system: Timing(system) for system in work.systems} for work in measured}
    entries = [(work, timing) for work in measured for timing in result[work.name].values()]
    _prepare_all(entries, workers, settings)
    _time_all(entries, workers, settings.rounds)
    workers.release()
    return result
