"""What the entries of a run took: as a Chrome trace (`chrome://tracing`, Perfetto), or as lines of text."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flowc.codegen.plan import Column, Plan

Times = npt.NDArray[np.int64]


def write_trace(path: str | os.PathLike[str], plan: Plan, times: Times) -> None:
    """Writes one complete event an entry: name, start and duration in µs, GB/s and the ops it computes.

    `times`: start and stop of each entry in ns, int64 [entries, 2].
    """
    start = int(times[0, 0]) if len(times) else 0
    events = [
        {
            "name": row["kernel"],
            "cat": "kernel",
            "ph": "X",
            "ts": (row["start"] - start) / 1e3,
            "dur": row["ns"] / 1e3,
            "pid": os.getpid(),
            "tid": 0,
            "args": {"GB/s": row["gb_per_s"], "bytes": row["bytes"], "units": row["units"], "ops": row["ops"]},
        }
        for row in _rows(plan, times)
    ]
    Path(path).write_text(json.dumps({"displayTimeUnit": "ns", "traceEvents": events}, indent=1), encoding="utf-8")


def describe(plan: Plan, times: Times) -> list[str]:
    """A line an entry: µs, GB/s, kernel, ops."""
    return [
        f"{row['ns'] / 1e3:10.2f} us {row['gb_per_s']:8.2f} GB/s  {row['kernel']}  {row['ops']}"
        for row in _rows(plan, times)
    ]


def _rows(plan: Plan, times: Times) -> list[dict[str, Any]]:
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
