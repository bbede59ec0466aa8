"""What users fetch: structures of tensors and operations, and how results are put back into the same structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flowc.framework.graph import Graph, Operation, Tensor

Results = Sequence[Any]  # one value a fetched tensor
Build = Callable[[Results], Any]


class Fetches:
    """A structure of fetches, taken apart.

    Attributes: `tensors` and `targets`, the distinct tensors and operations to run, in order; `build`, which makes what
    the user gets from the tensors' values; `flat`, for one fetch or a list without lists in it, where each item's value
    is in `tensors` (-1: an operation), else None; `is_single`, for one fetch.

    Raises TypeError for what cannot be fetched; ValueError if it is not in the graph.
    """

    def __init__(self, graph: Graph, fetches: Any) -> None:
        self._graph = graph
        self._tensors: dict[Tensor, int] = {}
        self._targets: dict[Operation, None] = {}
        self.build = self._builder(fetches)
        self.tensors, self.targets = tuple(self._tensors), tuple(self._targets)
        self.is_single = not isinstance(fetches, list | tuple | Mapping)
        self.flat = self._flat([fetches] if self.is_single else fetches)

    def _flat(self, items: Any) -> list[int] | None:
        if not isinstance(items, list) and type(items) is not tuple:
            return None
        if any(isinstance(item, list | tuple | Mapping) or hasattr(item, "_flowc_fetch") for item in items):
            return None
        elements = [self._graph.as_graph_element(item) for item in items]
        return [self._tensors.get(element, -1) if isinstance(element, Tensor) else -1 for element in elements]

    def _builder(self, fetch: Any) -> Build:
        if isinstance(fetch, Mapping):
            built = {key: self._builder(value) for key, value in fetch.items()}
            return lambda results: {key: build(results) for key, build in built.items()}
        if isinstance(fetch, tuple) and hasattr(fetch, "_fields"):
            fields = [self._builder(item) for item in fetch]
            return lambda results: type(fetch)(*[build(results) for build in fields])
        if isinstance(fetch, list | tuple):
            items = [self._builder(item) for item in fetch]
            return lambda results: [build(results) for build in items]
        composite = getattr(fetch, "_flowc_fetch", None)
        if composite is not None:
            tensors, make = composite()
            parts = [self._leaf(tensor) for tensor in tensors]
            return lambda results: make(*[build(results) for build in parts])
        return self._leaf(fetch)

    def _leaf(self, fetch: Any) -> Build:
        element = self._element(fetch)
        if isinstance(element, Operation):
            self._targets[element] = None
            return lambda results: None
        index = self._tensors.setdefault(element, len(self._tensors))
        return lambda results: results[index]

    def _element(self, fetch: Any) -> Any:
        try:
            return self._graph.as_graph_element(fetch)
        except TypeError as error:
            raise TypeError(
                f"Fetch argument {fetch!r} has invalid type {type(fetch)!r}, must be a string or Tensor, an Operation, "
                f"a Variable, or a list of these. ({error})"
            ) from None
        except (ValueError, KeyError) as error:
            raise ValueError(f"Fetch argument {fetch!r} cannot be interpreted as a Tensor. ({error.args[0]})") from None


def as_result(array: Any) -> Any:
    """An array as users get it: of rank 0, a NumPy scalar or, of strings, the bytes object."""
    return array[()] if type(array) is np.ndarray and not array.shape else array
