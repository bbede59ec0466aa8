"""What a graph keeps beside its operations: collections, a seed, a version, and whether it may still change."""

from __future__ import annotations

from typing import Any

from flowc.framework.node_def import GRAPH_DEF_VERSION


class GraphState:
    """The state of a graph. `Graph` is one of these."""

    def __init__(self) -> None:
        super().__init__()
        self._version = 0
        self._finalized = False
        self._collections: dict[str, list[Any]] = {}
        self._seed: int | None = None

    # -- collections ---------------------------------------------------------------------------------------------------

    def add_to_collection(self, name: str, value: Any) -> None:
        """Appends `value` to the collection `name`."""
        if self._finalized:
            raise RuntimeError("Graph is finalized and cannot be modified.")
        self._collections.setdefault(name, []).append(value)

    def get_collection(self, name: str, scope: str | None = None) -> list[Any]:
        """The collection `name`, or those of its items whose names start with `scope`."""
        items = self._collections.get(name, [])
        return [item for item in items if scope is None or getattr(item, "name", "").startswith(scope)]

    def get_all_collection_keys(self) -> list[str]:
        """The names of the collections that hold something, sorted."""
        return sorted(key for key, items in self._collections.items() if items)

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def seed(self) -> int | None:
        """The seed that random ops without one of their own draw from, or None; `tf.set_random_seed` sets it."""
        return self._seed

    @seed.setter
    def seed(self, seed: int | None) -> None:
        self._seed = seed

    @property
    def version(self) -> int:
        """A number that grows with every operation added."""
        return self._version

    @property
    def graph_def_version(self) -> int:
        """The version of the GraphDef format that `as_graph_def` writes."""
        return GRAPH_DEF_VERSION

    @property
    def finalized(self) -> bool:
        """Whether the graph may no longer be changed."""
        return self._finalized

    def finalize(self) -> None:
        """Makes the graph read-only: adding an operation raises RuntimeError from here on."""
        self._finalized = True
