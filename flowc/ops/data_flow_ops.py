"""Queues: elements that wait between runs, from one thread to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from flowc.framework.building import apply, apply_list, make_operation
from flowc.framework.constant_value import constant_value
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ANY, STRING, DType, as_dtype, int32, string
from flowc.framework.graph import Operation, Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.scopes import get_seed, op_scope
from flowc.framework.shape_rules import UNKNOWN, Shapes, nothing, scalar
from flowc.framework.shapes import TensorShape, as_shape, unknown_shape

__all__ = ["FIFOQueue", "QueueBase", "RandomShuffleQueue"]

# A handle is a string vector: the container and the name that a session keeps the resource by.


def handle_shape(ctx: ShapeContext) -> Shapes:
    """The shape of a resource's handle."""
    return (TensorShape((2,)),)


def handle_type(types: Any, attrs: Any) -> list[DType]:
    """The type of a resource's handle."""
    return [string.as_ref]


def _no_outputs(types: Any, attrs: Any) -> list[DType]:
    return []


def _component_types(types: Any, attrs: Any) -> list[DType]:
    return list(attrs["component_types"])


def _components(ctx: ShapeContext) -> Shapes:
    """Not known from the operation alone: QueueBase adds what the queue tells."""
    return [UNKNOWN] * len(ctx.attrs["component_types"])


_QUEUE_ATTRS = {"shapes": [], "capacity": -1, "container": "", "shared_name": ""}
_SHUFFLE_ATTRS = {**_QUEUE_ATTRS, "min_after_dequeue": 0, "seed": 0, "seed2": 0}
_NO_TIMEOUT = {"timeout_ms": -1}

define("FIFOQueue", shape=handle_shape, result=handle_type, stateful=True, inputs="", attrs=_QUEUE_ATTRS)
define("RandomShuffleQueue", shape=handle_shape, result=handle_type, stateful=True, inputs="", attrs=_SHUFFLE_ATTRS)
for _type in ("QueueEnqueue", "QueueEnqueueMany"):
    define(
        _type,
        shape=nothing,
        allowed=(STRING, ANY),
        result=_no_outputs,
        stateful=True,
        inputs="handle components",
        type_attrs="- *Tcomponents",
        attrs=_NO_TIMEOUT,
    )
define(
    "QueueDequeue",
    shape=_components,
    allowed=(STRING,),
    result=_component_types,
    stateful=True,
    inputs="handle",
    type_attrs="-",
    attrs=_NO_TIMEOUT,
)
define(
    "QueueDequeueMany",
    shape=_components,
    allowed=(STRING, frozenset((int32,))),
    result=_component_types,
    stateful=True,
    inputs="handle n",
    type_attrs="- -",
    attrs=_NO_TIMEOUT,
)
define(
    "QueueClose",
    shape=nothing,
    allowed=(STRING,),
    result=_no_outputs,
    stateful=True,
    inputs="handle",
    type_attrs="-",
    attrs={"cancel_pending_enqueues": False},
)
define("QueueSize", shape=scalar, allowed=(STRING,), result=int32, stateful=True, inputs="handle", type_attrs="-")


def _selected_type(types: Any, attrs: Any) -> list[DType]:
    return [types[1].as_ref]


def _selected(ctx: ShapeContext) -> Shapes:
    first, *others = ctx.shapes[1:]
    return (first,) if all(other == first for other in others) else (UNKNOWN,)


define(
    "RefSelect",
    shape=_selected,
    allowed=(frozenset((int32,)), STRING),
    same_from=1,
    result=_selected_type,
    stateful=True,
    inputs="index inputs",
    type_attrs="- N*T",
)
not_differentiable(
    "FIFOQueue",
    "RandomShuffleQueue",
    "QueueEnqueue",
    "QueueEnqueueMany",
    "QueueDequeue",
    "QueueDequeueMany",
    "QueueClose",
    "QueueSize",
    "RefSelect",
)


