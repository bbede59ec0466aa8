"""The default graph: the one that op constructors add to on this thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowc.framework import source
from flowc.framework.graph import Graph
from flowc.framework.stacks import graph_stack


def get_default_graph() -> Graph:
    """The graph that op constructors add to on this thread."""
    graph: Graph = graph_stack.innermost(Graph)
    return graph


def reset_default_graph() -> None:
    """Makes a new, empty graph the default one. Not inside a `Graph.as_default()` block."""
    if not graph_stack.is_empty:
        raise AssertionError("Do not use tf.reset_default_graph() inside a `with graph.as_default()` block.")
    graph_stack.forget_bottom()


def graph_of(values: Iterable[Any]) -> Graph:
    """The graph of those of the values that are in one, which must be the same; else the default graph."""
    graph, first = None, None
    for value in values:
        own = getattr(value, "graph", None)
        if own is None or own is graph:
            continue
        if graph is not None:
            raise ValueError(f"{value} is not from the same graph as {first}.{source.at_user_line()}")
        graph, first = own, value
    return get_default_graph() if graph is None else graph
