"""Graphs as files: what another program can go on from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import flowc as tf


def train_somewhat(folder: Path, as_text: bool = False) -> float:
    """A model, trained for some steps, saved with its graph; the loss."""
    with tf.Graph().as_default(), tf.Session() as session:
        w = tf.Variable(np.array([1.0, 2.0], np.float32), name="w")
        step = tf.Variable(0, trainable=False, name="step")
        x = tf.placeholder(tf.float32, [2], name="x")
        loss = tf.reduce_sum(tf.square(w - x), name="loss")
        train = tf.train.AdamOptimizer(0.1).minimize(loss, global_step=step, name="train")
        tf.scalar_summary("loss", loss)
        tf.add_to_collection("steps", 3)
        tf.add_to_collection("names", "loss")
        tf.add_to_collection("outputs", loss)
        saver = tf.train.Saver()
        session.run(tf.initialize_all_variables())
        for _ in range(5):
            session.run(train, {x: [0.5, -0.5]})
        saver.save(session, str(folder / "model.ckpt"), global_step=step)
        saver.export_meta_graph(str(folder / "model.meta"), as_text=as_text)
        return float(session.run(loss, {x: [0.5, -0.5]}))


@pytest.mark.parametrize("as_text", [False, True])
def test_another_program_goes_on(tmp_path: Path, as_text: bool) -> None:
    loss = train_somewhat(tmp_path, as_text)
    with tf.Graph().as_default() as graph, tf.Session() as session:
        saver = tf.train.import_meta_graph(str(tmp_path / "model.meta"))
        assert saver is not None
        saver.restore(session, tf.train.latest_checkpoint(str(tmp_path)))
        assert session.run("loss:0", {"x:0": [0.5, -0.5]}) == pytest.approx(loss, rel=1e-6)
        session.run("train", {"x:0": [0.5, -0.5]})
        assert session.run("step:0") == 6
        assert session.run("loss:0", {"x:0": [0.5, -0.5]}) < loss
        (w,) = tf.trainable_variables()
        assert (w.op.name, w.get_shape().as_list(), w.dtype.base_dtype) == ("w", [2], tf.float32)
        assert w in tf.all_variables()
        assert len(tf.all_variables()) == 6
        assert graph.get_collection("steps") == [3]
        assert graph.get_collection("names") == [b"loss"]
        assert graph.get_collection("outputs") == [graph.get_tensor_by_name("loss:0")]
        session.run(tf.initialize_all_variables())
        np.testing.assert_array_equal(session.run(w), [1, 2])
        assert tf.Summary.FromString(session.run(tf.merge_all_summaries(), {"x:0": [1, 2]})).value[0].tag == "loss"
        assert saver.save(session, str(tmp_path / "again")) == str(tmp_path / "again")


def test_a_message_and_parts_of_the_collections() -> None:
    with tf.Graph().as_default():
        tf.Variable(1.0, name="v")
        tf.add_to_collection("strange", object())
        with pytest.warns(UserWarning, match="'strange' is not exported"):
            tf.train.export_meta_graph()
        meta = tf.train.export_meta_graph(collection_list=[tf.GraphKeys.VARIABLES])
    assert list(meta.collection_def) == ["variables"]
    with tf.Graph().as_default():
        saver = tf.train.import_meta_graph(meta)
        assert [v.name for v in tf.all_variables()] == ["v:0"]
        assert tf.trainable_variables() == []
        assert saver is not None
        with pytest.raises(ValueError, match="has an operation 'v"):
            tf.train.import_meta_graph(meta)
    with tf.Graph().as_default():
        tf.constant(1.0)
        empty = tf.train.export_meta_graph()
    with tf.Graph().as_default():
        assert tf.train.import_meta_graph(empty) is None


def test_what_is_no_meta_graph(tmp_path: Path) -> None:
    with pytest.raises(tf.errors.NotFoundError, match=r"model\.meta"):
        tf.train.import_meta_graph(str(tmp_path / "model.meta"))
    (tmp_path / "model.meta").write_bytes(b"\xff\xfe nothing")
    with pytest.raises(tf.errors.DataLossError, match="no MetaGraphDef"):
        tf.train.import_meta_graph(str(tmp_path / "model.meta"))


@pytest.mark.parametrize("as_text", [False, True])
def test_write_graph(tmp_path: Path, as_text: bool) -> None:
    from google.protobuf import text_format

    with tf.Graph().as_default() as graph:
        tf.add(1.0, 2.0, name="sum")
        path = tf.train.write_graph(graph.as_graph_def(), str(tmp_path / "new" / "folder"), "graph.pbtxt", as_text)
    assert path == str(tmp_path / "new" / "folder" / "graph.pbtxt")
    content = Path(path).read_bytes()
    graph_def = text_format.Parse(content, tf.GraphDef()) if as_text else tf.GraphDef.FromString(content)
    assert [node.name for node in graph_def.node] == ["sum/x", "sum/y", "sum"]
    with tf.Graph().as_default(), tf.Session() as session:
        (total,) = tf.import_graph_def(graph_def, return_elements=["sum:0"])
        assert session.run(total) == 3.0