class QueueBase:
    """A queue: a store of elements that the session keeps, with operations to add and to remove them.

    An element is a tuple of one tensor a component, each of the component's type and, if the queue has shapes, of the
    component's shape. Operations wait: those that add, for room; those that remove, for elements. Threads may run them
    at once; each element is removed once.

    Make a FIFOQueue or a RandomShuffleQueue.
    """

    def __init__(self, dtypes: Sequence[Any], shapes: Sequence[Any] | None, queue_ref: Tensor) -> None:
        """A queue that `queue_ref` refers to. `shapes`: one a component, or None if they may have any.

        Raises ValueError unless there are as many shapes as types.
        """
        self._dtypes = [as_dtype(dtype).base_dtype for dtype in dtypes]
        if shapes is not None and len(shapes) != len(self._dtypes):
            raise ValueError(f"There must be one shape for each of {len(self._dtypes)} types, not {len(shapes)}.")
        self._shapes = [UNKNOWN] * len(self._dtypes) if shapes is None else [as_shape(shape) for shape in shapes]
        self._queue_ref = queue_ref
        self._short_name = queue_ref.op.name.rpartition("/")[2]

    @staticmethod
    def from_list(index: Any, queues: Sequence[QueueBase]) -> QueueBase:
        """The queue `queues[index]`, where `index` is an int32 scalar tensor that each run may give another value.

        Raises TypeError if `queues` is no list of queues, or their types differ.
        """
        if not isinstance(queues, (list, tuple)) or not queues or not all(isinstance(q, QueueBase) for q in queues):
            raise TypeError("A list of queues expected")
        first = queues[0]
        if any(queue.dtypes != first.dtypes for queue in queues[1:]):
            raise TypeError("Queues do not have matching component dtypes.")
        shapes = [_common(components) for components in zip(*(queue._shapes for queue in queues), strict=True)]
        return QueueBase(first.dtypes, shapes, apply("RefSelect", [index, *(queue.queue_ref for queue in queues)]))

    @property
    def queue_ref(self) -> Tensor:
        """The reference to the queue, as operations on it take it."""
        return self._queue_ref

    @property
    def name(self) -> str:
        """The name of the operation that makes the queue."""
        return self._queue_ref.op.name

    @property
    def dtypes(self) -> list[DType]:
        """The types of an element's components."""
        return list(self._dtypes)

    # -- adding --------------------------------------------------------------------------------------------------------

    def enqueue(self, vals: Any, name: str | None = None) -> Operation:
        """An operation that adds one element; it waits while the queue is full.

        Args:
            vals: a tuple or list of one tensor a component; or a tensor, if there is one component.
            name: the operation's name.

        Raises:
            ValueError: the number of components or a shape does not fit. TypeError: a type does not fit.
            When run, AbortedError if the queue is closed, CancelledError if that happens while it waits, or the session
            is closed.
        """
        with op_scope([self._queue_ref], name, f"{self._short_name}_enqueue") as scope:
            components = self._converted(vals)
            for tensor, shape in zip(components, self._shapes, strict=True):
                tensor.get_shape().assert_is_compatible_with(shape)
            return self._make("QueueEnqueue", components, scope)

    def enqueue_many(self, vals: Any, name: str | None = None) -> Operation:
        """An operation that adds elements, one for each slice of the components along their first axis, in order.

        Arguments and errors as for `enqueue`; it waits whenever the queue is full, with the rest of its elements.
        """
        with op_scope([self._queue_ref], name, f"{self._short_name}_EnqueueMany") as scope:
            components = self._converted(vals)
            batch = unknown_shape(1)
            for tensor, shape in zip(components, self._shapes, strict=True):
                given = tensor.get_shape().with_rank_at_least(1)
                batch = batch.merge_with(given[:1])
                given[1:].assert_is_compatible_with(shape)
            return self._make("QueueEnqueueMany", components, scope)

    def _converted(self, vals: Any) -> list[Tensor]:
        values = list(vals) if isinstance(vals, (list, tuple)) else [vals]
        if len(values) != len(self._dtypes):
            raise ValueError(f"Queue {self.name!r} has {len(self._dtypes)} components, not {len(values)}.")
        return [
            convert_to_tensor(value, dtype, name=f"component_{index}")
            for index, (value, dtype) in enumerate(zip(values, self._dtypes, strict=True))
        ]

    def _make(self, op_type: str, components: list[Tensor], name: str) -> Operation:
        return make_operation(op_type, [self._queue_ref, *components], name=name)

    # -- removing ------------------------------------------------------------------------------------------------------

    def dequeue(self, name: str | None = None) -> Any:
        """The components of one element, which is removed: a list of tensors, or the tensor if there is one component.

        It waits while the queue is empty. When run: OutOfRangeError if the queue is closed and has no elements left,
        CancelledError if the session is closed meanwhile.
        """
        outputs = apply_list("QueueDequeue", [self._queue_ref], self._dequeue_attrs(), name or self._named("Dequeue"))
        return self._with_shapes(outputs, TensorShape(()))

    def dequeue_many(self, n: Any, name: str | None = None) -> Any:
        """The components of the next `n` elements, joined along a new first axis; they are removed.

        A list of tensors, or the tensor if there is one component. It waits until there are `n` elements.

        Args:
            n: an int32 scalar: a number or a tensor.
            name: the operation's name.

        Raises:
            When run: OutOfRangeError if the queue is closed and has fewer than `n` elements, which stay in it;
            InvalidArgumentError if the queue was made without shapes, or `n` is negative; CancelledError if the session
            is closed meanwhile.
        """
        attrs = self._dequeue_attrs()
        outputs = apply_list("QueueDequeueMany", [self._queue_ref, n], attrs, name or self._named("DequeueMany"))
        size = constant_value(outputs[0].op.inputs[1])
        return self._with_shapes(outputs, TensorShape([None if size is None else max(int(size), 0)]))

    def _dequeue_attrs(self) -> dict[str, Any]:
        return {"component_types": tuple(self._dtypes)}

    def _with_shapes(self, outputs: list[Tensor], batch: TensorShape) -> Any:
        for tensor, shape in zip(outputs, self._shapes, strict=True):
            tensor.set_shape(batch.concatenate(shape))
        return outputs if len(outputs) != 1 else outputs[0]

    # -- the rest ------------------------------------------------------------------------------------------------------

    def close(self, cancel_pending_enqueues: bool = False, name: str | None = None) -> Operation:
        """An operation that says that no more elements come.

        From then on adding fails, and so does removing once there are too few elements. Enqueues that wait when it runs
        are served first; with `cancel_pending_enqueues`, they fail with CancelledError instead.
        """
        attrs = {"cancel_pending_enqueues": bool(cancel_pending_enqueues)}
        return make_operation("QueueClose", [self._queue_ref], attrs, name or self._named("Close"))

    def size(self, name: str | None = None) -> Tensor:
        """How many elements the queue has: an int32 scalar."""
        return apply("QueueSize", [self._queue_ref], name=name or self._named("Size"))

    def _named(self, what: str) -> str:
        return f"{self._short_name}_{what}"

    def __iter__(self) -> NoReturn:
        raise TypeError("'Queue' object is not iterable: run its dequeue() operation for one element at a time.")


