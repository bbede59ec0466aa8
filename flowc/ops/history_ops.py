"""What a loop's gradient needs of the loop: the values that a tensor had in each iteration, first in, last out.

A history is an int64 tensor that stands for memory of the run's own. It goes through the loop as a loop variable, so
that pushing and reading have an order.
"""

from __future__ import annotations

from typing import Any

from flowc.framework.building import apply
from flowc.framework.dtypes import ANY, DType, int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import define, not_differentiable
from flowc.framework.shapes import TensorShape

_HISTORY = TensorShape((2,))


def _value_type(types: Any, attrs: Any) -> list[DType]:
    return [types[2]]


define("LoopHistory", shape=lambda c: [_HISTORY], result=int64, stateful=True, inputs="")
define(
    "LoopHistoryPush",
    shape=lambda c: [_HISTORY],
    allowed=(frozenset((int64,)), ANY),
    result=int64,
    stateful=True,
    inputs="history value",
    type_attrs="- T",
)
define(
    "LoopHistoryRead",
    shape=lambda c: [c.shapes[2]],
    allowed=(frozenset((int64,)), frozenset((int32,)), ANY),
    result=_value_type,
    stateful=True,
    inputs="history index like",
    type_attrs="- - T",
)
not_differentiable("LoopHistory", "LoopHistoryPush", "LoopHistoryRead")


def history(name: str | None = None) -> Tensor:
    """An empty history."""
    return apply("LoopHistory", [], name=name)


def push(to: Tensor, value: Tensor) -> Tensor:
    """The history with one value more. All its values have one type and shape."""
    return apply("LoopHistoryPush", [to, value])


def read(of: Tensor, index: Tensor, like: Tensor) -> Tensor:
    """The value that was pushed as number `index`, an int32 scalar; `like` has its type and shape."""
    return apply("LoopHistoryRead", [of, index, like])
