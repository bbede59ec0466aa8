"""Histograms as TensorBoard draws them: buckets whose bounds grow by a tenth, on either side of 0."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowc.codegen.host.registry import Array
from flowc.framework import protos
from flowc.framework.errors import OutOfRangeError

_LEAST: Final = 1e-12
_MOST: Final = 1e20
_GROWTH: Final = 1.1
_END: Final = float(np.finfo(np.float64).max)


@cache
def bucket_limits() -> npt.NDArray[np.float64]:
    """The upper bounds of the buckets, in order: -max, …, -1e-12, 0, 1e-12, 1.1e-12, …, max."""
    positive = []
    limit = _LEAST
    while limit < _MOST:
        positive.append(limit)
        limit *= _GROWTH
    upper = np.array([*positive, _END])
    limits = np.concatenate([-upper[::-1], [0.0], upper])
    limits.setflags(write=False)
    return limits


def histogram(values: Array, op_name: str) -> Any:
    """The HistogramProto of finite values; OutOfRangeError for others."""
    ordered = np.sort(values, axis=None).astype(np.float64)
    if len(ordered) and not (np.isfinite(ordered[0]) and np.isfinite(ordered[-1])):
        kind = "Nan" if np.isnan(ordered).any() else "Infinity"
        raise OutOfRangeError(None, None, f"{kind} in summary histogram for: {op_name}")
    limits, counts = _shown(_counts(ordered))
    with np.errstate(over="ignore"):
        total, squares = ordered.sum(), np.dot(ordered, ordered)
    return protos.HistogramProto(
        min=ordered[0] if len(ordered) else _END,
        max=ordered[-1] if len(ordered) else -_END,
        num=len(ordered),
        sum=total,
        sum_squares=squares,
        bucket_limit=limits,
        bucket=counts,
    )


def _counts(ordered: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How many values are in each bucket: at least the limit of the one before it, and less than its own."""
    below = np.searchsorted(ordered, bucket_limits(), side="left")
    below[-1] = len(ordered)  # the last bucket takes its own limit, too
    return np.diff(below, prepend=0)


def _shown(counts: npt.NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """The buckets that are stored: limits and counts, with one empty bucket in place of several in a row."""
    empty = counts == 0
    stored = ~(empty & np.append(empty[1:], False))  # the last of each row of empty ones has the row's limit
    if empty.all():
        return [_END], [0.0]
    return bucket_limits()[stored].tolist(), counts[stored].astype(np.float64).tolist()
