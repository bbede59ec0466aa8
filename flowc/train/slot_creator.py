"""Slots: the variables that an optimizer keeps beside each variable that it trains."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.framework.graph import Tensor
from flowc.ops import array_ops, constant_ops
from flowc.variables import Variable

__all__ = ["create_filled_slot", "create_slot", "create_zeros_slot"]


def create_slot(primary: Variable | Tensor, value: Any, name: str) -> Variable:
    """A variable `<primary>/<name>` that starts as `value` (or what the function `value` returns), on primary's device.

    It is not trained, and has primary's shape, or where that may change, any.
    """
    with primary.graph.as_default(), primary.graph.device(primary.device):
        fixed = primary.get_shape().is_fully_defined()
        return Variable(value, trainable=False, validate_shape=fixed, name=f"{primary.op.name}/{name}")


def create_filled_slot(primary: Variable | Tensor, value: float, name: str) -> Variable:
    """A variable `<primary>/<name>` of primary's shape and type whose elements all start as `value`."""

    def initial() -> Tensor:
        shape, dtype = primary.get_shape(), primary.dtype.base_dtype
        sizes: Any = shape
        if isinstance(primary, Variable) and not shape.is_fully_defined():
            sizes = array_ops.shape(primary.initialized_value())
        return constant_ops.fill(sizes, np.array(value, dtype.as_numpy_dtype))

    return create_slot(primary, initial, name)


def create_zeros_slot(primary: Variable | Tensor, name: str) -> Variable:
    """A variable `<primary>/<name>` of primary's shape and type that starts as zeros."""
    return create_filled_slot(primary, 0, name)
