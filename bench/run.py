"""The benchmark's command line: `python -m bench.run [--only work,…] [--rounds N] [--quick]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import process_report, processes, report, works
from bench.connection import WorkerError
from bench.environments import PEERS, NotAvailable, interpreter
from bench.rounds import Settings, Workers, measure

RESULTS = Path(__file__).resolve().parent / "results"
BIG_GRAPHS = {  # the row: the work, and how it is told
    "big_graph": ("small_ops", process_report.big_graph_row),
    "big_gradients": ("gradients", process_report.big_gradients_row),
}
PROCESS_ROWS = ("first_step", "deep_mnist_process", "language_model_process", *BIG_GRAPHS, "checkpoint", "memory")
ROWS = (*(name for name in works.NAMES if name != "triad"), *PROCESS_ROWS)
Measured = tuple[list[report.Row], object]  # rows of the table, raw measurement as plain data


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="flowc beside TensorFlow 2, JAX, PyTorch")
    parser.add_argument("--only", default=",".join(ROWS), help=f"comma-separated rows: {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, help="rounds of turns (default 9; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="few rounds, and nothing that takes minutes")
    parser.add_argument("--runs", type=int, help="runs of the memory row (default 1,000,000; 100,000 with --quick)")
    parser.add_argument("--slow-seconds", type=float, default=300, help="seconds that a slow first run may take (300)")
    options = parser.parse_args()
    unknown = sorted(set(options.only.split(",")) - set(ROWS))
    if unknown:
        parser.error(f"no row called {', '.join(unknown)}; there are {', '.join(ROWS)}")
    options.rounds = options.rounds or (3 if options.quick else 9)
    options.runs = options.runs or (100_000 if options.quick else 1_000_000)
    return options


def result_or_reason(measure: Callable[[], dict[str, Any]]) -> dict[str, Any] | str:
    """What a process of flowc measured, or why there is no figure."""
    try:
        return measure()
    except WorkerError as error:
        return f"failed: {error}"


def launched(work: str, rows: Callable[[list[processes.Launches]], list[report.Row]], settings: Settings) -> Measured:
    launches = processes.first_steps(settings, work)
    return rows(launches), [asdict(item) for item in launches]


def big_graph(name: str, settings: Settings) -> Measured:
    work, row = BIG_GRAPHS[name]
    timings = processes.big_graph(work, settings)
    return [row(timings)], {key: asdict(item) for key, item in timings.items()}


def checkpoint(settings: Settings) -> Measured:
    result = result_or_reason(lambda: processes.checkpoints(settings))
    return [process_report.checkpoint_row(result)], result


def memory(runs: int, settings: Settings) -> Measured:
    result = result_or_reason(lambda: processes.memory(runs, settings))
    return [process_report.memory_row(result)], result


def timed(name: str, settings: Settings, workers: Workers) -> Measured:
    measured = measure(name, workers, settings)
    plain = {work: {key: asdict(item) for key, item in each.items()} for work, each in measured.items()}
    return [report.work_row(name, measured)], plain


def measured_row(name: str, options: argparse.Namespace, settings: Settings, workers: Workers) -> Measured:
    """Measures what the row `name` says."""
    if name in BIG_GRAPHS:
        return big_graph(name, settings)
    whole: dict[str, Callable[[], Measured]] = {
        "first_step": lambda: launched("mnist_softmax", process_report.first_step_rows, settings),
        "deep_mnist_process": lambda: launched("deep_mnist", process_report.deep_mnist_rows, settings),
        "language_model_process": lambda: launched("language_model", process_report.language_model_rows, settings),
        "checkpoint": lambda: checkpoint(settings),
        "memory": lambda: memory(options.runs, settings),
    }
    return whole[name]() if name in whole else timed(name, settings, workers)


def processor() -> str:
    """The processor's name, as Linux gives it, or the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def peers_ready() -> None:
    """Makes the peers' environments, and says which of them cannot be had."""
    for peer in PEERS:
        try:
            interpreter(peer)
        except NotAvailable as error:
            print(f"{peer}: not available: {error}", flush=True)


def main() -> None:
    options = arguments()
    logs = RESULTS / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    settings = Settings(options.rounds, options.quick, options.slow_seconds, logs)
    peers_ready()
    rows: list[report.Row] = []
    raw: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as cache, Workers(logs, Path(cache)) as workers:
        for name in (row for row in ROWS if row in options.only.split(",")):
            new_rows, raw[name] = measured_row(name, options, settings, workers)
            rows += new_rows
            print("\n".join(report.text(row) for row in new_rows), end="\n\n", flush=True)
        versions = workers.versions
    write(rows, raw, {"processor": processor(), "cores": os.cpu_count(), "rounds": options.rounds, **versions})


def write(rows: list[report.Row], raw: dict[str, object], about: dict[str, object]) -> None:
    """The table and every sample, under `bench/results/`."""
    about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), **about}
    heading = ", ".join(f"{key} {value}" for key, value in about.items())
    table = report.markdown(rows)
    (RESULTS / "results.md").write_text(f"{heading}\n\n{table}\n")
    (RESULTS / "results.json").write_text(json.dumps({"about": about, "measurements": raw}, indent=1))
    print(f"{heading}\n\n{table}\n\nwritten to bench/results/results.md and results.json")


if __name__ == "__main__":
    main()
