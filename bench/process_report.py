"""Rows of the table for whole processes: import, first training step, big graphs, checkpoints, memory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.processes import STAGES, Launches
from bench.report import Outcome, Row, compare, seconds_text
from bench.rounds import Timing

IMPORT_SECONDS = 0.25
WARM_SECONDS = 0.3
LOADING_SECONDS = 0.1
PEAK_RATIO = 0.5
BIG_GRAPH_RATIO = 0.3
FLAT_BYTES = 1e6
SAVING_SPEED = 0.7


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
    compiler = Outcome("—", "no compiler imported", None)
    if warm.stages:
        figure = "compiler imported" if warm.compiler_imported else "no compiler imported"
        compiler = Outcome(figure, "no compiler imported", not warm.compiler_imported)
    return [
        Row("import, NumPy's included", cells(warm, *imports), [_absolute(import_seconds, IMPORT_SECONDS)]),
        Row("warm process: import done → first MNIST softmax step", cells(warm, *to_step), [step, compiler]),
        Row(
            "cold process: start → first MNIST softmax step",
            cells(cold, *STAGES),
            [compare(_total(cold), _total(jax), "≤ 1 × jax", 1.0, "jax")],
            [_split(launches) for launches in measured],
        ),
    ]


def deep_mnist_rows(measured: list[Launches]) -> list[Row]:
    """The same of the deep MNIST model: peak memory, cold and warm process."""
    by_label = {launches.label: launches for launches in measured}
    warm, cold, jax = by_label["flowc, warm"], by_label["flowc, cold"], by_label["jax"]
    peers = {column: by_label[column] for column in ("tf", "jax", "torch")}

    def cells(mine: Launches, figure: Callable[[Launches], str]) -> dict[str, str]:
        everyone = {"flowc": mine, **peers}.items()
        return {
            c: figure(launches) if launches.stages else launches.problem.partition(":")[0] for c, launches in everyone
        }

    least = min((peers[c].peak for c in ("tf", "torch") if peers[c].stages), default=math.nan)
    memory = compare(
        warm.peak if warm.stages else math.nan, least, f"≤ {PEAK_RATIO:g} × tf, torch", PEAK_RATIO, "least"
    )
    loading = _absolute(warm.loading if warm.stages else math.nan, LOADING_SECONDS)
    start = compare(_total(cold), _total(jax), "≤ 1 × jax", 1.0, "jax")
    return [
        Row("deep MNIST process: peak memory", cells(warm, lambda each: f"{each.peak / 1e6:.0f} MB"), [memory]),
        Row(
            "deep MNIST, warm process: first step less a later one",
            cells(warm, lambda each: seconds_text(each.loading)),
            [loading],
        ),
        Row(
            "deep MNIST, cold process: start → first step",
            cells(cold, lambda each: seconds_text(_total(each))),
            [start],
            [_split(launches) for launches in measured],
        ),
    ]


def language_model_rows(measured: list[Launches]) -> list[Row]:
    """What it takes to build and compile the LSTM language model, and to take a step, with empty caches."""
    by_label = {launches.label: launches for launches in measured}
    systems = {"flowc": "flowc, cold", "tf": "tf", "jax": "jax", "torch": "torch"}
    stages = "build", "first step"
    seconds = [
        by_label[label].median(*stages) if by_label[label].stages else math.nan for label in ("flowc, cold", "jax")
    ]
    return [
        Row(
            "LSTM language model: build and first step, cold",
            {column: _cell(by_label[label], *stages) for column, label in systems.items()},
            [compare(seconds[0], seconds[1], "≤ 1 × jax", 1.0, "jax")],
            [_split(launches) for launches in measured],
        )
    ]


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else math.nan


def _build_and_first(timing: Timing) -> float:
    return _middle([build + first for build, first in zip(timing.build, timing.first, strict=True)])


def _big_graph_detail(label: str, timing: Timing) -> str:
    if timing.problem:
        return f"{label:14} {timing.problem}"
    return f"{label:14} build {seconds_text(_middle(timing.build))}, first run {seconds_text(_middle(timing.first))}"


def big_graph_row(timings: Mapping[str, Timing]) -> Row:
    """Build and first run of 10,000 small ops, with empty caches, beside TensorFlow's; and its first run alone."""
    mine, tf = timings["flowc, cold"], timings["tf"]
    limit = f"≤ {BIG_GRAPH_RATIO:g} × tf"
    both = _build_and_first(mine)
    outcomes = [
        compare(both, _build_and_first(tf), limit + " build and first run", BIG_GRAPH_RATIO, "tf build and first run"),
        compare(both, _middle(tf.first), limit + " first run alone", BIG_GRAPH_RATIO, "tf first run alone"),
    ]
    return _cold_row("graph of 10,000 small ops: build and first run, cold", timings, outcomes)


def big_gradients_row(timings: Mapping[str, Timing]) -> Row:
    """Build, and first run, of a chain of 10,000 small ops with gradients, each beside TensorFlow's."""
    mine, tf = timings["flowc, cold"], timings["tf"]
    limit = f"≤ {BIG_GRAPH_RATIO:g} × tf"
    outcomes = [
        compare(_middle(mine.build), _middle(tf.build), limit + " build", BIG_GRAPH_RATIO, "tf build"),
        compare(_middle(mine.first), _middle(tf.first), limit + " first run", BIG_GRAPH_RATIO, "tf first run"),
    ]
    return _cold_row("chain of 10,000 small ops and its gradients: build and first run, cold", timings, outcomes)


def _cold_row(title: str, timings: Mapping[str, Timing], outcomes: list[Outcome]) -> Row:
    columns = {"flowc": timings["flowc, cold"], "tf": timings["tf"], "torch": timings["torch"]}
    cells = {
        column: timing.problem.partition(":")[0] or seconds_text(_build_and_first(timing))
        for column, timing in columns.items()
    }
    details = [_big_graph_detail(label, timing) for label, timing in timings.items()]
    return Row(title, cells | {"jax": "minutes"}, outcomes, details)


def checkpoint_row(measured: Mapping[str, list[float]] | str) -> Row:
    """The speed of saving beside that of a copy of the file; `measured` is a reason where there is no figure."""
    title, target = "saving a large model, flushed to the disk", f"≥ {SAVING_SPEED:g} × speed of a copy"
    if isinstance(measured, str):
        return Row(title, {"flowc": measured.partition(":")[0]}, [Outcome("—", target, None)], [measured])
    middle = {name: statistics.median(seconds) for name, seconds in measured.items()}
    speed = middle["copy"] / middle["save"]
    details = [f"{name:8} {seconds_text(seconds)}" for name, seconds in middle.items()]
    outcome = Outcome(f"{speed:.3g} × copy ({seconds_text(middle['copy'])})", target, speed >= SAVING_SPEED)
    return Row(title, {"flowc": seconds_text(middle["save"])}, [outcome], details)


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
