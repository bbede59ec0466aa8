"""Making operations of registered types: what the constructors in `flowc/ops` end in.

The arguments become tensors, their types are checked, the operation is named and added to the graph, and the shapes of
its outputs inferred. An error names the op, the types and shapes and the user's line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowc.framework.default_graph import get_default_graph
from flowc.framework.dtypes import DType
from flowc.framework.graph import Operation, Tensor
from flowc.framework.op_inputs import check_types, converted
from flowc.framework.registry import lookup


def apply(
    op_type: str, inputs: Sequence[Any], attrs: Mapping[str, Any] | None = None, name: str | None = None
) -> Tensor:
    """The output of a new operation, of a type that has one output. Arguments and errors as for `make_operation`."""
    return make_operation(op_type, inputs, attrs, name)._outputs[0]


def apply_list(
    op_type: str, inputs: Sequence[Any], attrs: Mapping[str, Any] | None = None, name: str | None = None
) -> list[Tensor]:
    """The outputs of a new operation, of a type that has any number. Arguments and errors as for `make_operation`."""
    return list(make_operation(op_type, inputs, attrs, name)._outputs)


def make_operation(
    op_type: str, inputs: Sequence[Any], attrs: Mapping[str, Any] | None = None, name: str | None = None
) -> Operation:
    """A new operation of a registered type.

    Args:
        op_type: the type's name.
        inputs: tensors, or values that convert to tensors.
        attrs: the operation's attributes.
        name: its name, made unique; by default the type's. A name that ends in `/` is taken as it is.

    Raises:
        TypeError: types that the op does not take or that do not agree. ValueError: shapes that do not fit, or inputs
            of several graphs. RuntimeError: the graph is finalized.
    """
    definition = lookup(op_type)
    if definition is None:
        raise KeyError(f"op type {op_type!r} is not defined")
    for value in inputs:
        if type(value) is not Tensor:
            inputs, name = converted(definition, inputs, name or op_type)
            break
    types = [t._dtype._base for t in inputs]
    signature = tuple([dtype._enum for dtype in types])
    if signature not in definition.accepted:
        check_types(definition, types)
        definition.accepted.add(signature)
    result = definition.result
    if result is None:
        output_types: Sequence[DType] = types[:1]
    else:
        output_types = (result,) if isinstance(result, DType) else result(types, attrs or {})
    graph = inputs[0]._op._graph if inputs else get_default_graph()
    return graph._create(op_type, inputs, output_types, name, attrs)
