"""The inputs of an operation that is being made: values become tensors, and their types are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowc.framework import dtypes, source
from flowc.framework.convert import convert_to_tensor
from flowc.framework.default_graph import get_default_graph, graph_of
from flowc.framework.dtypes import DType
from flowc.framework.graph import Tensor
from flowc.framework.registry import OpDef


def converted(definition: OpDef, inputs: Sequence[Any], name: str) -> tuple[list[Tensor], str]:
    """The inputs as tensors, and the operation's full name: a value becomes the constant `<operation>/<input>`."""
    graph = graph_of(inputs)
    scope = name[:-1] if name.endswith("/") else graph.unique_name(name)
    outer = graph._name_scope
    graph._name_scope = scope
    try:
        if graph is get_default_graph():
            return convert_inputs(definition, inputs), scope + "/"
        with graph.as_default():
            return convert_inputs(definition, inputs), scope + "/"
    finally:
        graph._name_scope = outer


def convert_inputs(definition: OpDef, inputs: Sequence[Any]) -> list[Tensor]:
    """The inputs as tensors. A value without a type of its own gets that of the inputs it must agree with, else the
    only one that the op takes, or int32 where it takes only integers; an array is cast to it where that keeps its
    kind."""
    same_from = len(inputs) if definition.same_from is None else definition.same_from
    shared = _shared_type(inputs[same_from:])
    tensors = []
    for index, value in enumerate(inputs):
        wanted = shared if index >= same_from else None
        try:
            tensor = _convert(value, wanted, _types_of_input(definition, index), _input_name(definition, index))
        except TypeError as error:
            place = f"Input {_input_name(definition, index)!r} of {definition.type!r} Op"
            raise TypeError(f"{place}: {error}{source.at_user_line()}") from None
        tensors.append(tensor)
        if shared is None and index >= same_from:
            shared = tensor._dtype._base  # the first of a group of plain values decides
    return tensors


def _shared_type(inputs: Sequence[Any]) -> DType | None:
    """The type that a group of inputs shares: that of the first tensor, or else of the first array."""
    typed = [(value, dtype) for value in inputs if (dtype := _own_type(value)) is not None]
    in_graph = (dtype for value, dtype in typed if not _is_array(value))
    return next(in_graph, typed[0][1] if typed else None)


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic))


def _own_type(value: Any) -> DType | None:
    """The type of a value that has one of its own, as Python numbers have not."""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return None
    try:
        return dtypes.as_dtype(dtype).base_dtype
    except TypeError:
        return None


def _convert(value: Any, wanted: DType | None, allowed: frozenset[DType], name: str) -> Tensor:
    own = _own_type(value)
    if own is not None and not _is_array(value):
        return convert_to_tensor(value)
    if wanted is None and len(allowed) == 1:
        (wanted,) = allowed
    if own is not None:
        if wanted is None or own is wanted:
            return convert_to_tensor(value, own, name)
        if not np.can_cast(own.as_numpy_dtype, wanted.as_numpy_dtype, "same_kind"):
            raise TypeError(f"an array of {own.name} where {wanted.name} is expected: cast it first.")
        return convert_to_tensor(value, wanted, name)
    if wanted is None and allowed <= dtypes.INTEGER:
        wanted = dtypes.int32
    return convert_to_tensor(value, wanted, name)


def check_types(definition: OpDef, types: Sequence[DType]) -> None:
    """Raises TypeError unless the op takes the types, and those that must agree do."""
    same_from = definition.same_from
    if same_from is not None and len(types) > same_from:
        _check_shared(definition, types, same_from)
        types = types[: same_from + 1]
    for index, dtype in enumerate(types):
        if dtype not in _types_of_input(definition, index):
            raise TypeError(_refusal(definition, index, dtype) + source.at_user_line())


def _check_shared(definition: OpDef, types: Sequence[DType], same_from: int) -> None:
    """Raises TypeError unless the inputs from `same_from` on have one type."""
    shared = types[same_from]
    other = next((i for i, dtype in enumerate(types) if i > same_from and dtype is not shared), None)
    if other is None:
        return
    first = _input_name(definition, same_from)
    if definition.arity is None:
        names = ", ".join(dtype.name for dtype in types[same_from:])
        message = (
            f"Tensors in list passed to {first!r} of {definition.type!r} Op have types [{names}] that don't all match."
        )
    else:
        where = f"Input {_input_name(definition, other)!r} of {definition.type!r} Op"
        message = f"{where} has type {types[other].name} that does not match type {shared.name} of argument {first!r}."
    raise TypeError(message + source.at_user_line())


def _refusal(definition: OpDef, index: int, dtype: DType) -> str:
    """Why the op does not take an input of that type."""
    allowed, words = _types_of_input(definition, index), definition.type_attrs
    names = ", ".join(sorted(t.name for t in allowed))
    where = f"Input {_input_name(definition, index)!r} of {definition.type!r} Op"
    attr = words[index].rpartition("*")[2] if index < len(words) else "-"
    if attr == "-" and len(allowed) == 1:
        return f"{where} has type {dtype.name} that does not match expected type of {names}."
    attr = "T" if attr == "-" else attr
    return f"DataType {dtype.name} for attr {attr!r} not in list of allowed values: {names} ({where})"


def _types_of_input(definition: OpDef, index: int) -> frozenset[DType]:
    allowed = definition.allowed
    return allowed[min(index, len(allowed) - 1)] if isinstance(allowed, tuple) else allowed


def _input_name(definition: OpDef, index: int) -> str:
    """The input's name; the last name, numbered, for the inputs of a list."""
    names = definition.input_names
    if index < len(names):
        return names[index]
    return f"{names[-1] if names else 'input'}_{index - len(names) + 1}"
