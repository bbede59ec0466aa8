"""The base of optimizers: gradients of a loss, and the operations that apply them to variables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from flowc.autodiff import gradients
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import REAL, DType
from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices, convert_to_tensor_or_indexed_slices
from flowc.framework.scopes import op_scope
from flowc.ops import array_ops, control_flow_ops, state_ops
from flowc.train import slot_creator
from flowc.variables import Variable, trainable_variables

__all__ = ["Optimizer"]

Gradient = Tensor | IndexedSlices


class Optimizer:
    """Changes variables so that a loss grows less.

    `minimize(loss)` is `compute_gradients(loss)`, then `apply_gradients` on what it returns; call the two yourself to
    change the gradients in between.

    A subclass says how one variable is updated: `_apply_dense`, and `_apply_sparse` where an IndexedSlices can be used
    as it is. `_create_slots`, `_prepare` and `_finish` are called before all of them, and after.
    """

    # What must be computed before what. A read of a variable that nothing puts after a write of it sees the value from
    # before the run, so that gradients never see half-updated variables, whichever is chosen.
    GATE_NONE: Final = 0
    GATE_OP: Final = 1
    GATE_GRAPH: Final = 2  # no variable is written before all gradients are there

    def __init__(self, use_locking: bool, name: str) -> None:
        """`name` is the scope of the updates; `use_locking` is noted on their operations.

        Raises ValueError for an empty name.
        """
        if not name:
            raise ValueError("Must specify the optimizer name")
        self._use_locking, self._name = use_locking, name
        self._slots: dict[str, dict[Variable, Variable]] = {}
        self._scope = ""
        self._scalars: dict[tuple[str, DType], Tensor] = {}

    def minimize(
        self,
        loss: Tensor,
        global_step: Variable | None = None,
        var_list: Iterable[Variable] | None = None,
        gate_gradients: int = GATE_OP,
        aggregation_method: int | None = None,
        name: str | None = None,
    ) -> Operation:
        """An operation that makes one step to minimize `loss`.

        Args:
            loss: a tensor; if it is not a scalar, the sum of its elements is minimized.
            global_step: a variable that is incremented after the step.
            var_list: the variables to train; by default all trainable ones of the graph.
            gate_gradients: GATE_NONE, GATE_OP or GATE_GRAPH.
            aggregation_method: one of AggregationMethod.
            name: the operation's name; by default the optimizer's.

        Raises:
            ValueError: there are no variables, or `loss` depends on none of them.
        """
        pairs = self.compute_gradients(loss, var_list, gate_gradients, aggregation_method)
        return self.apply_gradients(pairs, global_step, name)

    def compute_gradients(
        self,
        loss: Tensor,
        var_list: Iterable[Variable] | None = None,
        gate_gradients: int = GATE_OP,
        aggregation_method: int | None = None,
    ) -> list[tuple[Gradient | None, Variable]]:
        """Pairs (gradient, variable), one for each variable; the gradient is None where `loss` does not depend on it.

        Arguments as for `minimize`.

        Raises:
            TypeError: an item of `var_list` is not a Variable, or `loss` is not of floating-point type.
            ValueError: there are no variables, or one is not of a type that can be trained.
        """
        if gate_gradients not in (self.GATE_NONE, self.GATE_OP, self.GATE_GRAPH):
            raise ValueError(
                "gate_gradients must be one of: Optimizer.GATE_NONE, Optimizer.GATE_OP, Optimizer.GATE_GRAPH.  Not "
                f"{gate_gradients!r}"
            )
        variables = list(trainable_variables() if var_list is None else var_list)
        if not variables:
            raise ValueError("No variables to optimize")
        for variable in variables:
            if not isinstance(variable, Variable):
                raise TypeError(f"Argument is not a tf.Variable: {variable!r}")
        grads = gradients(loss, variables, aggregation_method=aggregation_method)
        if gate_gradients == self.GATE_GRAPH:
            grads = _all_or_none(grads)
        pairs = list(zip(grads, variables, strict=True))
        self._check_types([variable for grad, variable in pairs if grad is not None])
        return pairs

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, Variable]],
        global_step: Variable | None = None,
        name: str | None = None,
    ) -> Operation:
        """An operation that applies gradients to variables.

        Args:
            grads_and_vars: pairs as `compute_gradients` returns them; those whose gradient is None are left out.
            global_step: a variable that is incremented after all updates.
            name: the operation's name; by default the optimizer's.

        Raises:
            TypeError: a gradient is no tensor, or what should be a variable is none.
            ValueError: no variable has a gradient, or one is not of a type that can be trained.
        """
        pairs = _converted(list(grads_and_vars))
        variables = [variable for _, variable in pairs]
        self._check_types(variables)
        graph = variables[0].graph
        with graph.as_default(), graph.control_dependencies(None):
            self._create_slots(variables)
        with op_scope([variables[0].ref()], name, self._name) as scope:
            self._scope, self._scalars = scope, {}
            self._prepare()
            updates = [self._update(grad, variable) for grad, variable in pairs]
            if global_step is None:
                return self._finish(updates, scope)
            one = convert_to_tensor(1, global_step.dtype, name="value")
            with graph.control_dependencies([self._finish(updates, "update")]), graph.device(global_step.device):
                return state_ops.assign_add(global_step, one, name=scope).op

    def _update(self, grad: Gradient, variable: Variable) -> Any:
        with variable.graph.name_scope(f"update_{variable.op.name}"), variable.graph.device(variable.device):
            if isinstance(grad, IndexedSlices):
                return self._apply_sparse(grad, variable)
            return self._apply_dense(grad, variable)

    # -- slots ---------------------------------------------------------------------------------------------------------

    def get_slot_names(self) -> list[str]:
        """The names of the slots that exist."""
        return sorted(self._slots)

    def get_slot(self, var: Variable, name: str) -> Variable | None:
        """The slot `name` of a variable; None if it has none, as before gradients were applied to it."""
        return self._slots.get(name, {}).get(var)

    def _slot(self, var: Variable, name: str) -> Variable:
        """The slot `name` of a variable for which `_create_slots` made one."""
        return self._slots[name][var]

    def _get_or_make_slot(self, var: Variable, val: Any, slot_name: str, op_name: str) -> Variable:
        """The slot `slot_name` of a variable; made if need be, as `<var>/<op_name>`, to start as `val`."""
        slots = self._slots.setdefault(slot_name, {})
        if var not in slots:
            slots[var] = slot_creator.create_slot(var, val, op_name)
        return slots[var]

    def _filled_slot(self, var: Variable, value: float, slot_name: str, op_name: str) -> Variable:
        """The slot `slot_name` of a variable; made if need be, as `<var>/<op_name>`, to start filled with `value`."""
        slots = self._slots.setdefault(slot_name, {})
        if var not in slots:
            slots[var] = slot_creator.create_filled_slot(var, value, op_name)
        return slots[var]

    def _zeros_slot(self, var: Variable, slot_name: str, op_name: str) -> Variable:
        """As `_filled_slot`, starting as zeros."""
        return self._filled_slot(var, 0, slot_name, op_name)

    # -- for subclasses ------------------------------------------------------------------------------------------------

    def _valid_dtypes(self) -> frozenset[DType]:
        """The types of variables that can be trained."""
        return REAL

    def _create_slots(self, var_list: Sequence[Variable]) -> None:
        """Makes the slots of the variables."""

    def _prepare(self) -> None:
        """Makes what all updates need."""

    def _apply_dense(self, grad: Tensor, var: Variable) -> Any:
        """The operation that applies a gradient of the variable's shape."""
        raise NotImplementedError(f"{type(self).__name__} must say how a gradient is applied: _apply_dense(grad, var)")

    def _apply_sparse(self, grad: IndexedSlices, var: Variable) -> Any:
        """The operation that applies an IndexedSlices; by default, the dense gradient that it stands for."""
        return self._apply_dense(convert_to_tensor(grad), var)

    def _finish(self, update_ops: Sequence[Any], name_scope: str) -> Operation:
        """The operation, of the given name, that is done when all updates are."""
        op: Operation = control_flow_ops.group(*update_ops, name=name_scope)
        return op

    def _scalar(self, name: str, value: Any, like: Variable) -> Tensor:
        """A hyperparameter (a number or a tensor) in the type of a variable; one tensor for all variables of a type."""
        dtype = like.dtype.base_dtype
        if (name, dtype) not in self._scalars:
            with like.graph.name_scope(self._scope):
                self._scalars[name, dtype] = as_scalar(value, dtype, name)
        return self._scalars[name, dtype]

    def _check_types(self, variables: Iterable[Variable]) -> None:
        for variable in variables:
            if variable.dtype.base_dtype not in self._valid_dtypes():
                expected = sorted(dtype.name for dtype in self._valid_dtypes())
                raise ValueError(
                    f"Invalid type {variable.dtype.base_dtype.name} for {variable.name}, expected: {expected}."
                )


