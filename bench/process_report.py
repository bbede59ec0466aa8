"""Rows of the table for whole processes: import, first training step, the big graph, memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.processes import STAGES, Launches
from bench.report import Outcome, Row, compare, seconds_text
from bench.rounds import Timing

IMPORT_SECONDS = 0.25
WARM_SECONDS = 0.3
BIG_GRAPH_RATIO = 0.3
FLAT_BYTES = 1e6


def _total(launches: Launches) -> float:
    return launches.median(*STAGES) if launches.stages else math.nan


def _split(launches: Launches) -> str:
    if not launches.stages:
        return f"{launches.label:14} {launches.problem}"
    stages = ", ".join(f"{stage} {seconds_text(launches.median(stage))}" for stage in STAGES)
    return f"{launches.label:14} {seconds_text(_total(launches)):>8} = {stages}"


def _absolute(seconds: float, most: float) -> Outcome:
    if math.isnan(seconds):
        return Outcome("—", f"≤ {most:g} s", None)
    return Outcome(seconds_text(seconds), f"≤ {most:g} s", seconds <= most)


def _cell(launches: Launches, *stages: str) -> str:
    return seconds_text(launches.median(*stages)) if launches.stages else launches.problem.partition(":")[0]


def first_step_rows(measured: list[Launches]) -> list[Row]:
    """Import; warm process; cold process. All from the same launches."""
    by_label = {launches.label: launches for launches in measured}
    warm, cold, jax = by_label["flowc, warm"], by_label["flowc, cold"], by_label["jax"]
    peers = {column: by_label[column] for column in ("tf", "jax", "torch")}
    imports = ("import numpy", "import package")
    to_step = ("build", "first step")

    def cells(mine: Launches, *stages: str) -> dict[str, str]:
        return {column: _cell(launches, *stages) for column, launches in {"flowc": mine, **peers}.items()}

    import_seconds = warm.median(*imports) if warm.stages else math.nan
    step = _absolute(warm.median(*to_step) if warm.stages else math.nan, WARM_SECONDS)
    numba = Outcome("—", "numba not imported", None)
    if warm.stages:
        figure = "numba imported" if warm.numba_imported else "numba not imported"
        numba = Outcome(figure, "numba not imported", not warm.numba_imported)
    return [
        Row("import, NumPy's included", cells(warm, *imports), [_absolute(import_seconds, IMPORT_SECONDS)]),
        Row("warm process: import done → first MNIST softmax step", cells(warm, *to_step), [step, numba]),
        Row(
            "cold process: start → first MNIST softmax step",
            cells(cold, *STAGES),
            [compare(_total(cold), _total(jax), "≤ 1 × jax", 1.0, "jax")],
            [_split(launches) for launches in measured],
        ),
    ]


def _build_and_first(timing: Timing) -> float:
    both = sorted(build + first for build, first in zip(timing.build, timing.first, strict=True))
    return both[len(both) // 2] if both else math.nan


def _big_graph_detail(label: str, timing: Timing) -> str:
    if timing.problem:
        return f"{label:14} {timing.problem}"
    build, first = sorted(timing.build)[len(timing.build) // 2], sorted(timing.first)[len(timing.first) // 2]
    return f"{label:14} build {seconds_text(build)}, first run {seconds_text(first)}"


def big_graph_row(timings: Mapping[str, Timing]) -> Row:
    """Build and first run of 10,000 small ops, with empty caches, beside TensorFlow's; and its first run alone."""
    mine, tf = _build_and_first(timings["flowc, cold"]), timings["tf"]
    tf_first = sorted(tf.first)[len(tf.first) // 2] if tf.first else math.nan
    columns = {"flowc": timings["flowc, cold"], "tf": tf, "torch": timings["torch"]}
    cells = {
        column: timing.problem.partition(":")[0] or seconds_text(_build_and_first(timing))
        for column, timing in columns.items()
    }
    limit = f"≤ {BIG_GRAPH_RATIO:g} × tf"
    outcomes = [
        compare(mine, _build_and_first(tf), limit + " build and first run", BIG_GRAPH_RATIO, "tf build and first run"),
        compare(mine, tf_first, limit + " first run alone", BIG_GRAPH_RATIO, "tf first run alone"),
    ]
    details = [_big_graph_detail(label, timing) for label, timing in timings.items()]
    return Row("graph of 10,000 small ops: build and first run, cold", cells | {"jax": "minutes"}, outcomes, details)


def memory_row(result: Mapping[str, Any] | str) -> Row:
    """How far resident memory strays after the first 1 % of the runs. `result` is a reason where there is no figure."""
    target = f"±{FLAT_BYTES / 1e6:g} MB"
    if isinstance(result, str):
        cells = {"flowc": result.partition(":")[0]}
        return Row("resident memory over many runs", cells, [Outcome("—", target, None)], [result])
    first, *later = result["bytes"]
    strays = max(later, key=lambda size: abs(size - first)) - first
    title = f"resident memory over {result['runs'][-1]:,} runs"
    figure = Outcome(f"{strays / 1e6:+.2f} MB", target, abs(strays) <= FLAT_BYTES)
    return Row(title, {"flowc": f"{first / 1e6:.1f} MB"}, [figure])
