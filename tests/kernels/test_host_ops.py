"""Every op of the host by its type: that its own function is called in a run, and gives what the API says.

What each does at its edges stands in the tests of its family: readers, queues, strings, checkpoints, summaries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.host import registry


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The types whose host functions were called."""
    types: set[str] = set()

    def noting(op_type: str, function: registry.Host) -> registry.Host:
        def note(*arguments: Any) -> Any:
            types.add(op_type)
            return function(*arguments)

        return note

    functions = {op_type: noting(op_type, function) for op_type, function in registry._functions.items()}
    monkeypatch.setattr(registry, "_functions", functions)
    return types


# -- files and checkpoints ---------------------------------------------------------------------------------------------


def test_whole_files(session: tf.Session, called: set[str], tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\0two")
    assert session.run(tf.matching_files(f"{tmp_path}/*.txt")).tolist() == [bytes(path)]
    assert session.run(tf.read_file(str(path))) == b"one\0two"
    assert called == {"MatchingFiles", "ReadFile"}


def test_checkpoints(session: tf.Session, called: set[str], tmp_path: Path) -> None:
    v = tf.Variable([1.0, 2.0])
    assert session.run(tf.report_uninitialized_variables()).tolist() == [b"Variable"]
    session.run(v.initializer)
    saver = tf.train.Saver(sharded=True)
    path = saver.save(session, str(tmp_path / "model"))
    session.run(v.assign([0.0, 0.0]))
    saver.restore(session, path)
    assert session.run(v).tolist() == [1, 2]
    assert called == {"ReportUninitializedVariables", "ShardedFilename", "ShardedFilespec", "Save", "RestoreV2"}


# -- queues ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op_type", ["FIFOQueue", "RandomShuffleQueue"])
def test_queues(op_type: str, session: tf.Session, called: set[str]) -> None:
    kind = getattr(tf, op_type)
    queue = kind(9, 0, tf.int32, [()]) if op_type == "RandomShuffleQueue" else kind(9, tf.int32, [()])
    session.run(queue.enqueue([7]))
    session.run(queue.enqueue_many([[8, 9]]))
    assert session.run(queue.size()) == 3
    assert sorted([session.run(queue.dequeue()), *session.run(queue.dequeue_many(2))]) == [7, 8, 9]
    session.run(queue.close())
    with pytest.raises(tf.errors.OutOfRangeError):
        session.run(queue.dequeue())
    uses = {"QueueEnqueue", "QueueEnqueueMany", "QueueSize", "QueueDequeue", "QueueDequeueMany", "QueueClose"}
    assert called == {op_type} | uses


def test_one_queue_of_several(session: tf.Session, called: set[str]) -> None:
    queues = [tf.FIFOQueue(2, tf.int32, [()], shared_name=name) for name in ("one", "two")]
    session.run(queues[1].enqueue([5]))
    which = tf.placeholder(tf.int32, [])
    assert session.run(tf.QueueBase.from_list(which, queues).size(), {which: 1}) == 1
    assert called >= {"RefSelect"}


# -- readers -----------------------------------------------------------------------------------------------------------

READERS = {
    "IdentityReader": (tf.IdentityReader, None),
    "TextLineReader": (tf.TextLineReader, b"abcd"),
    "WholeFileReader": (tf.WholeFileReader, b"abcd\n"),
    "FixedLengthRecordReader": (lambda: tf.FixedLengthRecordReader(5), b"abcd\n"),
    "TFRecordReader": (tf.TFRecordReader, b"abcd"),
}


@pytest.mark.parametrize("op_type", READERS)
def test_readers(op_type: str, session: tf.Session, called: set[str], tmp_path: Path) -> None:
    make, expected = READERS[op_type]
    path = tmp_path / "file"
    path.write_bytes(b"abcd\n")
    if op_type == "TFRecordReader":
        with tf.python_io.TFRecordWriter(str(path)) as writer:
            writer.write(b"abcd")
    queue, reader = tf.FIFOQueue(9, tf.string, [()]), make()
    session.run(queue.enqueue([str(path)]))
    _, value = reader.read(queue)
    assert session.run(value) == (expected or bytes(path))
    assert session.run(reader.num_records_produced()) == 1
    assert session.run(reader.num_work_units_completed()) in (0, 1)  # whether the end of the file was seen
    session.run(reader.reset())
    assert session.run(reader.num_records_produced()) == 0
    assert called >= {op_type, "ReaderRead", "ReaderReset", "ReaderNumRecordsProduced", "ReaderNumWorkUnitsCompleted"}


def test_the_state_of_a_reader(session: tf.Session, called: set[str]) -> None:
    queue, reader = tf.FIFOQueue(9, tf.string, [()]), tf.IdentityReader()
    session.run(queue.enqueue(["work"]))
    session.run(reader.read(queue))
    state = session.run(reader.serialize_state())
    session.run(reader.reset())
    session.run(reader.restore_state(state))
    assert session.run(reader.num_records_produced()) == 1
    assert called >= {"ReaderSerializeState", "ReaderRestoreState"}


# -- strings -----------------------------------------------------------------------------------------------------------


def test_strings(session: tf.Session, called: set[str]) -> None:
    number, bucket = tf.string_to_number(["-2.5"]), tf.string_to_hash_bucket(["a"], 10)
    raw = tf.decode_raw(["\1\2"], tf.uint8)
    columns = tf.decode_csv(["1,b"], [[0], [""]])
    assert [x.tolist() for x in session.run([number, bucket, raw, *columns])] == [[-2.5], [8], [[1, 2]], [1], [b"b"]]
    assert called == {"StringToNumber", "StringToHashBucket", "DecodeRaw", "DecodeCSV"}


def test_examples(session: tf.Session, called: set[str]) -> None:
    example = tf.train.Example()
    example.features.feature["n"].int64_list.value.append(3)
    serialized = example.SerializeToString()
    parsed = tf.parse_example([serialized], dense_keys=["n"], dense_types=[tf.int64], dense_shapes=[()])
    assert session.run(parsed["n"]).tolist() == [3]
    assert called == {"ParseExample"}


# -- Python, and seeing inside -----------------------------------------------------------------------------------------


def test_python_functions_and_checks(session: tf.Session, called: set[str], capfd: pytest.CaptureFixture[str]) -> None:
    x = tf.placeholder(tf.float32, [])
    (doubled,) = tf.py_func(lambda v: np.float32(2 * v), [x], [tf.float32])
    shown = tf.Print(doubled, [doubled], message="it is ")
    with tf.control_dependencies([tf.Assert(shown > 0, [shown])]):
        checked = tf.identity(shown)
    assert session.run(checked, {x: 2}) == 4
    assert capfd.readouterr().err == "it is [4]\n"
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"assertion failed: \[-2\]"):
        session.run(checked, {x: -1})
    assert called == {"PyFunc", "Print", "Assert"}


def test_summaries(session: tf.Session, called: set[str]) -> None:
    tf.scalar_summary("loss", 2.0)
    tf.histogram_summary("weights", [1.0, 2.0])
    tf.image_summary("picture", np.zeros((1, 2, 2, 1), np.float32), max_images=1)
    merged = tf.Summary.FromString(session.run(tf.merge_all_summaries()))
    assert sorted(value.tag for value in merged.value) == ["loss", "picture/image", "weights"]
    assert called >= {"ScalarSummary", "HistogramSummary", "ImageSummary", "MergeSummary"}
