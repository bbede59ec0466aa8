"""Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.dtypes import float32, float64
from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices
from flowc.ops import control_flow_ops, state_ops
from flowc.ops.arithmetic_ops import add, div, mul, sub
from flowc.ops.math_ops import sqrt
from flowc.train.optimizer import Optimizer, as_scalar
from flowc.train.training_ops import update
from flowc.variables import Variable

__all__ = ["AdamOptimizer"]


class AdamOptimizer(Optimizer):
    """Gradient descent by estimates of the gradient's first two moments.

    At step t: m = beta1·m + (1 - beta1)·g; v = beta2·v + (1 - beta2)·g²;
    var -= learning_rate · √(1 - beta2ᵗ) / (1 - beta1ᵗ) · m / (√v + epsilon).

    The slots "m" and "v" hold the moments; the variables beta1_power and beta2_power, shared by all that one optimizer
    trains, the powers. With a sparse gradient the moments of all rows decay and all rows are updated; in v, the squares
    of a repeated row's values add up.

    Source: D. P. Kingma, J. Ba, arXiv:1412.6980, the form without bias-corrected moments at the end of section 2.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: Any = 0.9,
        beta2: Any = 0.999,
        epsilon: Any = 1e-08,
        use_locking: bool = False,
        name: str = "Adam",
    ) -> None:
        """All hyperparameters: numbers or scalar tensors."""
        super().__init__(use_locking, name)
        self._learning_rate, self._beta1, self._beta2, self._epsilon = learning_rate, beta1, beta2, epsilon
        self._powers: tuple[Variable, Variable] | None = None

    def _create_slots(self, var_list: Sequence[Variable]) -> None:
        if self._powers is None or self._powers[0].graph is not var_list[0].graph:
            self._powers = self._make_powers(var_list)
        for var in var_list:
            self._zeros_slot(var, "m", self._name)
            self._zeros_slot(var, "v", self._name)

    def _make_powers(self, var_list: Sequence[Variable]) -> tuple[Variable, Variable]:
        """beta1ᵗ and beta2ᵗ, in the most precise type that a variable has, but at least float32."""
        dtype = float64 if any(var.dtype.base_dtype is float64 for var in var_list) else float32
        with var_list[0].graph.device(var_list[0].device):
            return (
                Variable(lambda: as_scalar(self._beta1, dtype, "beta1"), trainable=False, name="beta1_power"),
                Variable(lambda: as_scalar(self._beta2, dtype, "beta2"), trainable=False, name="beta2_power"),
            )

    def _power(self, index: int) -> Variable:
        if self._powers is None:
            raise RuntimeError("apply_gradients makes the powers of beta1 and beta2 before it uses them.")
        return self._powers[index]

    def _moments(self, var: Variable) -> tuple[Variable, Variable]:
        return self._slot(var, "m"), self._slot(var, "v")

    def _hyperparameters(self, var: Variable) -> list[Tensor]:
        """beta1_power, beta2_power, the learning rate, beta1, beta2 and epsilon, in the type of the variable."""
        values = {
            "beta1_power": self._power(0),
            "beta2_power": self._power(1),
            "learning_rate": self._learning_rate,
            "beta1": self._beta1,
            "beta2": self._beta2,
            "epsilon": self._epsilon,
        }
        return [self._scalar(name, value, var) for name, value in values.items()]

    def _apply_dense(self, grad: Tensor, var: Variable) -> Operation:
        inputs = (var, *self._moments(var), *self._hyperparameters(var), grad)
        return update("ApplyAdam", *inputs, use_locking=self._use_locking)

    def _apply_sparse(self, grad: IndexedSlices, var: Variable) -> Operation:
        beta1_power, beta2_power, rate, beta1, beta2, epsilon = self._hyperparameters(var)
        m, v = self._moments(var)
        new_m = self._decayed(m, beta1, grad.values, grad.indices)
        new_v = self._decayed(v, beta2, mul(grad.values, grad.values), grad.indices)
        scale = mul(rate, div(sqrt(_one_minus(beta2_power)), _one_minus(beta1_power)))
        step = div(mul(scale, new_m), add(sqrt(new_v), epsilon))
        updated = state_ops.assign_sub(var, step, use_locking=self._use_locking)
        return control_flow_ops.group(updated, new_m, new_v)

    def _decayed(self, moment: Variable, beta: Tensor, values: Tensor, indices: Tensor) -> Tensor:
        """moment = beta·moment + (1 - beta)·values, where values are those of the rows `indices`."""
        decayed = state_ops.assign(moment, mul(moment, beta), use_locking=self._use_locking)
        rows = mul(values, _one_minus(beta))
        return state_ops.scatter_add(decayed, indices, rows, use_locking=self._use_locking)

    def _finish(self, update_ops: Sequence[Any], name_scope: str) -> Operation:
        powers = [self._power(0), self._power(1)]
        graph = powers[0].graph
        with graph.control_dependencies(update_ops), graph.device(powers[0].device):
            grown = [
                state_ops.assign(power, mul(power, self._scalar(name, beta, power)), use_locking=self._use_locking)
                for power, name, beta in zip(powers, ("beta1", "beta2"), (self._beta1, self._beta2), strict=True)
            ]
        return control_flow_ops.group(*update_ops, *grown, name=name_scope)


def _one_minus(x: Tensor) -> Tensor:
    return sub(1, x)
