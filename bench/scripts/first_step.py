"""From a process's start to its first MNIST softmax training step done: `python -m bench.scripts.first_step SYSTEM`.

Prints one JSON line: the seconds that each stage took, and whether numba was imported. The process's start is in
`FLOWC_BENCH_START`, as `time.monotonic()` gives it (one clock for all processes).
"""

import json
import os
import sys
from contextlib import nullcontext
from importlib import import_module
from itertools import pairwise
from time import monotonic
from typing import Any

stamps = {"start": float(os.environ.get("FLOWC_BENCH_START", monotonic())), "python": monotonic()}

import numpy as np  # noqa: E402, F401

stamps["import numpy"] = monotonic()


def main(system: str) -> dict[str, Any]:
    from bench.work import PACKAGES, environment_of

    before = monotonic()
    package = import_module(PACKAGES[environment_of(system)])
    stamps["import package"] = monotonic()

    from bench import data, works

    data.BATCHES = 1  # a first step needs no more, and reading the images is not what is measured
    data.mnist_batches()
    build = works.load("mnist_softmax").systems[system]
    stamps["data"] = monotonic()
    with package.Graph().as_default() if system in ("flowc", "tf") else nullcontext():
        case = build()
        stamps["build"] = monotonic()
        case.step()
    stamps["first step"] = monotonic()
    names = list(stamps)
    stages = {name: stamps[name] - stamps[earlier] for earlier, name in pairwise(names)}
    stages["import package"] = stamps["import package"] - before
    return {"stages": stages, "numba": "numba" in sys.modules}


if __name__ == "__main__":
    print("\n" + json.dumps(main(sys.argv[1])))
