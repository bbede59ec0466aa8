"""Graphs as plain data, what `Graph.as_graph_def` and `Operation.node_def` give; and the names in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

GRAPH_DEF_VERSION: Final = 2


@dataclass(frozen=True)
class NodeDef:
    """One operation as data. `input` holds tensor names (`"add"`, `"split:1"`), then control inputs (`"^init"`)."""

    name: str
    op: str
    input: tuple[str, ...]
    device: str
    attr: dict[str, Any]


@dataclass(frozen=True)
class GraphDef:
    """A graph as data, in the order its operations were made."""

    node: tuple[NodeDef, ...]
    version: int = GRAPH_DEF_VERSION


def checked_name(name: Any) -> str:
    """The name of an operation or a tensor; TypeError for what is no string."""
    if not isinstance(name, str):
        raise TypeError(f"Names of tensors and operations are strings, not {type(name).__name__}.")
    return name


def split_tensor_name(name: Any) -> tuple[str, int]:
    """The operation's name and the output's index that a tensor's name is made of; ValueError for another name."""
    op_name, colon, index = checked_name(name).partition(":")
    if not colon:
        hint = f' Tensor names must be of the form "<op_name>:<output_index>"; did you mean "{name}:0"?'
        raise ValueError(f"The name {name!r} does not refer to a Tensor.{hint}")
    if not index.isdigit():
        raise ValueError(f'The name {name!r} looks like a Tensor name, but is not a valid one: "<op>:<output>".')
    return op_name, int(index)