def _common(shapes: Sequence[TensorShape]) -> TensorShape:
    return shapes[0] if all(shape == shapes[0] for shape in shapes) else UNKNOWN


def _attrs(capacity: int, dtypes: Any, shapes: Any, shared_name: str | None) -> dict[str, Any]:
    """The attributes that all queues have. ValueError for shapes that are not fully known, or too few or too many."""
    listed = dtypes if isinstance(dtypes, (list, tuple)) else [dtypes]
    types = tuple(as_dtype(dtype).base_dtype for dtype in listed)
    return {
        "component_types": types,
        "shapes": _component_shapes(shapes, len(types)),
        "capacity": int(capacity),
        "container": "",
        "shared_name": shared_name or "",
    }


def _component_shapes(shapes: Any, count: int) -> tuple[TensorShape, ...]:
    if shapes is None:
        return ()
    if count == 1 and (isinstance(shapes, TensorShape) or not isinstance(shapes, (list, tuple)) or _is_shape(shapes)):
        shapes = [shapes]
    result = tuple(as_shape(shape) for shape in shapes)
    if len(result) != count:
        raise ValueError(f"Queue shapes must have the same length as dtypes: {len(result)} and {count}.")
    for shape in result:
        if not shape.is_fully_defined():
            raise ValueError(f"All shapes must be fully defined: {shape}")
    return result


def _is_shape(value: Sequence[Any]) -> bool:
    """Whether a list is one shape, rather than a list of shapes."""
    return all(isinstance(item, int) for item in value)


class FIFOQueue(QueueBase):
    """A queue from which elements go in the order in which they came."""

    def __init__(
        self,
        capacity: int,
        dtypes: Any,
        shapes: Any = None,
        shared_name: str | None = None,
        name: str = "fifo_queue",
    ) -> None:
        """Adds a queue to the default graph.

        Args:
            capacity: how many elements it holds at most; a negative number: any number.
            dtypes: a list of the components' types; or one type.
            shapes: a list of the components' shapes, fully known, without which there is no `dequeue_many`; or None.
            shared_name: queues of this name in one session are the same, wherever they were made.
            name: the operation's name.
        """
        attrs = _attrs(capacity, dtypes, shapes, shared_name)
        super().__init__(attrs["component_types"], attrs["shapes"] or None, apply("FIFOQueue", [], attrs, name))


class RandomShuffleQueue(QueueBase):
    """A queue from which elements go in random order."""

    def __init__(
        self,
        capacity: int,
        min_after_dequeue: int,
        dtypes: Any,
        shapes: Any = None,
        seed: int | None = None,
        shared_name: str | None = None,
        name: str = "random_shuffle_queue",
    ) -> None:
        """Adds a queue to the default graph.

        Args:
            capacity: how many elements it holds at most; a negative number: any number.
            min_after_dequeue: how many must remain after a removal, so that there is a choice; until it is closed.
            dtypes: a list of the components' types; or one type.
            shapes: a list of the components' shapes, fully known, without which there is no `dequeue_many`; or None.
            seed: with it, or with the graph's seed, each session chooses the same elements.
            shared_name: queues of this name in one session are the same, wherever they were made.
            name: the operation's name.
        """
        attrs = _attrs(capacity, dtypes, shapes, shared_name)
        graph_seed, op_seed = get_seed(seed)
        attrs |= {"min_after_dequeue": int(min_after_dequeue), "seed": graph_seed or 0, "seed2": op_seed or 0}
        super().__init__(
            attrs["component_types"], attrs["shapes"] or None, apply("RandomShuffleQueue", [], attrs, name)
        )
