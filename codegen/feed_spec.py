"""What a run brings, as the compiler sees it. Light to import: a run whose plan comes from disk needs no more of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from flowc.framework.graph import Operation, Tensor


@dataclass(frozen=True)
class FeedSpec:
    """A fed tensor: the shape of the fed value, and the value itself only where the shapes of the run depend on it."""

    tensor: Tensor
    shape: tuple[int, ...]
    value: np.ndarray[Any, Any] | None = None


class NeedsFeedValues(Exception):  # a request to the caller, not an error
    """The shapes of this run depend on the values of these fed tensors: compile again with them."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__(tensors)
        self.tensors = tuple(tensors)


class NeedsVariableShapes(Exception):  # a request to the caller, not an error
    """The plan depends on the shapes that these variables have now, which the graph does not tell."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.names = frozenset(names)


VariableShapes = Mapping[str, "tuple[int, ...] | None"]  # of variables by name; None: it has no value


class NeedsSegments(Exception):  # a request to the caller, not an error
    """The run cannot be one native call: the host has to act within it (`flowc.codegen.segments`)."""


class NeedsStepping(NeedsSegments):
    """Nor can it because the loop or the conditional that `op` is in is none for a native call: the host does it."""

    def __init__(self, op: Operation) -> None:
        super().__init__(op)
        self.op = op


class NeedsComputedValue(NeedsSegments):
    """Nor can it because `op` cannot be compiled before `tensors`, which the run computes, are known."""

    def __init__(self, op: Operation, tensors: Sequence[Tensor]) -> None:
        super().__init__(op, tensors)
        self.op, self.tensors = op, tuple(tensors)