def as_scalar(value: Any, dtype: DType, name: str) -> Tensor:
    """`value` as a tensor of `dtype`: a number is made one, a tensor is cast."""
    if isinstance(value, (Tensor, Variable)):
        return array_ops.cast(convert_to_tensor(value), dtype)
    return convert_to_tensor(value, dtype, name)


def _all_or_none(grads: Sequence[Gradient | None]) -> list[Gradient | None]:
    """The gradients, none of which can be used before all are computed."""
    gated = iter(control_flow_ops.tuple([grad for grad in grads if grad is not None]))
    return [None if grad is None else next(gated) for grad in grads]


def _gradient(value: Any) -> Gradient:
    try:
        return convert_to_tensor_or_indexed_slices(value)
    except (TypeError, ValueError):
        raise TypeError(f"Gradient must be a Tensor, IndexedSlices, or None: {value!r}") from None


def _converted(pairs: Sequence[tuple[Any, Variable]]) -> list[tuple[Gradient, Variable]]:
    """The pairs that have a gradient, as a tensor or IndexedSlices."""
    converted = []
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"grads_and_vars must be a list of pairs (gradient, variable), not of {pair!r}")
        grad, variable = pair
        if not isinstance(variable, Variable):
            raise TypeError(f"Variable must be a tf.Variable: {variable!r}")
        if grad is not None:
            converted.append((_gradient(grad), variable))
    if not converted:
        names = ", ".join(variable.name for _, variable in pairs)
        raise ValueError(f"No gradients provided for any variable: {names or 'no variables were given'}")
    return converted
