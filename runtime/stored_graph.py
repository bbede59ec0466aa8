"""What a plan that outlives its graph remembers of it: operations' types and lines, and how fetches were nested.

These stand in for a graph, its operations and a run's fetches where a loaded plan makes errors, converts feeds and
gives back results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowc.codegen.plan import TensorSpec
from flowc.framework.dtypes import DType, as_dtype
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.shapes import TensorShape


@dataclass(frozen=True)
class StoredOperation:
    """An operation as messages need it."""

    name: str
    type: str
    line: str
    node_def: None = None

    def source_line(self) -> str:
        """The user's line that made it, as `file:line`; empty if that is not known."""
        return self.line


class StoredGraph:
    """Operations by name. `table` is JSON data: name → [type, line]."""

    def __init__(self, table: Mapping[str, Sequence[str]]) -> None:
        self.table = table

    def get_operation_by_name(self, name: str) -> StoredOperation:
        """The operation; KeyError if it is not known."""
        kind, line = self.table[name]
        return StoredOperation(name, kind, line)


def stored_operations(graph: Graph, names: Sequence[str]) -> dict[str, list[str]]:
    """The table of the operations of those names that are in `graph`."""
    found = ((name, graph._by_name.get(name)) for name in names)
    return {name: [op.type, op.source_line()] for name, op in found if op is not None}


class StoredTensor:
    """A tensor as far as the conversion of fed values asks."""

    def __init__(self, spec: TensorSpec, graph: Any) -> None:
        self.name = spec.name
        self.dtype: DType = as_dtype(spec.dtype)
        self.shape = spec.shape
        name = spec.name.partition(":")[0]
        try:
            self.op: Any = graph.get_operation_by_name(name)
        except KeyError:
            self.op = StoredOperation(name, "", "")

    def get_shape(self) -> TensorShape:
        """The one shape that the plan takes."""
        return TensorShape(self.shape)


# -- fetches -----------------------------------------------------------------------------------------------------------


def structure_of(graph: Graph, fetches: Any, tensors: Sequence[Tensor]) -> Any:
    """How `fetches` are nested, as JSON data: an index into `tensors`, None for an operation, a list, or a dict.

    Named tuples, and objects made of several tensors, become lists. Raises TypeError for a dict with other keys than
    strings, which JSON cannot hold.
    """
    composite = getattr(fetches, "_flowc_fetch", None)
    if composite is not None:
        fetches = list(composite()[0])
    if isinstance(fetches, list | tuple):
        return [structure_of(graph, item, tensors) for item in fetches]
    if isinstance(fetches, Mapping):
        if not all(isinstance(key, str) for key in fetches):
            raise TypeError("a dict of fetches of a compiled plan has strings as keys: they are written to its file")
        return {key: structure_of(graph, value, tensors) for key, value in fetches.items()}
    element = graph.as_graph_element(fetches)
    return None if isinstance(element, Operation) else tensors.index(element)


class StoredFetches:
    """The same service as `flowc.runtime.fetches.Fetches`, from a stored structure."""

    def __init__(self, structure: Any) -> None:
        self.build: Callable[[Sequence[Any]], Any] = lambda results: _nested(structure, results)
        self.is_single = not isinstance(structure, list | dict)
        items = [structure] if self.is_single else structure
        is_flat = isinstance(items, list) and not any(isinstance(item, list | dict) for item in items)
        self.flat: list[int] | None = [-1 if item is None else item for item in items] if is_flat else None


def _nested(structure: Any, results: Sequence[Any]) -> Any:
    if isinstance(structure, list):
        return [_nested(item, results) for item in structure]
    if isinstance(structure, dict):
        return {key: _nested(item, results) for key, item in structure.items()}
    return None if structure is None else results[structure]
