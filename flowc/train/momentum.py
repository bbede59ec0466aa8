"""Gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices
from flowc.train.optimizer import Optimizer
from flowc.train.training_ops import update
from flowc.variables import Variable

__all__ = ["MomentumOptimizer"]


class MomentumOptimizer(Optimizer):
    """accum = momentum · accum + gradient; var -= learning_rate · accum.

    The slot "momentum" holds accum. A sparse gradient updates its rows only, once for each time that one occurs.

    Source: B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """

    def __init__(self, learning_rate: Any, momentum: Any, use_locking: bool = False, name: str = "Momentum") -> None:
        """`learning_rate`, `momentum`: numbers or scalar tensors."""
        super().__init__(use_locking, name)
        self._learning_rate, self._momentum = learning_rate, momentum

    def _create_slots(self, var_list: Sequence[Variable]) -> None:
        for var in var_list:
            self._zeros_slot(var, "momentum", self._name)

    def _apply_dense(self, grad: Tensor, var: Variable) -> Operation:
        accum, rate = self._slot(var, "momentum"), self._scalar("learning_rate", self._learning_rate, var)
        momentum = self._scalar("momentum", self._momentum, var)
        return update("ApplyMomentum", var, accum, rate, grad, momentum, use_locking=self._use_locking)

    def _apply_sparse(self, grad: IndexedSlices, var: Variable) -> Operation:
        accum, rate = self._slot(var, "momentum"), self._scalar("learning_rate", self._learning_rate, var)
        momentum = self._scalar("momentum", self._momentum, var)
        inputs = (var, accum, rate, grad.values, grad.indices, momentum)
        return update("SparseApplyMomentum", *inputs, use_locking=self._use_locking)
