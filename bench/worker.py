"""A worker: builds works in one environment's package and times them, as told by JSON lines on standard input.

Runs as `python -m bench.worker ENVIRONMENT` under that environment's own interpreter. One request a line, one reply a
line:

    (start)                                          → {"package", "version", "python", "import"}
    {"do": "prepare", "work", "system", "save"}      → {"build", "first"}   seconds; results go to the file `save`
    {"do": "time", "work", "system", "calls", "samples"} → {"seconds": [...]}   seconds a call, one number a sample
    {"do": "release"}                                → {}

A request that fails is answered {"error": "ErrorClass: message"}; the worker lives on.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from itertools import repeat
from time import perf_counter
from typing import Any, TextIO, cast

import numpy as np

from bench import works
from bench.work import PACKAGES, Array, Case

WARM_UP_SECONDS = 0.2
WARM_UP_CALLS = 2000


class Worker:
    """One environment's package, and the cases that are prepared, by (work, system)."""

    def __init__(self, environment: str) -> None:
        start = perf_counter()
        self.package = import_module(PACKAGES[environment])
        self.import_seconds = perf_counter() - start
        self.cases: dict[tuple[str, str], Case] = {}

    def hello(self) -> dict[str, Any]:
        return {
            "package": self.package.__name__,
            "version": str(getattr(self.package, "__version__", "development")),
            "python": platform.python_version(),
            "import": self.import_seconds,
        }

    def prepare(self, work: str, system: str, save: str) -> dict[str, Any]:
        """Builds, takes the first step, then the steps that the check needs, saves the result, warms up."""
        definition = works.load(work)
        definition.expected()  # the data is read and made before the clock starts
        with self._default_graph(system):
            start = perf_counter()
            case = definition.systems[system]()
            built = perf_counter()
            case.step()
            stepped = perf_counter()
            for _ in range(definition.check_steps - 1):
                case.step()
            results: dict[str, Any] = {name: as_numpy(value) for name, value in case.result().items()}
            np.savez(save, **results)
        self.cases[work, system] = case
        self._warm_up(case.step)
        return {"build": built - start, "first": stepped - built}

    def time(self, work: str, system: str, calls: int, samples: int) -> dict[str, Any]:
        step = self.cases[work, system].step
        return {"seconds": [seconds_a_call(step, calls) for _ in range(samples)]}

    def release(self) -> dict[str, Any]:
        """Frees what was prepared."""
        self.cases.clear()
        gc.collect()
        return {}

    def _default_graph(self, system: str) -> AbstractContextManager[Any]:
        """The programs of the graph API begin with an empty default graph."""
        if system not in ("flowc", "flowc.callable", "tf"):
            return nullcontext()
        graph = self.package.Graph()
        return cast(AbstractContextManager[Any], graph.as_default())

    def _warm_up(self, step: Callable[[], object]) -> None:
        end = perf_counter() + WARM_UP_SECONDS
        for _ in range(WARM_UP_CALLS):
            step()
            if perf_counter() > end:
                break


def seconds_a_call(step: Callable[[], object], calls: int) -> float:
    """Mean time of `calls` calls in a row, the garbage collector held off as `timeit` does."""
    gc.collect()
    gc.disable()
    try:
        start = perf_counter()
        for _ in repeat(None, calls):
            step()
        return (perf_counter() - start) / calls
    finally:
        gc.enable()


def as_numpy(value: object) -> Array:
    """A result of any of the systems, as a NumPy array."""
    convert = getattr(value, "numpy", None)
    return np.asarray(convert() if convert is not None else value)


def answer(worker: Worker, request: Mapping[str, Any]) -> dict[str, Any]:
    """The reply to one request."""
    actions: dict[str, Callable[..., dict[str, Any]]] = {
        "prepare": worker.prepare,
        "time": worker.time,
        "release": worker.release,
    }
    arguments = {key: value for key, value in request.items() if key != "do"}
    try:
        return actions[request["do"]](**arguments)
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        return {"error": f"{type(error).__name__}: {lines[0]}"}


def take_standard_output() -> TextIO:
    """Standard output for the protocol alone: whatever a package prints goes to standard error."""
    protocol = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return protocol


def requests() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    protocol = take_standard_output()
    worker = Worker(sys.argv[1])
    print(json.dumps(worker.hello()), file=protocol)
    for request in requests():
        print(json.dumps(answer(worker, request)), file=protocol)


if __name__ == "__main__":
    main()
