"""Levenshtein's distance between sequences of sparse tensors: of strings as of numbers, so on the host.

Source: R. A. Wagner, M. J. Fischer, "The string-to-string correction problem", J. ACM 21, 1974.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.errors import InvalidArgumentError

Group = tuple[int, ...]  # all coordinates of a sequence but the last


@host("EditDistance")
def edit_distance(op: HostOp, *parts: Array) -> Array:
    """The distance of each pair of sequences; where neither has elements, 0."""
    shape = _output_shape(parts[2], parts[5])
    numbers: dict[Any, int] = {}
    hypotheses, truths = (_sequences(indices, values, numbers, shape) for indices, values in (parts[:2], parts[3:5]))
    result = np.zeros(shape, np.float32)
    empty = np.zeros(0, np.int64)
    for group in hypotheses.keys() | truths.keys():
        truth = truths.get(group, empty)
        distance = _distance(hypotheses.get(group, empty), truth)
        if op.attrs["normalize"]:
            result[group] = distance / truth.size if truth.size else np.inf
        else:
            result[group] = distance
    return result


def _output_shape(hypothesis: Array, truth: Array) -> tuple[int, ...]:
    if hypothesis.size != truth.size:
        message = f"hypothesis and truth must have the same rank: {hypothesis.size} and {truth.size}"
        raise InvalidArgumentError(None, None, message)
    return tuple(int(n) for n in np.maximum(hypothesis, truth)[:-1])


def _sequences(indices: Array, values: Array, numbers: dict[Any, int], shape: tuple[int, ...]) -> dict[Group, Array]:
    """The sequences by group, their elements as numbers, equal for equal elements."""
    groups: dict[Group, list[int]] = {}
    for row, value in zip(indices.tolist(), values.tolist(), strict=True):
        group = tuple(row[:-1])
        if any(not 0 <= i < n for i, n in zip(group, shape, strict=True)):
            raise InvalidArgumentError(None, None, f"index {row} is outside the shape {list(shape)} of the sequences")
        groups.setdefault(group, []).append(numbers.setdefault(value, len(numbers)))
    return {group: np.array(elements) for group, elements in groups.items()}


def _distance(hypothesis: Array, truth: Array) -> int:
    """Row by row of the table of distances between beginnings; within a row, inserting is a running minimum."""
    steps = np.arange(truth.size + 1)
    row = steps
    for i, element in enumerate(hypothesis.tolist(), 1):
        replaced = row[:-1] + (truth != element)
        best = np.concatenate([[i], np.minimum(row[1:] + 1, replaced)])
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])
