"""Event files: what SummaryWriter writes, read by flowc and by TensorBoard itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf

pytest.importorskip("tensorboard")


def events_in(folder: Path) -> list[Any]:
    (path,) = folder.glob("events.out.tfevents.*")
    return list(tf.train.summary_iterator(str(path)))


def test_what_is_added_is_read(tmp_path: Path) -> None:
    before = time.time()
    tf.constant(1.0, name="c")
    summary = tf.scalar_summary("loss", 2.5)
    writer = tf.train.SummaryWriter(str(tmp_path / "new" / "folder"), tf.get_default_graph().as_graph_def())
    with tf.Session() as session:
        writer.add_summary(session.run(summary), 7)
    writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag="own", simple_value=1.5)]), np.int64(8))
    writer.add_event(tf.Event(wall_time=12.5, step=9, summary=tf.Summary()))
    writer.add_graph(tf.get_default_graph(), 10)
    writer.close()
    events = events_in(tmp_path / "new" / "folder")
    assert events[0].file_version == "brain.Event:2"
    assert [e.step for e in events] == [0, 0, 7, 8, 9, 10]
    assert events[1].graph_def.node[0].name == "c"
    assert (events[2].summary.value[0].tag, events[2].summary.value[0].simple_value) == ("loss", 2.5)
    assert events[3].summary.value[0].tag == "own"
    assert events[4].wall_time == 12.5
    assert before <= events[2].wall_time <= time.time()
    assert len(events[5].graph_def.node) == len(tf.get_default_graph().get_operations())


def test_flushed_events_can_be_read_while_the_writer_goes_on(tmp_path: Path) -> None:
    writer = tf.train.SummaryWriter(str(tmp_path))
    for step in range(50):
        writer.add_summary(tf.Summary(), step)
    writer.flush()
    assert len(events_in(tmp_path)) == 51
    writer.add_summary(tf.Summary(), 50)
    writer.close()
    assert len(events_in(tmp_path)) == 52
    with pytest.raises(RuntimeError, match="closed SummaryWriter"):
        writer.add_summary(tf.Summary(), 51)
    writer.close()
    writer.flush()


def test_mistakes(tmp_path: Path) -> None:
    with tf.train.SummaryWriter(str(tmp_path)) as writer, pytest.raises(TypeError, match="GraphDef or a Graph"):
        writer.add_graph("graph")
    with pytest.raises(tf.errors.NotFoundError):
        list(tf.train.summary_iterator(str(tmp_path / "nothing")))


def test_without_tensorboard_the_error_names_the_extra(tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules["tensorboard"] = None
import flowc as tf
summary = tf.scalar_summary("a", 1.0)
assert tf.Session().run(summary)  # needs no package
try:
    tf.train.SummaryWriter({str(tmp_path)!r})
except ImportError as error:
    print(error)
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'flowc[tensorboard]'" in answer.stdout


def test_tensorboard_reads_it(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    x = tf.placeholder(tf.float32, [8, 8], name="x")
    with tf.name_scope("layer"):
        y = tf.nn.relu(tf.matmul(x, x), name="y")
    tf.scalar_summary("mean", tf.reduce_mean(y))
    tf.histogram_summary("values", y)
    tf.image_summary("picture", tf.reshape(y, [1, 8, 8, 1]), max_images=1)
    merged = tf.merge_all_summaries()
    with tf.Session() as session, tf.summary.FileWriter(str(tmp_path), session.graph) as writer:
        for step in range(3):
            writer.add_summary(session.run(merged, {x: np.full([8, 8], step)}), step)
    board = EventAccumulator(str(tmp_path), dict.fromkeys(("histograms", "images"), 0)).Reload()
    assert [(e.step, e.value) for e in board.Scalars("mean")] == [(0, 0.0), (1, 8.0), (2, 32.0)]
    histogram = board.Histograms("values")[2].histogram_value
    assert (histogram.num, histogram.min, histogram.max, histogram.sum) == (64, 32.0, 32.0, 64 * 32.0)
    picture = board.Images("picture/image")[1]
    assert (picture.width, picture.height) == (8, 8)
    assert picture.encoded_image_string.startswith(b"\x89PNG")
    names = {node.name: node for node in board.Graph().node}
    assert names["layer/y"].op == "Relu"
    assert list(names["layer/y"].input) == ["layer/MatMul"]
    assert os.path.basename(board.path) == tmp_path.name
