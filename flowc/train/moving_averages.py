"""Moving averages of variables and of other tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowc.framework.dtypes import REAL, DType
from flowc.framework.graph import Operation, Tensor
from flowc.framework.scopes import GraphKeys, add_to_collection, name_scope
from flowc.ops import array_ops, control_flow_ops, state_ops
from flowc.ops.arithmetic_ops import add, div, minimum, mul, sub
from flowc.train.optimizer import as_scalar
from flowc.train.slot_creator import create_slot, create_zeros_slot
from flowc.variables import Variable, all_variables, moving_average_variables, trainable_variables

__all__ = ["ExponentialMovingAverage"]

Averaged = Variable | Tensor


class ExponentialMovingAverage:
    """Keeps averages of variables: average = decay · average + (1 - decay) · variable, at each run of `apply`'s op.

    The averages of trained variables often predict better than the variables do:

        ema = tf.train.ExponentialMovingAverage(0.9999)
        with tf.control_dependencies([train_step]):
            train_op = ema.apply([w, b])                                # to be run in place of train_step
        …
        saver = tf.train.Saver({ema.average_name(w): w, ema.average_name(b): b})  # restores the averages into w and b
    """

    def __init__(self, decay: float, num_updates: Any = None, name: str = "ExponentialMovingAverage") -> None:
        """Averages with the given decay, a number a little below 1.

        Args:
            decay: how much of the average stays at each update.
            num_updates: a number or a scalar tensor or variable, such as the global step. With it, the decay is
                min(decay, (1 + num_updates) / (10 + num_updates)), so that averages move faster early on.
            name: what the averages' names end in, and the scope of the updates.
        """
        self._decay, self._num_updates, self._name = decay, num_updates, name
        self._averages: dict[Averaged, Variable] = {}

    @property
    def name(self) -> str:
        """What the averages' names end in."""
        return self._name

    def apply(self, var_list: Iterable[Averaged] | None = None) -> Operation:
        """An operation that updates the averages, which are made here.

        The average of a variable starts as the variable's initial value; that of another tensor, as zeros. Averages are
        variables that are not trained, in the collections VARIABLES and (of variables) MOVING_AVERAGE_VARIABLES.

        Args:
            var_list: variables and tensors of types float16, float32 or float64; by default all trainable variables.

        Raises:
            TypeError: one is of another type. ValueError: one has an average already.
        """
        averaged = list(trainable_variables() if var_list is None else var_list)
        for var in averaged:
            self._check(var)
            self._averages[var] = self._make_average(var)
        with name_scope(self._name) as scope:
            rates = {dtype: self._rate(dtype) for dtype in {var.dtype.base_dtype for var in averaged}}
            updates = [_update(self._averages[var], var, rates[var.dtype.base_dtype]) for var in averaged]
            return control_flow_ops.group(*updates, name=scope)

    def _check(self, var: Averaged) -> None:
        if not isinstance(var, (Variable, Tensor)) or var.dtype.base_dtype not in REAL:
            raise TypeError(f"The variables must be half, float, or double: {getattr(var, 'name', var)}")
        if var in self._averages:
            raise ValueError(f"Moving average already computed for: {var.name}")
        if isinstance(var, Tensor) and not var.get_shape().is_fully_defined():
            raise ValueError(f"The average of a tensor needs its shape to be fully known: {var}")

    def _make_average(self, var: Averaged) -> Variable:
        # It waits for nothing that is in force here, such as the training step, and its name is the same everywhere.
        graph = var.graph
        with graph.control_dependencies(None), graph.name_scope(None):
            if isinstance(var, Variable):
                add_to_collection(GraphKeys.MOVING_AVERAGE_VARIABLES, var)
                return create_slot(var, var.initialized_value, self._name)
            return create_zeros_slot(var, self._name)

    def _rate(self, dtype: DType) -> Tensor:
        """1 - decay, in that type."""
        decay = as_scalar(self._decay, dtype, "decay")
        if self._num_updates is not None:
            updates = as_scalar(_present(self._num_updates), dtype, "num_updates")
            decay = minimum(decay, div(add(updates, 1), add(updates, 10)))
        return sub(1, decay)

    def average(self, var: Averaged) -> Variable | None:
        """The variable that holds the average of `var`; None, if it has none."""
        return self._averages.get(var)

    def average_name(self, var: Averaged) -> str:
        """The name of the variable that holds the average of `var`, or would hold it: what it has in checkpoints."""
        known = self._averages.get(var)
        return f"{var.op.name}/{self._name}" if known is None else known.op.name

    def variables_to_restore(self, moving_avg_variables: Iterable[Variable] | None = None) -> dict[str, Variable]:
        """Names in a checkpoint by which to restore all variables: those with an average, from that.

            saver = tf.train.Saver(ema.variables_to_restore())

        Args:
            moving_avg_variables: those with an average; by default the trainable variables and those that `apply` was
                given in this graph.
        """
        if moving_avg_variables is None:
            moving_avg_variables = [*trainable_variables(), *moving_average_variables()]
        averaged = dict.fromkeys(moving_avg_variables)
        names = {self.average_name(var): var for var in averaged}
        return names | {v.op.name: v for v in all_variables() if v not in averaged and v.op.name not in names}


def _present(value: Any) -> Any:
    """A variable's value as of the operations that are in force here; anything else as it is."""
    return array_ops.identity(value.ref()) if isinstance(value, Variable) else value


def _update(average: Variable, var: Averaged, rate: Tensor) -> Tensor:
    with average.graph.device(average.device):
        difference = sub(_present(average), _present(var))
        return state_ops.assign_sub(average, mul(difference, rate))
