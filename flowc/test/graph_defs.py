"""Whether two graph definitions are the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowc.framework import protos


def assert_equal_graph_def(actual: Any, expected: Any) -> None:
    """Checks that two GraphDef messages have the same nodes, by name, with the same types, inputs and attributes.

    The order of nodes and of control inputs does not count, nor do versions. Raises AssertionError where they differ,
    TypeError for what is no GraphDef.
    """
    nodes, wanted = _by_name(actual, "actual"), _by_name(expected, "expected")
    _check_names(nodes, wanted)
    for name, node in nodes.items():
        difference = _difference(node, wanted[name])
        if difference:
            raise AssertionError(f"Node {name!r}: {difference}")


def _by_name(graph_def: Any, which: str) -> dict[str, Any]:
    if not isinstance(graph_def, protos.GraphDef):
        raise TypeError(f"Expected tf.GraphDef for {which}, got {type(graph_def).__name__}")
    return {node.name: node for node in graph_def.node}


def _check_names(actual: Iterable[str], expected: Iterable[str]) -> None:
    missing, extra = set(expected) - set(actual), set(actual) - set(expected)
    if missing or extra:
        raise AssertionError(f"Expected nodes that are missing: {sorted(missing)}; that are too many: {sorted(extra)}")


def _difference(node: Any, wanted: Any) -> str | None:
    if node.op != wanted.op:
        return f"op {node.op} where {wanted.op} is expected"
    if _inputs(node) != _inputs(wanted):
        return f"inputs {list(node.input)} where {list(wanted.input)} are expected"
    if node.device != wanted.device:
        return f"device {node.device!r} where {wanted.device!r} is expected"
    differing = [name for name in {*node.attr, *wanted.attr} if node.attr.get(name) != wanted.attr.get(name)]
    return f"attributes {sorted(differing)} differ" if differing else None


def _inputs(node: Any) -> tuple[list[str], set[str]]:
    """The tensors in their order; the control inputs, which have none."""
    controls = {item for item in node.input if item.startswith("^")}
    return [item.removesuffix(":0") for item in node.input if item not in controls], controls
