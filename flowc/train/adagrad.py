"""Adagrad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices
from flowc.train.optimizer import Optimizer
from flowc.train.training_ops import update
from flowc.variables import Variable

__all__ = ["AdagradOptimizer"]


class AdagradOptimizer(Optimizer):
    """accum += gradient²; var -= learning_rate · gradient / √accum.

    The slot "accumulator" holds accum. A sparse gradient updates its rows only, once for each time that one occurs.

    Source: J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods", JMLR 12 (2011).
    """

    def __init__(
        self,
        learning_rate: Any,
        initial_accumulator_value: float = 0.1,
        use_locking: bool = False,
        name: str = "Adagrad",
    ) -> None:
        """`learning_rate`: a number or a scalar tensor. Raises ValueError unless the accumulators start above zero."""
        if initial_accumulator_value <= 0.0:
            raise ValueError(f"initial_accumulator_value must be positive: {initial_accumulator_value}")
        super().__init__(use_locking, name)
        self._learning_rate, self._initial_value = learning_rate, initial_accumulator_value

    def _create_slots(self, var_list: Sequence[Variable]) -> None:
        for var in var_list:
            self._filled_slot(var, self._initial_value, "accumulator", self._name)

    def _apply_dense(self, grad: Tensor, var: Variable) -> Operation:
        accum, rate = self._slot(var, "accumulator"), self._scalar("learning_rate", self._learning_rate, var)
        return update("ApplyAdagrad", var, accum, rate, grad, use_locking=self._use_locking)

    def _apply_sparse(self, grad: IndexedSlices, var: Variable) -> Operation:
        accum, rate = self._slot(var, "accumulator"), self._scalar("learning_rate", self._learning_rate, var)
        inputs = (var, accum, rate, grad.values, grad.indices)
        return update("SparseApplyAdagrad", *inputs, use_locking=self._use_locking)
