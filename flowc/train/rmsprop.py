"""RMSProp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.graph import Operation, Tensor
from flowc.train.optimizer import Optimizer
from flowc.train.training_ops import update
from flowc.variables import Variable

__all__ = ["RMSPropOptimizer"]


class RMSPropOptimizer(Optimizer):
    """ms = decay·ms + (1 - decay)·g²; mom = momentum·mom + learning_rate·g / √(ms + epsilon); var -= mom.

    The slots "rms" and "momentum" hold ms, which starts as ones, and mom. A sparse gradient is made dense first.

    Source: T. Tieleman, G. Hinton, "Neural Networks for Machine Learning", lecture 6.5, 2012.
    """

    def __init__(
        self,
        learning_rate: Any,
        decay: Any,
        momentum: Any = 0.0,
        epsilon: Any = 1e-10,
        use_locking: bool = False,
        name: str = "RMSProp",
    ) -> None:
        """All hyperparameters: numbers or scalar tensors."""
        super().__init__(use_locking, name)
        self._learning_rate, self._decay, self._momentum, self._epsilon = learning_rate, decay, momentum, epsilon

    def _create_slots(self, var_list: Sequence[Variable]) -> None:
        for var in var_list:
            self._filled_slot(var, 1, "rms", self._name)
            self._filled_slot(var, 0, "momentum", self._name)

    def _apply_dense(self, grad: Tensor, var: Variable) -> Operation:
        values = {
            "learning_rate": self._learning_rate,
            "decay": self._decay,
            "momentum": self._momentum,
            "epsilon": self._epsilon,
        }
        scalars = [self._scalar(name, value, var) for name, value in values.items()]
        slots = self._slot(var, "rms"), self._slot(var, "momentum")
        return update("ApplyRMSProp", var, *slots, *scalars, grad, use_locking=self._use_locking)
