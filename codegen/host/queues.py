"""The ops of queues. A session keeps its queues by name; a queue's handle is a string vector that ends in the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from flowc.codegen.host.blocking_queue import UNBOUNDED, Queue, Shape
from flowc.codegen.host.queue_storage import Array, FirstInFirstOut, Shuffled
from flowc.codegen.host.registry import HostOp, Resources, host
from flowc.framework.errors import InvalidArgumentError, NotFoundError
from flowc.framework.shapes import TensorShape, all_known

# -- making and finding queues -----------------------------------------------------------------------------------------

_TRAITS: Final = {
    "component_types": "component types",
    "shapes": "component shapes",
    "capacity": "capacity",
    "min_after_dequeue": "min_after_dequeue",
}


class _Entry:
    """A queue among a session's resources, with what those who share it must agree in."""

    def __init__(self, op: HostOp, name: str) -> None:
        attrs = op.attrs
        capacity, kept = int(attrs["capacity"]), int(attrs.get("min_after_dequeue", 0))
        order = FirstInFirstOut() if op.type == "FIFOQueue" else Shuffled(_seed(attrs))
        limit = capacity if capacity >= 0 else UNBOUNDED
        self.queue = Queue(op.type, name, attrs["component_types"], _shapes(attrs), limit, kept, order)
        self.handle = np.array([b"", name.encode()], object)
        self.handle.setflags(write=False)
        self._traits = _traits(attrs)

    def check(self, op: HostOp) -> None:
        """InvalidArgumentError unless the queue is as `op` would make it."""
        name = f"Shared queue '{self.queue.name}'"
        if op.type != self.queue.kind:
            raise InvalidArgumentError(None, None, f"{name} is a {self.queue.kind}, not a {op.type}.")
        for trait, value in _traits(op.attrs).items():
            present = self._traits[trait]
            if present != value:
                message = f"{name} has {trait} {present} but requested {trait} was {value}."
                raise InvalidArgumentError(None, None, message)

    def close(self) -> None:
        """The session is closed."""
        self.queue.close()


def _traits(attrs: Mapping[str, Any]) -> dict[str, Any]:
    shown = {text: attrs[name] for name, text in _TRAITS.items() if name in attrs}
    shown["component types"] = [dtype.name for dtype in attrs["component_types"]]
    shown["component shapes"] = [str(TensorShape(shape)) for shape in attrs["shapes"]]
    if "seed" in attrs:
        shown["random seeds"] = (int(attrs["seed"]), int(attrs["seed2"]))
    return shown


def _shapes(attrs: Mapping[str, Any]) -> list[Shape | None]:
    if not attrs["shapes"]:
        return [None] * len(attrs["component_types"])
    return [all_known(TensorShape(shape).tuple) for shape in attrs["shapes"]]


def _seed(attrs: Mapping[str, Any]) -> int | None:
    """What elements are chosen by: the same in each session if the op or its graph has a seed."""
    seed, seed2 = int(attrs["seed"]), int(attrs["seed2"])
    return (seed << 64) + seed2 if seed or seed2 else None


@host("FIFOQueue", "RandomShuffleQueue", once=True)
def _queue(op: HostOp) -> Array:
    name = op.attrs["shared_name"] or op.name
    entry = _entry_of(op.resources.get(name, lambda: _Entry(op, name)), name)
    entry.check(op)
    return entry.handle


def _entry_of(resource: Any, name: str) -> _Entry:
    if not isinstance(resource, _Entry):
        raise InvalidArgumentError(None, None, f"'{name}' is no queue.")
    return resource


def queue_of(resources: Resources, handle: Array) -> Queue:
    """The queue that a handle refers to; NotFoundError if the session has none of that name."""
    name = handle[1].decode()

    def missing() -> Any:
        raise NotFoundError(None, None, f"There is no queue '{name}' in this session.")

    return _entry_of(resources.get(name, missing), name).queue


# -- the ops -----------------------------------------------------------------------------------------------------------


def _check(queue: Queue, components: Sequence[Array], batch: bool) -> None:
    """InvalidArgumentError unless the components have the queue's number, types and shapes (after the batch's axis)."""
    if len(components) != len(queue.dtypes):
        message = f"{queue.kind} '{queue.name}' has {len(queue.dtypes)} components, not {len(components)}"
        raise InvalidArgumentError(None, None, message)
    for index, (value, dtype, shape) in enumerate(zip(components, queue.dtypes, queue.shapes, strict=True)):
        if value.dtype.type is not dtype.as_numpy_dtype:
            _mismatch("Type", index, dtype.name, value.dtype)
        if batch and (value.ndim == 0 or value.shape[0] != components[0].shape[0]):
            message = "All input tensors must have the same size in the 0th dimension. "
            raise InvalidArgumentError(None, None, f"{message}Component {index} has shape {list(value.shape)}")
        if shape is not None and value.shape[batch:] != shape:
            _mismatch("Shape", index, ["?"] * batch + list(shape), list(value.shape))


def _mismatch(what: str, index: int, expected: Any, got: Any) -> None:
    expected, got = (str(x).replace("'", "").replace(" ", "") for x in (expected, got))
    message = f"{what} mismatch in tuple component {index}. Expected {expected}, got {got}"
    raise InvalidArgumentError(None, None, message)


@host("QueueEnqueue")
def _enqueue(op: HostOp, handle: Array, *components: Array) -> tuple[()]:
    queue = queue_of(op.resources, handle)
    _check(queue, components, batch=False)
    queue.enqueue(components)
    return ()


@host("QueueEnqueueMany")
def _enqueue_many(op: HostOp, handle: Array, *components: Array) -> tuple[()]:
    queue = queue_of(op.resources, handle)
    _check(queue, components, batch=True)
    queue.enqueue_many(components)
    return ()


@host("QueueDequeue")
def _dequeue(op: HostOp, handle: Array) -> list[Array]:
    queue = queue_of(op.resources, handle)
    _check_types(queue, op)
    return queue.dequeue()


@host("QueueDequeueMany")
def _dequeue_many(op: HostOp, handle: Array, count: Array) -> list[Array]:
    queue = queue_of(op.resources, handle)
    _check_types(queue, op)
    if count < 0:
        raise InvalidArgumentError(None, None, f"{op.name} requested {count} < 0 elements")
    if any(shape is None for shape in queue.shapes):
        message = f"{queue.kind}'s DequeueMany requires the components to have specified shapes."
        raise InvalidArgumentError(None, None, message)
    return queue.dequeue_many(int(count))


def _check_types(queue: Queue, op: HostOp) -> None:
    for index, (mine, wanted) in enumerate(zip(queue.dtypes, op.dtypes, strict=True)):
        if mine is not wanted:
            _mismatch("Type", index, wanted.name, mine.name)


@host("QueueClose")
def _close(op: HostOp, handle: Array) -> tuple[()]:
    queue_of(op.resources, handle).finish(bool(op.attrs.get("cancel_pending_enqueues", False)))
    return ()


@host("QueueSize")
def _size(op: HostOp, handle: Array) -> Array:
    return np.array(queue_of(op.resources, handle).size(), np.int32)


@host("RefSelect")
def _ref_select(op: HostOp, index: Array, *inputs: Array) -> Array:
    if not 0 <= index < len(inputs):
        message = f"Index must be in the range [0, {len(inputs)}) but got {index}"
        raise InvalidArgumentError(None, None, message)
    return inputs[int(index)]
