"""The names of operations and tensors, and what they name in a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flowc.framework.constant_value import OperationLike

_TENSOR_NAME: Final = 'Tensor names must be of the form "<op_name>:<output_index>"'


def checked_name(name: Any, kind: str) -> str:
    """The name of a `kind`, "Operation" or "Tensor"; TypeError for what is no string."""
    if not isinstance(name, str):
        raise TypeError(f"{kind} names are strings (or similar), not {type(name).__name__}.")
    return name


def split_tensor_name(name: str) -> tuple[str, int] | None:
    """The operation's name and the output's index that a tensor's name is made of; None for another name."""
    op_name, colon, index = name.partition(":")
    return (op_name, int(index)) if colon and index.isdigit() else None


def kinds(allow_tensor: bool, allow_operation: bool) -> str:
    """What is asked for, in words; ValueError if it is nothing."""
    found = ["Tensor"] * allow_tensor + ["Operation"] * allow_operation
    if not found:
        raise ValueError("allow_tensor and allow_operation can't both be False.")
    return " or ".join(found)


def named(ops: Mapping[str, OperationLike], name: str, allow_tensor: bool, allow_operation: bool) -> Any:
    """The tensor or operation of that name, of a graph's operations by name.

    Raises KeyError if there is none; ValueError for a name of another kind than is allowed, or of none.
    """
    wanted = kinds(allow_tensor, allow_operation)
    if ":" in name:
        if not allow_tensor:
            raise ValueError(f"The name {name!r} refers to a Tensor, not an {wanted}.")
        return _tensor(ops, name)
    if name in ops and allow_operation:
        return ops[name]
    if allow_operation:
        raise KeyError(f"The name {name!r} refers to an Operation not in the graph.")
    what = "refers to an Operation" if name in ops else "looks like an (invalid) Operation name"
    raise ValueError(f'The name {name!r} {what}, not a {wanted}. {_TENSOR_NAME}; did you mean "{name}:0"?')


def _tensor(ops: Mapping[str, OperationLike], name: str) -> Any:
    parts = split_tensor_name(name)
    if parts is None:
        raise ValueError(f"The name {name!r} looks like a tensor name, but is not a valid one. {_TENSOR_NAME}.")
    op_name, index = parts
    if op_name in ops and index < len(ops[op_name]._outputs):
        return ops[op_name]._outputs[index]
    missing = "does not exist in the graph"
    if op_name in ops:
        missing = f"exists but only has {len(ops[op_name]._outputs)} outputs"
    raise KeyError(f"The name {name!r} refers to a Tensor which does not exist. The operation, {op_name!r}, {missing}.")
