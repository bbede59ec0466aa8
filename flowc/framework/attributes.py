"""Attributes of operations: the Python values that flowc keeps, as the AttrValue messages of graph definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowc.framework import protos
from flowc.framework.constant_value import OperationLike
from flowc.framework.dtypes import DType, as_dtype
from flowc.framework.registry import lookup
from flowc.framework.shapes import TensorShape
from flowc.framework.tensor_proto import array_from_proto, array_to_proto, shape_from_proto, shape_to_proto


def to_proto(value: Any) -> Any:
    """The AttrValue of a bool, a number, a string, a type, a shape, an array, or a list of one of these kinds.

    An AttrValue is itself. Raises TypeError for other values.
    """
    if _is_message(value):
        return value
    if isinstance(value, list | tuple):
        return protos.AttrValue(list=_list(value))
    kind, plain = _field_and_value(value)
    return protos.AttrValue(**{kind: plain})


def from_protos(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes, some of which may be AttrValue messages, as Python values."""
    return {name: from_proto(value) if _is_message(value) else value for name, value in attrs.items()}


def of_operation(op: OperationLike) -> dict[str, Any]:
    """The operation's attributes with those that follow from its inputs' types, as a graph definition names all."""
    definition = lookup(op._type)
    if definition is None:
        return dict(op._attrs)
    return {**definition.defaults, **definition.attributes([t._dtype._base for t in op._inputs]), **op._attrs}


def _is_message(value: Any) -> bool:
    return hasattr(value, "WhichOneof")


def _list(values: Sequence[Any]) -> Any:
    fields = [_field_and_value(value) for value in values]
    kinds = {kind for kind, _ in fields}
    if len(kinds) > 1:
        raise TypeError(f"A list attribute holds values of one kind, not {values!r}.")
    return protos.AttrValue.ListValue(**{kind: [plain for _, plain in fields] for kind in kinds})


def _field_and_value(value: Any) -> tuple[str, Any]:
    """The AttrValue's field for a value, and what it holds."""
    if isinstance(value, bool | np.bool_):
        return "b", bool(value)
    if isinstance(value, int | np.integer):
        return "i", int(value)
    if isinstance(value, float | np.floating):
        return "f", float(value)
    if isinstance(value, str | bytes):
        return "s", value.encode() if isinstance(value, str) else value
    if isinstance(value, DType | np.dtype):
        return "type", as_dtype(value).as_datatype_enum
    if isinstance(value, TensorShape):
        return "shape", shape_to_proto(value)
    if isinstance(value, np.ndarray):
        return "tensor", array_to_proto(value, as_dtype(value.dtype))
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be an attribute.")


def from_proto(attr: Any) -> Any:
    """The Python value of an AttrValue; of one that holds nothing, an empty list."""
    kind = attr.WhichOneof("value")
    if kind is None:
        return []
    if kind == "list":
        return next(([_python(f.name, item) for item in items] for f, items in attr.list.ListFields()), [])
    return _python(kind, getattr(attr, kind))


def _python(kind: str, value: Any) -> Any:
    if kind == "s":
        return _text(value)
    if kind == "type":
        return as_dtype(value)
    if kind == "shape":
        return shape_from_proto(value)
    if kind == "tensor":
        return array_from_proto(value)
    return value


def _text(value: bytes) -> str | bytes:
    """The string that bytes encode, or the bytes where they are none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
