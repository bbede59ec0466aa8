"""Figures of whole processes: import, first steps with cold and warm caches, big graphs, checkpoints, memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import works
from bench.connection import Connection, WorkerError
from bench.environments import ROOT, NotAvailable, interpreter, variables
from bench.rounds import Settings, Timing, noting_problems, prepare
from bench.work import environment_of

PROCESS_SECONDS = 120.0
MEMORY_SECONDS = 1800.0
CHECKPOINT_SECONDS = 600.0
STAGES = ("python", "import numpy", "import package", "data", "build", "first step")


@dataclass
class Launches:
    """Processes of one kind: the seconds of each stage, of each launch."""

    label: str
    stages: list[dict[str, float]] = field(default_factory=list)
    later_steps: list[float] = field(default_factory=list)  # seconds
    peaks: list[int] = field(default_factory=list)  # bytes of memory
    compiler_imported: bool = False
    problem: str = ""

    def median(self, *stages: str) -> float:
        """Of the sum of these stages."""
        return statistics.median(sum(launch[stage] for stage in stages) for launch in self.stages)

    @property
    def loading(self) -> float:
        """What the first step took beyond a later one."""
        return self.median("first step") - statistics.median(self.later_steps)

    @property
    def peak(self) -> float:
        """The median of the most memory that a process held, in bytes."""
        return statistics.median(self.peaks)

    def clear(self) -> None:
        for measured in (self.stages, self.later_steps, self.peaks):
            measured.clear()


def run_script(
    module: str, arguments: Sequence[str], environment: str, cache: Path, log: Path, seconds: float
) -> dict[str, Any]:
    """What `python -m module arguments` prints on its last line, as JSON. Raises NotAvailable or WorkerError."""
    command = [interpreter(environment), "-m", module, *arguments]
    env = variables(environment, cache) | {"FLOWC_BENCH_START": repr(time.monotonic())}
    with log.open("a") as errors:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=env,
                stdout=subprocess.PIPE,
                stderr=errors,
                timeout=seconds,
                check=True,
                text=True,
            )
        except subprocess.TimeoutExpired:
            raise WorkerError(f"not done within {seconds:.0f} s") from None
        except subprocess.CalledProcessError as error:
            raise WorkerError(f"the process ended with status {error.returncode}; see {log.name}") from None
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def launch(system: str, work: str, cache: Path, settings: Settings, into: Launches) -> None:
    """One process up to its first training step, and a few more. A failure is noted in `into.problem`."""
    environment = environment_of(system)
    log = settings.logs / f"{environment}.log"
    try:
        result = run_script("bench.scripts.first_step", [system, work], environment, cache, log, PROCESS_SECONDS)
    except NotAvailable as error:
        into.problem = f"not available: {error}"
    except WorkerError as error:
        into.problem = f"failed: {error}"
    else:
        into.stages.append(result["stages"])
        into.later_steps.append(result["step"])
        into.peaks.append(result["peak"])
        into.compiler_imported = result["compiler"]


def first_steps(settings: Settings, work: str) -> list[Launches]:
    """Processes that train on `work`: flowc with empty caches, flowc once more with what that left, then each peer;
    round after round."""
    cold, warm = Launches("flowc, cold"), Launches("flowc, warm")
    peers = {system: Launches(system) for system in ("tf", "tf.function", "jax", "torch")}
    for round_ in range(settings.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for into in (cold, warm):
                launch("flowc", work, Path(folder), settings, into)
        for system, into in peers.items():
            launch(system, work, ROOT, settings, into)
        if round_ == 0:  # this round only brought the files into memory
            for into in (cold, warm, *peers.values()):
                into.clear()
    return [cold, warm, *peers.values()]


def _fresh_build(work: str, timing: Timing, cache: Path, settings: Settings) -> None:
    """Build and first run of `work` in a process that has imported the package and done nothing else."""
    environment = environment_of(timing.system)
    with (
        noting_problems(timing),
        Connection(environment, settings.logs / f"{environment}.log", cache) as connection,
    ):
        prepare(connection, works.load(work), timing, settings.slow_seconds)


def big_graph(work: str, settings: Settings) -> dict[str, Timing]:
    """Build and first run of the 10,000 ops of `work`: flowc with empty caches, flowc again, and the peers that can."""
    timings = {label: Timing(system) for label, system in _BIG_GRAPH.items()}
    for _ in range(max(1, settings.rounds // 3)):
        with tempfile.TemporaryDirectory() as folder:
            for timing in timings.values():
                if not timing.problem:
                    _fresh_build(work, timing, Path(folder), settings)
    return timings


_BIG_GRAPH = {"flowc, cold": "flowc", "flowc, warm": "flowc", "tf": "tf", "torch": "torch"}


def memory(runs: int, settings: Settings) -> dict[str, Any]:
    """Resident memory of flowc over `runs` runs. Raises WorkerError."""
    with tempfile.TemporaryDirectory() as folder:
        log = settings.logs / "flowc.log"
        return run_script("bench.scripts.memory", [str(runs)], "flowc", Path(folder), log, MEMORY_SECONDS)


def checkpoints(settings: Settings) -> dict[str, list[float]]:
    """Seconds of saving, copying and restoring a model, round after round. Raises WorkerError."""
    megabytes, rounds = ("128", "3") if settings.quick else ("1024", "5")
    arguments = ["--megabytes", megabytes, "--rounds", rounds]
    with tempfile.TemporaryDirectory() as folder:
        log = settings.logs / "flowc.log"
        return run_script("bench.checkpoints", arguments, "flowc", Path(folder), log, CHECKPOINT_SECONDS)
