"""Gradient descent."""

from __future__ import annotations

from typing import Any

from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices
from flowc.ops.arithmetic_ops import mul
from flowc.train.optimizer import Optimizer
from flowc.train.training_ops import update
from flowc.variables import Variable

__all__ = ["GradientDescentOptimizer"]


class GradientDescentOptimizer(Optimizer):
    """var -= learning_rate · gradient."""

    def __init__(self, learning_rate: Any, use_locking: bool = False, name: str = "GradientDescent") -> None:
        """`learning_rate`: a number or a scalar tensor."""
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate

    def _rate(self, var: Variable) -> Tensor:
        return self._scalar("learning_rate", self._learning_rate, var)

    def _apply_dense(self, grad: Tensor, var: Variable) -> Operation:
        return update("ApplyGradientDescent", var, self._rate(var), grad, use_locking=self._use_locking)

    def _apply_sparse(self, grad: IndexedSlices, var: Variable) -> Operation:
        delta = IndexedSlices(mul(grad.values, self._rate(var)), grad.indices, grad.dense_shape)
        return var.scatter_sub(delta, use_locking=self._use_locking).op
