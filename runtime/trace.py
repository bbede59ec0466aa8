"""What the entries of a run took: as a Chrome trace (`chrome://tracing`, Perfetto), or as lines of text."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flowc.codegen.plan import Column, Plan

Times = npt.NDArray[np.int64]


class PlanTimes(NamedTuple):
    """A plan's run: start and stop of each entry of its tape in ns of CLOCK_MONOTONIC, int64 [entries, 2]."""

    plan: Plan
    times: Times


class HostTime(NamedTuple):
    """The run of an op of the host: start and stop on the same clock."""

    name: str
    type: str
    start: int
    stop: int


TracePart = PlanTimes | HostTime


def write_trace(path: str | os.PathLike[str], parts: Sequence[TracePart]) -> None:
    """Writes one complete event an entry or op of the host: name, start and duration in µs, GB/s, what it computes."""
    rows = [row for part in parts for row in _rows(part)]
    start = min((row["start"] for row in rows), default=0)
    events = [
        {
            "name": row["kernel"],
            "cat": "kernel" if row["units"] else "host",
            "ph": "X",
            "ts": (row["start"] - start) / 1e3,
            "dur": row["ns"] / 1e3,
            "pid": os.getpid(),
            "tid": 0,
            "args": {"GB/s": row["gb_per_s"], "bytes": row["bytes"], "units": row["units"], "ops": row["ops"]},
        }
        for row in rows
    ]
    Path(path).write_text(json.dumps({"displayTimeUnit": "ns", "traceEvents": events}, indent=1), encoding="utf-8")


def describe(parts: Sequence[TracePart]) -> list[str]:
    """A line an entry: µs, GB/s, kernel, ops."""
    return [
        f"{row['ns'] / 1e3:10.2f} us {row['gb_per_s']:8.2f} GB/s  {row['kernel']}  {row['ops']}"
        for part in parts
        for row in _rows(part)
    ]


def _rows(part: TracePart) -> list[dict[str, Any]]:
    if isinstance(part, PlanTimes):
        return _entry_rows(part.plan, part.times)
    ns = part.stop - part.start
    return [
        {"kernel": part.type, "ops": part.name, "start": part.start, "ns": ns, "bytes": 0, "units": 0, "gb_per_s": 0.0}
    ]


def _entry_rows(plan: Plan, times: Times) -> list[dict[str, Any]]:
    """An entry that was skipped (its start and stop are 0) is left out."""
    rows = []
    for index, (entry, (start, stop)) in enumerate(zip(plan.entries, times, strict=True)):
        if stop:
            ns, moved = int(stop - start), int(entry[Column.BYTES])
            rows.append(
                {
                    "kernel": plan.kernels[entry[Column.KERNEL]].name,
                    "ops": plan.labels[index] if index < len(plan.labels) else "",
                    "start": int(start),
                    "ns": ns,
                    "bytes": moved,
                    "units": int(entry[Column.UNITS]),
                    "gb_per_s": round(moved / max(ns, 1), 3),
                }
            )
    return rows
