"""Why an operation cannot be compiled as a run has it: errors for users, and the feeds whose values would help."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final, NoReturn, Protocol

from flowc.codegen.feed_spec import FeedSpec
from flowc.codegen.ir import Array, Shape
from flowc.framework import registry
from flowc.framework.errors import ResourceExhaustedError, UnimplementedError
from flowc.framework.graph import Operation, Tensor

SHAPE_FEED_LIMIT: Final = 1024  # elements of a fed array that may decide shapes by way of other operations


class Known(Protocol):
    """What is known before the run."""

    def alias(self, tensor: Tensor) -> Tensor:
        """The tensor that this one is by another name."""

    def value(self, tensor: Tensor) -> Array | None:
        """The tensor's value, if it is known."""


def refuse_too_large(tensor: Tensor, shape: Shape) -> NoReturn:
    message = f"{tensor.name!r} would have the shape {list(shape)}: {prod(shape):,} elements are more than fit."
    raise ResourceExhaustedError(None, tensor._op, message)


def refuse_open_shape(tensor: Tensor) -> NoReturn:
    message = f"{tensor.name!r} has no fixed shape ({tensor._shape}), which flowc cannot compile yet."
    raise UnimplementedError(None, tensor._op, message)


def refuse_without_kernel(op: Operation) -> NoReturn:
    types = ", ".join(t._dtype._base.name for t in op._inputs)
    raise UnimplementedError(None, op, f"flowc has no kernel for op type {op._type!r} ({types or 'no inputs'}).")


def feeds_behind(tensors: Sequence[Tensor], feeds: Sequence[FeedSpec], known: Known) -> list[Tensor]:
    """The small fed tensors that alone decide the values of `tensors`; none if anything else does, too."""
    given = {feed.tensor: feed for feed in feeds}
    found: dict[Tensor, None] = {}
    seen: set[Tensor] = set()
    pending = list(tensors)
    while pending:
        tensor = known.alias(pending.pop())
        if tensor in seen or known.value(tensor) is not None:
            continue
        seen.add(tensor)
        feed = given.get(tensor)
        if feed is None:
            if _is_state(tensor):
                return []
            pending.extend(tensor._op._inputs)
        elif feed.value is not None or (prod(feed.shape) > SHAPE_FEED_LIMIT and tensor not in tensors):
            return []
        else:
            found[tensor] = None
    return list(found)


def _is_state(tensor: Tensor) -> bool:
    """Whether its value depends on more than its operation's inputs."""
    definition = registry.lookup(tensor._op._type)
    return tensor._dtype.is_ref_dtype or (definition is not None and definition.stateful)
