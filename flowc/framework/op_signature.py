"""The types of inputs and outputs that an OpDef message gives an operation with certain attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowc.framework.attributes import from_proto
from flowc.framework.dtypes import DType, as_dtype


def input_types(op_def: Any, attrs: Mapping[str, Any]) -> list[DType]:
    """The types of the inputs, in order. Raises ValueError if an attribute that decides one is missing."""
    return _types(op_def, op_def.input_arg, attrs)


def output_types(op_def: Any, attrs: Mapping[str, Any]) -> list[DType]:
    """The types of the outputs, in order. Raises ValueError if an attribute that decides one is missing."""
    return _types(op_def, op_def.output_arg, attrs)


def _types(op_def: Any, arguments: Iterable[Any], attrs: Mapping[str, Any]) -> list[DType]:
    found: list[DType] = []
    for argument in arguments:
        if argument.type_list_attr:
            types = list(_attribute(op_def, attrs, argument.type_list_attr))
        else:
            one = _attribute(op_def, attrs, argument.type_attr) if argument.type_attr else as_dtype(argument.type)
            types = [one] * (_attribute(op_def, attrs, argument.number_attr) if argument.number_attr else 1)
        found += [dtype.as_ref if argument.is_ref else dtype for dtype in types]
    return found


def _attribute(op_def: Any, attrs: Mapping[str, Any], name: str) -> Any:
    if name in attrs:
        return attrs[name]
    for attribute in op_def.attr:
        if attribute.name == name and attribute.HasField("default_value"):
            return from_proto(attribute.default_value)
    raise ValueError(f"Expected one attr with name {name!r} in an operation of type {op_def.name!r}.")
