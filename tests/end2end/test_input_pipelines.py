"""Input pipelines: producers, batches, and whole ways from files to batches, run by queue runners."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf


@contextmanager
def running(graph: tf.Graph) -> Iterator[tf.Session]:
    """A session whose variables are initialised and whose queue runners run; they end with the block."""
    with graph.as_default(), tf.Session() as session:
        session.run(tf.initialize_all_variables())
        coord = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(session, coord)
        try:
            yield session
        finally:
            coord.request_stop()
            coord.join(threads, stop_grace_period_secs=10)


def until_the_end(session: tf.Session, fetches: Any) -> list[Any]:
    """What runs give until one raises OutOfRangeError."""
    found = []
    try:
        while True:
            found.append(session.run(fetches))
    except tf.errors.OutOfRangeError:
        return found


# -- producers ---------------------------------------------------------------------------------------------------------


def test_limit_epochs(graph: tf.Graph) -> None:
    limited = tf.train.limit_epochs(tf.constant("v"), num_epochs=3)
    assert tf.train.limit_epochs(limited) is limited
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        assert until_the_end(session, limited) == [b"v"] * 3
        with pytest.raises(tf.errors.OutOfRangeError, match=r"[Rr]eached limit of 3"):
            session.run(limited)
    assert tf.trainable_variables() == []
    with pytest.raises(ValueError, match="num_epochs must be > 0 not 0"):
        tf.train.limit_epochs(limited, num_epochs=0)


def test_strings_in_order(graph: tf.Graph) -> None:
    queue = tf.train.string_input_producer(["a", "b", "c"], num_epochs=2, shuffle=False)
    dequeue = queue.dequeue()
    with running(graph) as session:
        assert until_the_end(session, dequeue) == [b"a", b"b", b"c"] * 2


def test_strings_shuffled_anew_each_epoch(graph: tf.Graph) -> None:
    names = [f"{i}" for i in range(20)]
    dequeue = tf.train.string_input_producer(names, num_epochs=3, seed=7).dequeue()
    with running(graph) as session:
        found = [name.decode() for name in until_the_end(session, dequeue)]
    epochs = [found[i : i + 20] for i in (0, 20, 40)]
    assert len(found) == 60
    assert [sorted(epoch) for epoch in epochs] == [sorted(names)] * 3
    assert epochs[0] != epochs[1] != epochs[2] != names


def test_no_strings(graph: tf.Graph) -> None:
    with pytest.raises(ValueError, match="requires a non-null input tensor"):
        tf.train.string_input_producer([])
    dequeue = tf.train.string_input_producer(tf.constant([], tf.string)).dequeue()
    with tf.Session() as session:
        coord = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(session, coord)
        with pytest.raises((tf.errors.CancelledError, tf.errors.OutOfRangeError)):
            session.run(dequeue)
        with pytest.raises(tf.errors.InvalidArgumentError, match="requires a non-null input tensor"):
            coord.join(threads)


def test_ranges_and_slices(graph: tf.Graph) -> None:
    number = tf.train.range_input_producer(5, num_epochs=2, shuffle=False).dequeue()
    source = np.arange(12, dtype=np.float32).reshape(4, 3)
    row, label = tf.train.slice_input_producer([source, ["a", "b", "c", "d"]], num_epochs=1, seed=1)
    assert (row.get_shape().as_list(), label.get_shape().as_list(), number.dtype) == ([3], [], tf.int32)
    with running(graph) as session:
        assert until_the_end(session, number) == [0, 1, 2, 3, 4] * 2
        pairs = until_the_end(session, [row, label])
    assert sorted(label for _, label in pairs) == [b"a", b"b", b"c", b"d"]
    for values, text in pairs:
        np.testing.assert_array_equal(values, source[b"abcd".index(text)])
    with pytest.raises(ValueError, match="at least one tensor"):
        tf.train.slice_input_producer([])


def test_file_names_matched_once(graph: tf.Graph, tmp_path: Path) -> None:
    for name in ("x1", "x2", "y"):
        (tmp_path / name).touch()
    names = tf.train.match_filenames_once(f"{tmp_path}/x*")
    with tf.Session() as session:
        session.run(names.initializer)
        (tmp_path / "x3").touch()
        assert [Path(name.decode()).name for name in session.run(names)] == ["x1", "x2"]
    dequeue = tf.train.string_input_producer(names, num_epochs=1, shuffle=False).dequeue()
    with running(graph) as session:
        assert len(until_the_end(session, dequeue)) == 3


# -- batches -----------------------------------------------------------------------------------------------------------


def _count(graph: tf.Graph, limit: int) -> tf.Tensor:
    """The numbers from 0 to `limit` - 1, one a run."""
    counter = tf.Variable(0, name="counter", trainable=False)
    return counter.count_up_to(limit)


def test_batch_keeps_the_order(graph: tf.Graph) -> None:
    count = _count(graph, 25)
    batches = tf.train.batch([count, tf.to_float(count) * 0.5, tf.constant("text")], batch_size=10, capacity=7)
    assert [t.get_shape().as_list() for t in batches] == [[10]] * 3
    with running(graph) as session:
        found = until_the_end(session, batches)
    assert len(found) == 2  # the last five are no batch
    for i, (numbers, halves, texts) in enumerate(found):
        np.testing.assert_array_equal(numbers, np.arange(10 * i, 10 * i + 10))
        np.testing.assert_array_equal(halves, numbers * np.float32(0.5))
        assert texts.tolist() == [b"text"] * 10


def test_batch_of_one_tensor_and_of_many_examples(graph: tf.Graph) -> None:
    count = _count(graph, 6)
    examples = tf.reshape(count, [1, 1]) * [[1], [10]] + tf.zeros([2, 1], tf.int32)
    batch = tf.train.batch([examples], batch_size=4, enqueue_many=True)
    assert batch.get_shape().as_list() == [4, 1]
    with running(graph) as session:
        found = until_the_end(session, batch)
    np.testing.assert_array_equal(np.ravel(found), [0, 0, 1, 10, 2, 20, 3, 30, 4, 40, 5, 50])


@pytest.mark.parametrize("shuffle", [False, True])
def test_several_threads(shuffle: bool, graph: tf.Graph) -> None:
    count = _count(graph, 300)
    if shuffle:
        batch = tf.train.shuffle_batch([count], 10, capacity=60, min_after_dequeue=30, num_threads=4, seed=1)
    else:
        batch = tf.train.batch([count], 10, num_threads=4)
    with running(graph) as session:
        found = np.ravel(until_the_end(session, batch))
    assert sorted(found) == list(range(300))
    assert not shuffle or np.abs(found - np.arange(300)).mean() > 10


@pytest.mark.parametrize("shuffle", [False, True])
def test_joined_sources(shuffle: bool, graph: tf.Graph) -> None:
    sources = []
    for source in range(3):
        number = tf.train.limit_epochs(tf.constant(source), num_epochs=20)
        sources.append([number, tf.fill([2], tf.to_float(number))])
    if shuffle:
        batch = tf.train.shuffle_batch_join(sources, 5, capacity=50, min_after_dequeue=10)
    else:
        batch = tf.train.batch_join(sources, 5)
    with running(graph) as session:
        found = until_the_end(session, batch)
    numbers = np.concatenate([number for number, _ in found])
    assert np.bincount(numbers).tolist() == [20, 20, 20]
    np.testing.assert_array_equal(np.concatenate([pair for _, pair in found]), np.stack([numbers, numbers], 1))


def test_what_cannot_be_batched(graph: tf.Graph) -> None:
    with pytest.raises(ValueError, match="at least one tensor in batch"):
        tf.train.batch([], 2)
    with pytest.raises(ValueError, match="at least one input in batch_join"):
        tf.train.batch_join([], 2)
    with pytest.raises(ValueError, match="Cannot infer Tensor's rank"):
        tf.train.batch([tf.placeholder(tf.float32)], 2)
    with pytest.raises(ValueError, match="All shapes must be fully defined"):
        tf.train.shuffle_batch([tf.placeholder(tf.float32, [None])], 2, 10, 5)
    with pytest.raises(TypeError, match="types to be consistent"):
        tf.train.batch_join([[1], [1.0]], 2)
    assert tf.train.batch([tf.placeholder(tf.float32)], 2, shapes=[[3]]).get_shape().as_list() == [2, 3]


def test_how_full_a_queue_is_can_be_summarised(graph: tf.Graph) -> None:
    tf.train.batch([tf.constant(1.0)], 2, capacity=8)
    tf.train.shuffle_batch([tf.constant(1.0)], 2, capacity=10, min_after_dequeue=4)
    tf.train.string_input_producer(["a"])
    summaries = tf.get_collection(tf.GraphKeys.SUMMARIES)
    tags = [summary.op.inputs[0].op.get_attr("value").item().decode() for summary in summaries]
    assert tags == [
        "queue/batch/fifo_queue/fraction_of_8_full",
        "queue/shuffle_batch/random_shuffle_queue/fraction_over_4_of_6_full",
        "queue/input_producer/fraction_of_32_full",
    ]
    with tf.Session() as session:
        assert all(isinstance(summary, bytes) for summary in session.run(summaries))


# -- from files to batches ---------------------------------------------------------------------------------------------


def test_csv_files(graph: tf.Graph, tmp_path: Path) -> None:
    rows = [(i, i / 4, "odd" if i % 2 else "even") for i in range(40)]
    for part in range(4):
        lines = [f'{i},{x},"{word}"' for i, x, word in rows[part::4]]
        (tmp_path / f"{part}.csv").write_text("number,value,word\n" + "\n".join(lines) + "\n")
    names = tf.train.string_input_producer([str(path) for path in sorted(tmp_path.glob("*.csv"))], num_epochs=2)
    _, line = tf.TextLineReader(skip_header_lines=1).read(names)
    columns = tf.decode_csv(line, [[0], [0.0], [""]])
    batch = tf.train.shuffle_batch(columns, 8, capacity=50, min_after_dequeue=20)
    with running(graph) as session:
        found = until_the_end(session, batch)
    table = sorted(row for numbers, values, words in found for row in zip(numbers, values, words, strict=True))
    assert table == sorted((i, x, word.encode()) for i, x, word in rows * 2)


def test_tf_records_of_examples(graph: tf.Graph, tmp_path: Path) -> None:
    def feature(**kind: Any) -> tf.train.Feature:
        return tf.train.Feature(**kind)

    for part in range(2):
        with tf.python_io.TFRecordWriter(tmp_path / f"{part}.tfrecords") as writer:
            for label in range(part, 20, 2):
                image = np.full((2, 2), label, np.uint8).tobytes()
                features = {
                    "image": feature(bytes_list=tf.train.BytesList(value=[image])),
                    "label": feature(int64_list=tf.train.Int64List(value=[label])),
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    names = tf.train.string_input_producer([f"{tmp_path}/{part}.tfrecords" for part in range(2)], num_epochs=1)
    _, record = tf.TFRecordReader().read(names)
    parsed = tf.parse_single_example(record, dense_keys=["image", "label"], dense_types=[tf.string, tf.int64])
    pixels = tf.decode_raw(parsed["image"], tf.uint8)
    pixels.set_shape([4])
    image = tf.cast(tf.reshape(pixels, [2, 2]), tf.float32) * (1.0 / 255) - 0.5
    images, labels = tf.train.batch([image, parsed["label"]], batch_size=5)
    with running(graph) as session:
        found = until_the_end(session, [images, labels])
    assert sorted(label for _, labels in found for label in labels) == list(range(20))
    for pictures, numbers in found:
        expected = np.broadcast_to((numbers / 255 - 0.5)[:, None, None], (5, 2, 2))
        np.testing.assert_allclose(pictures, expected, rtol=1e-6)


def test_fixed_length_records_as_cifar_has_them(graph: tf.Graph, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 30).astype(np.uint8)
    images = rng.integers(0, 256, (30, 3, 4, 4)).astype(np.uint8)
    path = tmp_path / "data.bin"
    path.write_bytes(b"".join(bytes([n]) + image.tobytes() for n, image in zip(labels, images, strict=True)))
    names = tf.train.string_input_producer([str(path)], num_epochs=1)
    _, record = tf.FixedLengthRecordReader(1 + 48).read(names)
    data = tf.decode_raw(record, tf.uint8)
    label = tf.cast(tf.slice(data, [0], [1]), tf.int32)
    major = tf.reshape(tf.slice(data, [1], [48]), [3, 4, 4])
    image = tf.cast(tf.transpose(major, [1, 2, 0]), tf.float32)
    label.set_shape([1])
    batch = tf.train.batch([image, label], batch_size=10)
    with running(graph) as session:
        found = until_the_end(session, batch)
    np.testing.assert_array_equal(np.concatenate([label for _, label in found])[:, 0], labels)
    np.testing.assert_array_equal(np.concatenate([image for image, _ in found]), images.transpose(0, 2, 3, 1))


# -- endings -----------------------------------------------------------------------------------------------------------


def test_a_training_loop_as_the_api_describes_it(graph: tf.Graph) -> None:
    xs = np.linspace(-1, 1, 64, dtype=np.float32)
    x, y = tf.train.slice_input_producer([xs, 3 * xs + 1], num_epochs=30, seed=3)
    x, y = tf.train.shuffle_batch([x, y], 16, capacity=64, min_after_dequeue=16, seed=3)
    weight, bias = tf.Variable(0.0), tf.Variable(0.0)
    loss = tf.reduce_mean(tf.square(weight * x + bias - y))
    train = tf.train.GradientDescentOptimizer(0.3).minimize(loss)
    steps = 0
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        coord = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(sess=session, coord=coord)
        try:
            while not coord.should_stop():
                session.run(train)
                steps += 1
        except tf.errors.OutOfRangeError:
            pass
        finally:
            coord.request_stop()
        coord.join(threads)
        assert steps == 64 * 30 // 16
        np.testing.assert_allclose(session.run([weight, bias]), [3, 1], atol=0.01)


@pytest.mark.parametrize("how", ["stop", "close"])
def test_ending_midway(how: str, graph: tf.Graph) -> None:
    """Neither a stop nor a closed session leaves a thread behind, whatever it waits for."""
    number = tf.train.range_input_producer(1000).dequeue()
    full = tf.train.batch([number], 4, capacity=8)
    tf.train.shuffle_batch([number], 4, capacity=20, min_after_dequeue=10, num_threads=2)
    session = tf.Session()
    coord = tf.train.Coordinator()
    threads = tf.train.start_queue_runners(session, coord)
    session.run(full)
    time.sleep(0.05)
    if how == "stop":
        coord.request_stop()
        coord.join(threads, stop_grace_period_secs=10)
        session.close()
    else:
        session.close()
        with pytest.raises((tf.errors.CancelledError, RuntimeError)):
            coord.join(threads, stop_grace_period_secs=10)
    assert not any(thread.is_alive() for thread in threads)


def test_an_error_in_the_pipeline_reaches_the_main_thread(graph: tf.Graph, tmp_path: Path) -> None:
    (tmp_path / "numbers").write_text("1\n2\nthree\n4\n")
    names = tf.train.string_input_producer([str(tmp_path / "numbers")])
    _, line = tf.TextLineReader().read(names)
    batch = tf.train.batch([tf.string_to_number(line)], 2)
    with tf.Session() as session:
        coord = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(session, coord)
        assert session.run(batch).tolist() == [1, 2]
        with pytest.raises(tf.errors.OpError):
            session.run(batch)
        with pytest.raises(tf.errors.InvalidArgumentError, match="correctly convert string: three"):
            coord.join(threads)


def test_many_readers_of_one_pipeline_lose_nothing(graph: tf.Graph) -> None:
    number = tf.train.range_input_producer(2000, num_epochs=2).dequeue()
    batch = tf.train.shuffle_batch([number], 10, capacity=100, min_after_dequeue=20, num_threads=3)
    found: list[np.ndarray[Any, Any]] = []

    def consume(session: tf.Session) -> Callable[[], None]:
        return lambda: found.extend(until_the_end(session, batch))

    with running(graph) as session:
        consumers = [threading.Thread(target=consume(session)) for _ in range(3)]
        for consumer in consumers:
            consumer.start()
        for consumer in consumers:
            consumer.join(30)
    assert np.bincount(np.ravel(found)).tolist() == [2] * 2000
