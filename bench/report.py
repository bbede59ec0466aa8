"""Rows of the table: medians, ratios beside their targets, as text and as markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench import works
from bench.rounds import Timing
from bench.work import BandwidthTarget, Target, Work, environment_of

COLUMNS = {"flowc": "flowc", "tf": "TensorFlow 2", "jax": "JAX", "torch": "PyTorch"}


@dataclass(frozen=True)
class Outcome:
    """A ratio or a figure beside its target; `met` is None where there is nothing to compare."""

    figure: str
    target: str
    met: bool | None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "**short**", None: "no figure"}[self.met]


@dataclass
class Row:
    """One line of the table: a cell a column of `COLUMNS`, and the targets' outcomes."""

    title: str
    cells: dict[str, str]
    outcomes: list[Outcome]
    details: list[str] = field(default_factory=list)


def seconds_text(seconds: float) -> str:
    """Three digits in a fitting unit: `"812 ns"`, `"4.71 ms"`."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}" if seconds < 1000 * scale else f"{seconds / scale:.0f} {unit}"
    return "no figure" if math.isnan(seconds) else f"{seconds * 1e9:.3g} ns"


def compare(mine: float, other: float, target: str, most: float, against: str) -> Outcome:
    """The ratio of two times beside the most that it may be."""
    if math.isnan(mine) or math.isnan(other):
        return Outcome("—", target, None)
    return Outcome(f"{mine / other:.3g} × {against}", target, mine / other <= most)


def fastest(timings: Sequence[Timing]) -> Timing | None:
    """The timing of the smallest median, if any has one."""
    return min((timing for timing in timings if timing.samples), key=lambda timing: timing.median, default=None)


def _time_outcome(target: Target, timings: Mapping[str, Timing]) -> Outcome:
    names = [target.peer] if target.peer else [name for name in timings if environment_of(name) != "flowc"]
    peer = fastest([timings[name] for name in names])
    if peer is None:
        return Outcome("—", str(target), None)
    return compare(timings["flowc"].median, peer.median, str(target), target.ratio, peer.system)


def bandwidth(work: Work, timing: Timing) -> float:
    """Bytes a second."""
    return work.bytes_moved / timing.median


def _bandwidth_outcome(target: BandwidthTarget, work: Work, measured: Mapping[str, Mapping[str, Timing]]) -> Outcome:
    yardstick = fastest(list(measured[target.yardstick].values()))
    mine = bandwidth(work, measured[work.name]["flowc"])
    if yardstick is None or math.isnan(mine):
        return Outcome("—", str(target), None)
    limit = bandwidth(works.load(target.yardstick), yardstick)
    figure = f"{mine / limit:.3g} × {yardstick.system} ({mine / 1e9:.1f} of {limit / 1e9:.1f} GB/s)"
    return Outcome(figure, str(target), mine / limit >= target.ratio)


def _cell(timings: Sequence[Timing]) -> str:
    """The environment's fastest system, with its suffix, or why there is none."""
    best = fastest(timings)
    if best is None:
        return next((timing.problem.partition(":")[0] for timing in timings if timing.problem), "—")
    _, _, variant = best.system.partition(".")
    return seconds_text(best.median) + (f" ({variant})" if variant else "")


def _detail(work: Work, timing: Timing) -> str:
    if timing.problem:
        return f"{timing.system:20} {timing.problem}"
    low, high = min(timing.samples), max(timing.samples)
    rate = f", {bandwidth(work, timing) / 1e9:.1f} GB/s" if work.bytes_moved else ""
    spread = f"{seconds_text(low)} … {seconds_text(high)}, {len(timing.samples)} × {timing.calls} calls"
    return f"{timing.system:20} {seconds_text(timing.median):>9}   ({spread}){rate}"


def work_row(name: str, measured: Mapping[str, Mapping[str, Timing]]) -> Row:
    """The row of the work `name` from the timings that `rounds.measure` gave."""
    work, timings = works.load(name), measured[name]
    cells = {
        column: _cell([timing for timing in timings.values() if environment_of(timing.system) == column])
        for column in COLUMNS
        if column != "flowc"
    }
    cells["flowc"] = _cell([timings["flowc"]])
    outcomes = [
        _bandwidth_outcome(target, work, measured)
        if isinstance(target, BandwidthTarget)
        else _time_outcome(target, timings)
        for target in work.targets
    ]
    details = [_detail(works.load(other), timing) for other in measured for timing in measured[other].values()]
    return Row(work.title, cells, outcomes, details)


def text(row: Row) -> str:
    """The row for the terminal: every system, then the ratios."""
    lines = [row.title, *(f"    {line}" for line in row.details)]
    lines += [f"  → {o.figure}   target {o.target}   {o.verdict.strip('*')}" for o in row.outcomes]
    return "\n".join(lines)


def markdown(rows: Sequence[Row]) -> str:
    """All rows as one table; a row has as many lines as targets."""
    lines = [
        f"| work | {' | '.join(COLUMNS.values())} | flowc ÷ peer | target | |",
        "|---" * (len(COLUMNS) + 4) + "|",
    ]
    for row in rows:
        cells = [row.title, *(row.cells.get(column, "—") for column in COLUMNS)]
        for outcome in row.outcomes or [Outcome("—", "none", None)]:
            lines.append(f"| {' | '.join([*cells, outcome.figure, outcome.target, outcome.verdict])} |")
            cells = [""] * len(cells)
    return "\n".join(lines)
