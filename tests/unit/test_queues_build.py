"""Making queues and the operations on them: names, attributes, shapes, and what is refused."""

from __future__ import annotations

import pytest

import flowc as tf


def test_a_queue_is_an_operation_with_the_apis_attributes() -> None:
    queue = tf.FIFOQueue(10, [tf.int32, tf.float32], shapes=[[1], [2, 3]], shared_name="s", name="q")
    assert queue.name == "q"
    assert queue.queue_ref.dtype == tf.as_dtype("string_ref")
    op = queue.queue_ref.op
    assert op.type == "FIFOQueue"
    assert [t.name for t in op.get_attr("component_types")] == ["int32", "float32"]
    assert [s.as_list() for s in op.get_attr("shapes")] == [[1], [2, 3]]
    assert (op.get_attr("capacity"), op.get_attr("container"), op.get_attr("shared_name")) == (10, "", "s")
    assert queue.dtypes == [tf.int32, tf.float32]


def test_a_shuffle_queue_has_seeds() -> None:
    op = tf.RandomShuffleQueue(10, 5, tf.int64, seed=3).queue_ref.op
    assert op.type == "RandomShuffleQueue"
    assert (op.get_attr("min_after_dequeue"), op.get_attr("seed"), op.get_attr("seed2")) == (5, 87654321, 3)
    op = tf.RandomShuffleQueue(10, 5, tf.int64).queue_ref.op
    assert (op.get_attr("seed"), op.get_attr("seed2")) == (0, 0)


def test_operations_are_named_after_the_queue() -> None:
    with tf.name_scope("in"):
        queue = tf.FIFOQueue(10, tf.float32, [()])
        names = [
            queue.enqueue((1.0,)).name,
            queue.enqueue_many(([1.0],)).name,
            queue.dequeue().op.name,
            queue.dequeue_many(2).op.name,
            queue.close().name,
            queue.size().op.name,
        ]
    kinds = ["enqueue", "EnqueueMany", "Dequeue", "DequeueMany", "Close", "Size"]
    assert names == [f"in/fifo_queue_{kind}" for kind in kinds]
    assert queue.dequeue(name="mine").op.name == "mine"


def test_graph_definition_round_trip() -> None:
    queue = tf.RandomShuffleQueue(10, 2, [tf.int32, tf.string], seed=1)
    queue.enqueue((1, "a"))
    queue.dequeue_many(3)
    queue.close(cancel_pending_enqueues=True)
    definition = tf.get_default_graph().as_graph_def()
    with tf.Graph().as_default() as copy:
        tf.import_graph_def(definition, name="")
        assert copy.as_graph_def() == definition


def test_shapes_of_what_is_dequeued() -> None:
    queue = tf.FIFOQueue(10, [tf.int32, tf.float32], shapes=[(), (2, 3)])
    one = queue.dequeue()
    assert [t.get_shape().as_list() for t in one] == [[], [2, 3]]
    many = queue.dequeue_many(4)
    assert [t.get_shape().as_list() for t in many] == [[4], [4, 2, 3]]
    many = queue.dequeue_many(tf.placeholder(tf.int32))
    assert [t.get_shape().as_list() for t in many] == [[None], [None, 2, 3]]
    assert tf.FIFOQueue(10, tf.int32).dequeue().get_shape().ndims is None


def test_one_component_is_a_tensor_and_not_a_list() -> None:
    queue = tf.FIFOQueue(10, [tf.int32], [()])
    assert isinstance(queue.dequeue(), tf.Tensor)
    assert isinstance(queue.dequeue_many(2), tf.Tensor)


def test_what_does_not_fit_is_refused() -> None:
    queue = tf.FIFOQueue(10, [tf.int32, tf.float32], shapes=[(), (2,)])
    with pytest.raises(ValueError, match="2 components, not 1"):
        queue.enqueue((1,))
    with pytest.raises(ValueError, match="compatible"):
        queue.enqueue((1, [1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="compatible"):
        queue.enqueue_many(([1, 2], [[1.0, 2.0]]))
    with pytest.raises(ValueError, match="rank at least 1"):
        queue.enqueue_many((1, [[1.0, 2.0]]))
    with pytest.raises(ValueError, match="conversion requested dtype int32"):
        queue.enqueue((tf.constant(1.0), [1.0, 2.0]))
    with pytest.raises(ValueError, match="fully defined"):
        tf.FIFOQueue(10, tf.int32, shapes=[[None]])
    with pytest.raises(ValueError, match="same length"):
        tf.FIFOQueue(10, [tf.int32, tf.int32], shapes=[[1]])
    with pytest.raises(TypeError, match="not iterable"):
        iter(queue)


def test_from_list() -> None:
    queues = [tf.FIFOQueue(10, [tf.int32], [(2,)]) for _ in range(2)]
    chosen = tf.QueueBase.from_list(tf.placeholder(tf.int32, []), queues)
    assert chosen.queue_ref.op.type == "RefSelect"
    assert chosen.dequeue().get_shape().as_list() == [2]
    other = tf.FIFOQueue(10, [tf.int32], [(3,)])
    assert tf.QueueBase.from_list(0, [*queues, other]).dequeue().get_shape().ndims is None
    with pytest.raises(TypeError, match="A list of queues expected"):
        tf.QueueBase.from_list(0, [queues[0], "no queue"])
    with pytest.raises(TypeError, match="matching component dtypes"):
        tf.QueueBase.from_list(0, [queues[0], tf.FIFOQueue(10, tf.float32)])


def test_queues_have_no_gradients() -> None:
    queue = tf.FIFOQueue(10, tf.float32, [()])
    x = tf.constant(1.0)
    queue.enqueue((x,))
    assert tf.gradients(queue.dequeue() * 2.0, x) == [None]
