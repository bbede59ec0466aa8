"""From a process's start to its first training step done: `python -m bench.scripts.first_step SYSTEM WORK`.

Prints one JSON line: the seconds that each stage took; those of a later step; whether the compiler was imported; and
the most memory that the process ever held. The process's start is in `FLOWC_BENCH_START`, as `time.monotonic()` gives
it (one clock for all processes).
"""

import json
import os
import statistics
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from itertools import pairwise
from time import monotonic
from typing import Any

stamps = {"start": float(os.environ.get("FLOWC_BENCH_START", monotonic())), "python": monotonic()}

import numpy as np  # noqa: E402, F401

stamps["import numpy"] = monotonic()


LATER_STEPS = 5


def main(system: str, work: str) -> dict[str, Any]:
    from bench.work import PACKAGES, environment_of

    before = monotonic()
    package = import_module(PACKAGES[environment_of(system)])
    stamps["import package"] = monotonic()

    from bench import data, works

    data.BATCHES = 1  # a first step needs no more, and reading the images is not what is measured
    data.mnist_batches()
    build = works.load(work).systems[system]
    stamps["data"] = monotonic()
    with package.Graph().as_default() if system in ("flowc", "tf") else nullcontext():
        case = build()
        stamps["build"] = monotonic()
        case.step()
        stamps["first step"] = monotonic()
        later = [seconds(case.step) for _ in range(LATER_STEPS)]
    names = list(stamps)
    stages = {name: stamps[name] - stamps[earlier] for earlier, name in pairwise(names)}
    stages["import package"] = stamps["import package"] - before
    compiler = "flowc.codegen.cpu.compiler" in sys.modules
    return {"stages": stages, "step": statistics.median(later), "compiler": compiler, "peak": peak_bytes()}


def peak_bytes() -> int:
    """The most memory that this process held (Linux; what `getrusage` gives may be the parent's)."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def seconds(step: Callable[[], object]) -> float:
    start = monotonic()
    step()
    return monotonic() - start


if __name__ == "__main__":
    print("\n" + json.dumps(main(*sys.argv[1:])))
