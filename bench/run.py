"""The benchmark's command line: `python -m bench.run [--only work,…] [--rounds N] [--quick]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import process_report, processes, report, works
from bench.connection import WorkerError
from bench.environments import PEERS, NotAvailable, interpreter
from bench.rounds import Settings, Workers, measure

RESULTS = Path(__file__).resolve().parent / "results"
PROCESS_ROWS = ("first_step", "big_graph", "memory")
ROWS = (*(name for name in works.NAMES if name != "triad"), *PROCESS_ROWS)


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


def memory_row(runs: int, settings: Settings) -> tuple[report.Row, object]:
    try:
        result: dict[str, Any] | str = processes.memory(runs, settings)
    except WorkerError as error:
        result = f"failed: {error}"
    return process_report.memory_row(result), result


def measured_rows(
    options: argparse.Namespace, settings: Settings, workers: Workers
) -> Iterator[tuple[str, list[report.Row], object]]:
    """(name, rows of the table, raw measurement as plain data) for each row that was asked for, as it is done."""
    for name in (row for row in ROWS if row in options.only.split(",")):
        if name == "first_step":
            launches = processes.first_steps(settings)
            yield name, process_report.first_step_rows(launches), [asdict(item) for item in launches]
        elif name == "big_graph":
            timings = processes.big_graph(settings)
            yield name, [process_report.big_graph_row(timings)], {key: asdict(item) for key, item in timings.items()}
        elif name == "memory":
            row, raw = memory_row(options.runs, settings)
            yield name, [row], raw
        else:
            measured = measure(name, workers, settings)
            plain = {work: {key: asdict(item) for key, item in each.items()} for work, each in measured.items()}
            yield name, [report.work_row(name, measured)], plain


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
        for name, new_rows, measurement in measured_rows(options, settings, workers):
            rows += new_rows
            raw[name] = measurement
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
