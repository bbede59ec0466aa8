"""The scopes of the default graph, as functions; collections; seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from flowc.framework.default_graph import get_default_graph, graph_of
from flowc.framework.graph import Tensor

DEFAULT_GRAPH_SEED: Final = 87654321


class GraphKeys:
    """Names of the collections that the library itself uses."""

    VARIABLES: Final = "variables"
    GLOBAL_VARIABLES: Final = VARIABLES  # its later name
    LOCAL_VARIABLES: Final = "local_variables"
    TRAINABLE_VARIABLES: Final = "trainable_variables"
    MOVING_AVERAGE_VARIABLES: Final = "moving_average_variables"
    SUMMARIES: Final = "summaries"
    QUEUE_RUNNERS: Final = "queue_runners"
    TABLE_INITIALIZERS: Final = "table_initializer"
    ASSET_FILEPATHS: Final = "asset_filepaths"


def device(dev: Any) -> AbstractContextManager[None]:
    """`Graph.device` of the default graph."""
    return get_default_graph().device(dev)


def name_scope(name: str | None) -> AbstractContextManager[str]:
    """`Graph.name_scope` of the default graph."""
    return get_default_graph().name_scope(name)


def control_dependencies(control_inputs: Iterable[Any] | None) -> AbstractContextManager[None]:
    """`Graph.control_dependencies` of the default graph."""
    return get_default_graph().control_dependencies(control_inputs)


def add_to_collection(name: str, value: Any) -> None:
    """`Graph.add_to_collection` of the default graph."""
    get_default_graph().add_to_collection(name, value)


def get_collection(key: str, scope: str | None = None) -> list[Any]:
    """`Graph.get_collection` of the default graph."""
    return get_default_graph().get_collection(key, scope)


@contextmanager
def op_scope(values: Sequence[Any], name: str | None, default_name: str | None = None) -> Iterator[str]:
    """A name scope for a composite op: `name` or `default_name`, in the graph that `values` are of."""
    graph = graph_of([value for value in values if isinstance(value, Tensor)])
    scope = name if name is not None else default_name
    if scope is None:
        raise ValueError("At least one of name and default_name must be given.")
    with graph.as_default(), graph.name_scope(scope) as full:
        yield full


def set_random_seed(seed: int | None) -> None:
    """The graph's seed: with it, random ops without a seed of their own repeat from session to session."""
    get_default_graph().seed = seed


def get_seed(op_seed: int | None) -> tuple[int | None, int | None]:
    """The pair (graph seed, op seed) that a random op made now gets; (None, None) if neither is set."""
    graph = get_default_graph()
    if graph.seed is not None:
        return graph.seed, graph._version if op_seed is None else op_seed
    if op_seed is not None:
        return DEFAULT_GRAPH_SEED, op_seed
    return None, None
