"""Graphs as plain data: what `Graph.as_graph_def` and `Operation.node_def` give."""

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
