"""FTRL-Proximal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices
from flowc.train.optimizer import Optimizer
from flowc.train.training_ops import update
from flowc.variables import Variable

__all__ = ["FtrlOptimizer"]


class FtrlOptimizer(Optimizer):
    """Follow the regularized leader, with per-coordinate learning rates and L1 and L2 regularization.

    The slots "accum" and "linear" hold n and z of the paper; see `flowc.train.training_ops` for the formula. A sparse
    gradient updates its rows only, once for each time that one occurs.

    Source: H. B. McMahan et al., "Ad click prediction: a view from the trenches", KDD 2013.
    """

    def __init__(
        self,
        learning_rate: Any,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        use_locking: bool = False,
        name: str = "Ftrl",
    ) -> None:
        """`learning_rate`: a number or a scalar tensor; it falls with n as n^learning_rate_power.

        Raises ValueError unless the accumulators start above zero, the power is at most zero and the strengths are at
        least zero.
        """
        if initial_accumulator_value <= 0.0:
            raise ValueError(f"initial_accumulator_value must be positive: {initial_accumulator_value}")
        if learning_rate_power > 0.0:
            raise ValueError(f"learning_rate_power must be zero or less: {learning_rate_power}")
        if l1_regularization_strength < 0.0 or l2_regularization_strength < 0.0:
            raise ValueError(
                "regularization strengths must be zero or more: "
                f"{l1_regularization_strength}, {l2_regularization_strength}"
            )
        super().__init__(use_locking, name)
        self._learning_rate, self._power, self._initial_value = (
            learning_rate,
            learning_rate_power,
            initial_accumulator_value,
        )
        self._l1, self._l2 = l1_regularization_strength, l2_regularization_strength

    def _create_slots(self, var_list: Sequence[Variable]) -> None:
        for var in var_list:
            self._filled_slot(var, self._initial_value, "accum", self._name)
            self._filled_slot(var, 0, "linear", self._name)

    def _scalars_for(self, var: Variable) -> list[Tensor]:
        values = {
            "learning_rate": self._learning_rate,
            "l1_regularization_strength": self._l1,
            "l2_regularization_strength": self._l2,
            "learning_rate_power": self._power,
        }
        return [self._scalar(name, value, var) for name, value in values.items()]

    def _apply_dense(self, grad: Tensor, var: Variable) -> Operation:
        slots = self._slot(var, "accum"), self._slot(var, "linear")
        return update("ApplyFtrl", var, *slots, grad, *self._scalars_for(var), use_locking=self._use_locking)

    def _apply_sparse(self, grad: IndexedSlices, var: Variable) -> Operation:
        inputs = (var, self._slot(var, "accum"), self._slot(var, "linear"), grad.values, grad.indices)
        return update("SparseApplyFtrl", *inputs, *self._scalars_for(var), use_locking=self._use_locking)
