"""Saving writes the variables' own memory: without copies of it, and with nobody changing it meanwhile."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import flowc as tf
from flowc.train.checkpoint_files import CheckpointReader


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "model")


def test_saving_takes_no_memory_for_the_values(path: str) -> None:
    tf.Variable(tf.ones([4 << 20]), name="large")
    saver = tf.train.Saver()
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        saver.save(session, path)
        tracemalloc.start()
        saver.save(session, path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2 << 20


def test_a_checkpoint_is_of_one_moment(path: str) -> None:
    a, b = tf.Variable(tf.zeros([1 << 18]), name="a"), tf.Variable(tf.zeros([1 << 18]), name="b")
    step = tf.group(a.assign_add(tf.ones([1 << 18])), b.assign_add(tf.ones([1 << 18])))
    saver, stop = tf.train.Saver(), threading.Event()
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())

        def train() -> None:
            while not stop.is_set():
                session.run(step)

        thread = threading.Thread(target=train)
        thread.start()
        try:
            for _ in range(10):
                saver.save(session, path)
                reader = CheckpointReader(path)
                values = np.concatenate([reader.get_tensor("a"), reader.get_tensor("b")])
                assert (values == values[0]).all()
        finally:
            stop.set()
            thread.join()


def test_a_run_that_changes_what_it_saves(path: str) -> None:
    v = tf.Variable(1.0, name="v")
    save = tf.train.Saver().as_saver_def().save_tensor_name
    change = v.assign_add(1.0)
    with tf.get_default_graph().control_dependencies([change]):
        late = tf.train.Saver(name="late").as_saver_def().save_tensor_name
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        session.run([save, change.op], {"save/Const:0": path})
        assert CheckpointReader(path).get_tensor("v") == 1.0
        session.run(late, {"late/Const:0": path})
        assert CheckpointReader(path).get_tensor("v") == session.run(v)


def test_variables_without_values_are_named(path: str) -> None:
    one, _, _ = (tf.Variable(1.0, name=name) for name in ("one", "two", "three"))
    saver = tf.train.Saver()
    with tf.Session() as session:
        session.run(one.initializer)
        with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized values three, two"):
            saver.save(session, path)
        session.run(tf.initialize_all_variables())
        assert saver.save(session, path) == path


def test_a_variable_of_another_shape_than_before(path: str) -> None:
    v = tf.Variable(tf.zeros([2]), validate_shape=False, name="v")
    grow = tf.assign(v, tf.ones([5]), validate_shape=False)
    saver = tf.train.Saver()
    with tf.Session() as session:
        session.run(v.initializer)
        for expected in ([0, 0], [1] * 5):
            saver.save(session, path)
            assert CheckpointReader(path).get_tensor("v").tolist() == expected
            session.run(grow)
