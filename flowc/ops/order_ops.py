"""Order without data: no_op, group, tuple, and values that wait for operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import make_operation
from flowc.framework.default_graph import graph_of
from flowc.framework.graph import Operation, as_operation
from flowc.framework.indexed_slices import IndexedSlices
from flowc.framework.registry import define, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.ops.array_ops import identity

__all__ = ["group", "no_op", "tuple", "with_dependencies"]

define("NoOp", shape=shape_rules.nothing, result=lambda types, attrs: [], inputs="")
not_differentiable("NoOp")


def no_op(name: str | None = None) -> Operation:
    """An operation that does nothing: something for control dependencies to hang on."""
    return make_operation("NoOp", [], name=name)


def group(*inputs: Any, **kwargs: Any) -> Operation:
    """An operation that is done when all `inputs`, operations or tensors, are. It has no output.

    The only keyword is `name`.
    """
    name = kwargs.pop("name", None)
    if kwargs:
        raise ValueError(f"Unknown keyword arguments: {', '.join(kwargs)}")
    operations = [as_operation(value) for value in inputs]
    with op_scope([op.outputs[0] for op in operations if op.outputs], name, "group_deps") as scope:
        graph = operations[0].graph if operations else graph_of([])
        devices = {op.device for op in operations}
        with graph.device(devices.pop() if len(devices) == 1 else None), graph.control_dependencies(operations):
            return no_op(scope)


def with_dependencies(dependencies: Iterable[Any], output_tensor: Any, name: str | None = None) -> Any:
    """`output_tensor`, a tensor or IndexedSlices, but not before all `dependencies` have run."""
    if isinstance(output_tensor, IndexedSlices):
        values = with_dependencies(dependencies, output_tensor.values, name)
        return IndexedSlices(values, output_tensor.indices, output_tensor.dense_shape)
    dependencies = list(dependencies)
    with op_scope([output_tensor], name, "control_dependency") as scope:
        graph = graph_of([output_tensor])
        with graph.device(output_tensor.device or None), graph.control_dependencies(dependencies):
            return identity(output_tensor, scope)


def tuple(tensors: Sequence[Any], name: str | None = None, control_inputs: Iterable[Any] | None = None) -> list[Any]:
    """The tensors (or IndexedSlices, or None), none of which is there before all of them are computed.

    control_inputs: further operations that must have run. Raises ValueError if no tensor is given.
    """
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        raise ValueError("Must have at least one Tensor")
    with op_scope(present, name, "tuple"):
        gates = [as_operation(value) for value in (*present, *(control_inputs or ()))]
        gate = group(*dict.fromkeys(gates))
        return [None if tensor is None else with_dependencies([gate], tensor) for tensor in tensors]
