"""Input pipelines: queues that runners fill, from lists of inputs to batches of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flowc.framework.convert import constant, convert_to_tensor
from flowc.framework.dtypes import DType, float32, int64, string
from flowc.framework.graph import Operation, Tensor
from flowc.framework.scopes import control_dependencies, op_scope
from flowc.framework.shapes import TensorShape, as_shape
from flowc.ops.arithmetic_ops import maximum
from flowc.ops.array_ops import cast, identity, shape as shape_of
from flowc.ops.constant_ops import range as range_
from flowc.ops.data_flow_ops import FIFOQueue, QueueBase, RandomShuffleQueue
from flowc.ops.debugging_ops import Assert
from flowc.ops.io_ops import matching_files
from flowc.ops.random_ops import random_shuffle
from flowc.ops.slicing_ops import gather
from flowc.ops.summary_ops import scalar_summary
from flowc.train.queue_runner import QueueRunner, add_queue_runner
from flowc.variables import Variable

_EMPTY: Final = "string_input_producer requires a non-null input tensor"

# -- producers: every input once an epoch ------------------------------------------------------------------------------


def match_filenames_once(pattern: Any, name: str | None = None) -> Variable:
    """A variable that holds the names of the files that match a pattern when it is initialised: a string vector.

    `pattern`: as `tf.matching_files` takes it.
    """
    with op_scope([pattern], name, "matching_filenames") as scope:
        return Variable(matching_files(pattern), trainable=False, name=scope, validate_shape=False)


def limit_epochs(tensor: Any, num_epochs: int | None = None, name: str | None = None) -> Tensor:
    """`tensor`, `num_epochs` times: the next run that needs it raises OutOfRangeError.

    Without `num_epochs`, it is `tensor` itself. The runs are counted by a variable, which must be initialised. Raises
    ValueError unless `num_epochs` is positive.
    """
    given = convert_to_tensor(tensor)
    if num_epochs is None:
        return given
    if num_epochs <= 0:
        raise ValueError(f"num_epochs must be > 0 not {num_epochs}.")
    with op_scope([given], name, "limit_epochs") as scope:
        epochs = Variable(constant(0, int64), name="epochs", trainable=False)
        with control_dependencies([epochs.count_up_to(num_epochs)]):
            return identity(given, name=scope)


def _producer(
    inputs: Tensor,
    num_epochs: int | None,
    shuffle: bool,
    seed: int | None,
    capacity: int,
    scope: str,
    what: str,
) -> FIFOQueue:
    """A queue that a runner fills with the elements of a vector, in one epoch after the other."""
    if shuffle:
        inputs = random_shuffle(inputs, seed=seed)
    inputs = limit_epochs(inputs, num_epochs)
    queue = FIFOQueue(capacity, [inputs.dtype.base_dtype], [()], name=scope)
    add_queue_runner(QueueRunner(queue, [queue.enqueue_many([inputs])]))
    _summarise_fullness(f"queue/{queue.name}/{what}", queue.size(), capacity)
    return queue


def _summarise_fullness(tag: str, size: Tensor, capacity: int) -> None:
    scalar_summary(tag, cast(size, float32) * (1.0 / capacity))


def string_input_producer(
    string_tensor: Any,
    num_epochs: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    capacity: int = 32,
    name: str | None = None,
) -> FIFOQueue:
    """A queue of strings, such as file names, that a runner fills with each of `string_tensor` in every epoch.

    Args:
        string_tensor: a string vector, not empty.
        num_epochs: how many epochs; the queue is closed after the last one. By default there is no end.
        shuffle: whether each epoch has an order of its own.
        seed: of the order.
        capacity: of the queue.
        name: the operations' name.

    Raises:
        ValueError: an empty list; when run, InvalidArgumentError for an empty tensor.
    """
    if isinstance(string_tensor, (list, tuple)) and not string_tensor:
        raise ValueError(_EMPTY)
    with op_scope([string_tensor], name, "input_producer") as scope:
        strings = convert_to_tensor(string_tensor, dtype=string)
        strings.get_shape().with_rank(1)
        some = shape_of(strings)[0] > 0
        with control_dependencies([Assert(some, [_EMPTY])]):
            strings = identity(strings)
        return _producer(strings, num_epochs, shuffle, seed, capacity, scope, f"fraction_of_{capacity}_full")


def range_input_producer(
    limit: Any,
    num_epochs: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    capacity: int = 32,
    name: str | None = None,
) -> FIFOQueue:
    """A queue of int32 that a runner fills with the numbers 0 to `limit` - 1 in every epoch.

    Arguments as for `string_input_producer`.
    """
    with op_scope([limit], name, "input_producer") as scope:
        numbers = range_(limit)
        return _producer(numbers, num_epochs, shuffle, seed, capacity, scope, f"fraction_of_{capacity}_full")


def slice_input_producer(
    tensor_list: Sequence[Any],
    num_epochs: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    capacity: int = 32,
    name: str | None = None,
) -> list[Tensor]:
    """One row of each tensor, the same of all: every row once in every epoch.

    Args:
        tensor_list: tensors with as many rows each.
        num_epochs, shuffle, seed, capacity, name: as for `string_input_producer`.

    Raises:
        ValueError: no tensors.
    """
    if not tensor_list:
        raise ValueError("Expected at least one tensor in slice_input_producer().")
    with op_scope(tensor_list, name, "input_producer"):
        tensors = [convert_to_tensor(tensor) for tensor in tensor_list]
        rows = tensors[0].get_shape().with_rank_at_least(1)[:1]
        for tensor in tensors[1:]:
            rows = rows.merge_with(tensor.get_shape().with_rank_at_least(1)[:1])
        count = rows.tuple[0] if rows.tuple else None
        limit = shape_of(tensors[0])[0] if count is None else count
        queue = range_input_producer(limit, num_epochs, shuffle, seed, capacity)
        index = queue.dequeue()
        return [gather(tensor, index) for tensor in tensors]


# -- batches -----------------------------------------------------------------------------------------------------------


def batch(
    tensor_list: Sequence[Any],
    batch_size: int,
    num_threads: int = 1,
    capacity: int = 32,
    enqueue_many: bool = False,
    shapes: Any = None,
    name: str | None = None,
) -> Any:
    """Batches of examples, through a queue that `num_threads` threads of a runner fill.

    Args:
        tensor_list: one example, a tensor for each of its parts; or many, along a first axis.
        batch_size: examples in a batch.
        num_threads: with more than one, the order of examples may change.
        capacity: of the queue, in examples.
        enqueue_many: whether `tensor_list` holds many examples.
        shapes: of the parts of one example; by default those that are known of `tensor_list`.
        name: the operations' name.

    Returns:
        A list of tensors, one for each of `tensor_list`, with `batch_size` examples along the first axis; or the tensor
        if there is one. They raise OutOfRangeError when run after the last whole batch.

    Raises:
        ValueError: no tensors, or shapes that are not known.
    """
    tensors = _checked(tensor_list, "batch")
    with op_scope(tensors, name, "batch") as scope:
        queue = FIFOQueue(capacity, _types([tensors]), _shapes([tensors], shapes, enqueue_many))
        _fill(queue, [tensors] * num_threads, enqueue_many)
        _summarise_fullness(f"queue/{queue.name}/fraction_of_{capacity}_full", queue.size(), capacity)
        return queue.dequeue_many(batch_size, name=scope)


def batch_join(
    tensor_list_list: Sequence[Sequence[Any]],
    batch_size: int,
    capacity: int = 32,
    enqueue_many: bool = False,
    shapes: Any = None,
    name: str | None = None,
) -> Any:
    """Batches of examples of several sources, such as files, each read by a thread of its own.

    `tensor_list_list`: for each source, what `batch` takes as its `tensor_list`; all of the same types and, as far as
    `shapes` does not say, shapes. The rest as for `batch`.
    """
    sources = _checked_join(tensor_list_list, "batch_join")
    with op_scope([t for tensors in sources for t in tensors], name, "batch_join") as scope:
        queue = FIFOQueue(capacity, _types(sources), _shapes(sources, shapes, enqueue_many))
        _fill(queue, sources, enqueue_many)
        _summarise_fullness(f"queue/{queue.name}/fraction_of_{capacity}_full", queue.size(), capacity)
        return queue.dequeue_many(batch_size, name=scope)


def shuffle_batch(
    tensor_list: Sequence[Any],
    batch_size: int,
    capacity: int,
    min_after_dequeue: int,
    num_threads: int = 1,
    seed: int | None = None,
    enqueue_many: bool = False,
    shapes: Any = None,
    name: str | None = None,
) -> Any:
    """Batches of examples in random order, as `batch` makes them in the order in which they come.

    Examples wait in a queue of at most `capacity`, from which they go at random; `min_after_dequeue` of them stay
    behind, so that there is a choice. `seed`: of the choices. The rest as for `batch`.
    """
    tensors = _checked(tensor_list, "shuffle_batch")
    with op_scope(tensors, name, "shuffle_batch") as scope:
        shapes = _shapes([tensors], shapes, enqueue_many)
        queue = RandomShuffleQueue(capacity, min_after_dequeue, _types([tensors]), shapes, seed)
        _fill(queue, [tensors] * num_threads, enqueue_many)
        _summarise_choice(queue, capacity, min_after_dequeue)
        return queue.dequeue_many(batch_size, name=scope)


def shuffle_batch_join(
    tensor_list_list: Sequence[Sequence[Any]],
    batch_size: int,
    capacity: int,
    min_after_dequeue: int,
    seed: int | None = None,
    enqueue_many: bool = False,
    shapes: Any = None,
    name: str | None = None,
) -> Any:
    """Batches of examples of several sources in random order: `batch_join`, with the arguments of `shuffle_batch`."""
    sources = _checked_join(tensor_list_list, "shuffle_batch_join")
    with op_scope([t for tensors in sources for t in tensors], name, "shuffle_batch_join") as scope:
        shapes = _shapes(sources, shapes, enqueue_many)
        queue = RandomShuffleQueue(capacity, min_after_dequeue, _types(sources), shapes, seed)
        _fill(queue, sources, enqueue_many)
        _summarise_choice(queue, capacity, min_after_dequeue)
        return queue.dequeue_many(batch_size, name=scope)


def _summarise_choice(queue: QueueBase, capacity: int, kept: int) -> None:
    tag = f"queue/{queue.name}/fraction_over_{kept}_of_{capacity - kept}_full"
    _summarise_fullness(tag, maximum(queue.size() - kept, 0), max(1, capacity - kept))


def _fill(queue: QueueBase, sources: Sequence[list[Tensor]], enqueue_many: bool) -> None:
    enqueue = queue.enqueue_many if enqueue_many else queue.enqueue
    operations: list[Operation] = [enqueue(tensors) for tensors in sources]
    add_queue_runner(QueueRunner(queue, operations))


# -- what is batched ---------------------------------------------------------------------------------------------------


def _checked(tensor_list: Sequence[Any], what: str) -> list[Tensor]:
    if not tensor_list:
        raise ValueError(f"Expected at least one tensor in {what}().")
    return [convert_to_tensor(tensor) for tensor in tensor_list]


def _checked_join(tensor_list_list: Sequence[Sequence[Any]], what: str) -> list[list[Tensor]]:
    if not tensor_list_list:
        raise ValueError(f"Expected at least one input in {what}().")
    return [_checked(tensors, what) for tensors in tensor_list_list]


def _types(sources: Sequence[Sequence[Tensor]]) -> list[DType]:
    """The types of an example's parts, which are the same in all sources; else TypeError."""
    first, *others = [[tensor.dtype.base_dtype for tensor in tensors] for tensors in sources]
    for other in others:
        if other != first:
            raise TypeError(
                f"Expected types to be consistent: {[t.name for t in other]} vs. {[t.name for t in first]}."
            )
    return first


def _shapes(sources: Sequence[Sequence[Tensor]], shapes: Any, enqueue_many: bool) -> list[TensorShape]:
    """The shapes of an example's parts: `shapes`, or what the sources have in common."""
    if shapes is not None:
        return [as_shape(shape) for shape in shapes]
    return [_common_shape(parts, enqueue_many) for parts in zip(*sources, strict=True)]


def _common_shape(tensors: Sequence[Tensor], enqueue_many: bool) -> TensorShape:
    shape = tensors[0].get_shape()
    for tensor in tensors:
        shape = shape.merge_with(tensor.get_shape())
    if shape.ndims is None:
        raise ValueError(f"Cannot infer Tensor's rank: {tensors[0]}")
    rows: TensorShape = shape.with_rank_at_least(1)[1:] if enqueue_many else shape
    if not rows.is_fully_defined():
        raise ValueError(f"All shapes must be fully defined: {rows}. Say more by set_shape(), or give shapes.")
    return rows
