"""Where operations are being made: in a branch, or in a loop. What they take from outside is brought in.

A context stands in `Graph._context` while the user's function runs that makes a branch or a body.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.graph_scopes import Context
from flowc.ops.switch_ops import enter, switch


@contextmanager
def making_in(graph: Graph, context: Context | None, controls: list[Any]) -> Iterator[None]:
    """In the with-block, new operations are made in that context, and wait for the scopes of `controls` only."""
    before = graph._context, graph._control_stack
    graph._context, graph._control_stack = context, controls
    try:
        yield
    finally:
        graph._context, graph._control_stack = before


class ControlContext:
    """What both kinds share. `outer` is the context around this one; `pivot` runs exactly when what is inside may."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outer: Context | None = graph._context
        self.pivot: Operation | None = None
        self._outer_controls = graph._control_stack
        self._inside: dict[Tensor, Tensor] = {}  # a tensor → what it is inside: itself, if it was made there
        self._members: set[Operation] = set()  # what runs only if what is inside may

    def entered(self) -> AbstractContextManager[None]:
        """In the with-block, new operations are made inside."""
        return making_in(self.graph, self, [])

    def left(self) -> AbstractContextManager[None]:
        """In the with-block, new operations are made just outside."""
        return making_in(self.graph, self.outer, self._outer_controls)

    def has(self, op: Operation) -> bool:
        """Whether the operation was made inside."""
        return op in self._members

    def captured(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What the tensors are inside."""
        return tuple([self.capture(tensor) for tensor in inputs])

    def capture(self, tensor: Tensor) -> Tensor:
        """What the tensor is inside; the same each time."""
        found = self._inside.get(tensor)
        if found is None:
            outside = tensor if self.outer is None else self.outer.captured((tensor,))[0]
            with self.left():
                found = self._brought_in(outside)
            self._inside[tensor] = self._inside[found] = found
        return found

    def joined_by(self, op: Operation) -> None:
        """Notes that an operation was made inside; one that depends on nothing inside waits for the pivot."""
        self._inside.update({tensor: tensor for tensor in op._outputs})
        self._members.add(op)
        sources = (*(tensor._op for tensor in op._inputs), *op._control_inputs)
        if self.pivot is not None and self._members.isdisjoint(sources):
            op._add_control_inputs([self.pivot])
        if self.outer is not None:
            self.outer.joined_by(op)

    def _brought_in(self, tensor: Tensor) -> Tensor:
        raise NotImplementedError


class BranchContext(ControlContext):
    """The side `outcome` of a condition `pred`."""

    def __init__(self, graph: Graph, pred: Tensor, pivot: Tensor, outcome: bool) -> None:
        super().__init__(graph)
        self.pred, self.outcome, self.pivot = pred, outcome, pivot._op
        self._inside[pivot] = self._inside[pred] = pivot
        self._members.add(pivot._op)

    def _brought_in(self, tensor: Tensor) -> Tensor:
        found: Tensor = switch(tensor, self.pred)[self.outcome]
        self._members.add(found._op)
        return found


class LoopContext(ControlContext):
    """The loop whose frame is `name`."""

    def __init__(self, graph: Graph, name: str, parallel_iterations: int = 10) -> None:
        super().__init__(graph)
        self.name, self.parallel_iterations = name, parallel_iterations

    def enter(self, tensor: Tensor) -> Tensor:
        """Where a loop variable starts."""
        with self.left():
            found: Tensor = enter(tensor, self.name, False, self.parallel_iterations)
        self._inside[found] = found
        return found

    def _brought_in(self, tensor: Tensor) -> Tensor:
        found: Tensor = enter(tensor, self.name, True, self.parallel_iterations)
        return found
