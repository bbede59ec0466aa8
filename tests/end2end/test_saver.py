"""`tf.train.Saver` in sessions: guide, chapter 3.1, and what its documentation says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "model.ckpt")


def initialized() -> tf.Session:
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    return session


def saved(path: str, **variables: Any) -> str:
    """A checkpoint that another graph wrote."""
    with tf.Graph().as_default():
        for name, value in variables.items():
            tf.Variable(value, name=name)
        saver = tf.train.Saver()
        with initialized() as session:
            return saver.save(session, path)


# -- all variables -----------------------------------------------------------------------------------------------------


def test_values_come_back(path: str) -> None:
    values = [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.float64(2.5),
        np.array([1, 2**60]),
        np.array([True, False]),
        np.array([1 + 2j], np.complex64),
        np.array([[3 - 1j]]),
        np.zeros([0, 3], np.float16),
        np.array([b"one", b""], object),
    ]
    variables = [tf.Variable(value, name=f"v{index}") for index, value in enumerate(values)]
    saver = tf.train.Saver()
    with initialized() as session:
        assert saver.save(session, path) == path
    with tf.Session() as session:
        saver.restore(session, path)
        for got, value in zip(session.run(variables), values, strict=True):
            np.testing.assert_array_equal(got, value)


def test_the_graph_of_a_saver() -> None:
    tf.Variable(1.0, name="v")
    saver_def = tf.train.Saver().as_saver_def()
    assert saver_def.filename_tensor_name == "save/Const:0"
    assert saver_def.save_tensor_name == "save/control_dependency:0"
    assert saver_def.restore_op_name == "save/restore_all"
    assert (saver_def.max_to_keep, saver_def.sharded) == (5, False)
    assert saver_def.keep_checkpoint_every_n_hours == 10000.0
    assert tf.train.Saver().as_saver_def().restore_op_name == "save_1/restore_all"
    assert tf.train.Saver(name="mine").as_saver_def().restore_op_name == "mine/restore_all"


def test_another_saver_from_a_definition(path: str) -> None:
    v = tf.Variable(1.0, name="v")
    first = tf.train.Saver(max_to_keep=2)
    count = len(tf.get_default_graph().get_operations())
    second = tf.train.Saver(saver_def=first.as_saver_def())
    assert len(tf.get_default_graph().get_operations()) == count
    with initialized() as session:
        second.save(session, path)
        session.run(v.assign(5.0))
        first.restore(session, path)
        assert session.run(v) == 1.0
    with pytest.raises(ValueError, match="saver_def must be a SaverDef"):
        tf.train.Saver(saver_def="save")


def test_variables_of_later_lines_are_not_saved(path: str) -> None:
    tf.Variable(1.0, name="early")
    saver = tf.train.Saver()
    tf.Variable(1.0, name="late")
    with initialized() as session:
        saver.save(session, path)
    assert list(tf.train.NewCheckpointReader(path).tensors()) == ["early"]


def test_restored_variables_count_as_initialised_and_others_do_not(path: str) -> None:
    saved(path, a=1.0)
    a, b = tf.Variable(0.0, name="a"), tf.Variable(0.0, name="b")
    with tf.Session() as session:
        tf.train.Saver([a]).restore(session, path)
        assert session.run(a) == 1.0
        with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized value b"):
            session.run(b)


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_in_the_file_are_the_operations_or_those_of_a_dict(path: str) -> None:
    with tf.name_scope("layer"):
        v1 = tf.Variable([1.0, 2.0], name="w")
    v2 = tf.Variable(7, name="n")
    with initialized() as session:
        tf.train.Saver([v1]).save(session, path + "-list")
        tf.train.Saver({"params": v1, "count": v2}).save(session, path + "-dict")
    assert list(tf.train.NewCheckpointReader(path + "-list").tensors()) == ["layer/w"]
    assert sorted(tf.train.NewCheckpointReader(path + "-dict").tensors()) == ["count", "params"]


def test_a_partial_and_renamed_model(path: str) -> None:
    saved(path, weights=[1.0, 2.0], biases=[3.0], extra=9)
    params, fresh = tf.Variable([0.0, 0.0], name="params"), tf.Variable([5.0], name="fresh")
    saver = tf.train.Saver({"weights": params})
    with tf.Session() as session:
        session.run(tf.initialize_variables([fresh]))
        saver.restore(session, path)
        np.testing.assert_array_equal(session.run(params), [1, 2])
        np.testing.assert_array_equal(session.run(fresh), [5])


def test_several_savers_over_one_variable(path: str) -> None:
    v = tf.Variable(1.0, name="v")
    savers = [tf.train.Saver(), tf.train.Saver({"other": v})]
    with initialized() as session:
        paths = [saver.save(session, f"{path}-{index}") for index, saver in enumerate(savers)]
        for saver, kept in zip(savers, paths, strict=True):
            session.run(v.assign(0.0))
            saver.restore(session, kept)
            assert session.run(v) == 1.0
        with pytest.raises(tf.errors.NotFoundError, match='Tensor name "other" not found'):
            savers[1].restore(session, paths[0])


def test_what_cannot_be_saved() -> None:
    with pytest.raises(ValueError, match="No variables to save"):
        tf.train.Saver()
    v0, v1 = tf.Variable(1.0, name="v0"), tf.Variable(2.0, name="v1")
    with pytest.raises(ValueError, match="The same variable will be restored with two names: v0"):
        tf.train.Saver({"v0": v0, "v0too": v0})
    with pytest.raises(ValueError, match="same name: v1"):
        tf.train.Saver([v0, v1, v1])
    with pytest.raises(TypeError, match="Variable to save is not a Variable"):
        tf.train.Saver([v0, tf.constant(1.0)])
    with pytest.raises(TypeError, match="dict mapping string names to variables"):
        tf.train.Saver({1: v0})
    with pytest.raises(TypeError, match="list"):
        tf.train.Saver("v0")


# -- errors of a run ---------------------------------------------------------------------------------------------------


def test_nothing_is_saved_of_an_uninitialised_variable(path: str) -> None:
    tf.Variable(1.0, name="v0")
    saver = tf.train.Saver()
    with tf.Session() as session, pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized value v0"):
        saver.save(session, path)
    assert not os.path.exists(path)


def test_a_mismatch_changes_no_variable(path: str) -> None:
    a, b = tf.Variable([1.0, 2.0], name="a"), tf.Variable([3.0], name="b")
    saver = tf.train.Saver()
    cases = {
        tf.errors.NotFoundError: {"a": [8.0, 8.0]},
        tf.errors.InvalidArgumentError: {"a": [8.0, 8.0], "b": [3.0, 4.0]},
        tf.errors.OpError: {"a": [8.0, 8.0], "b": [3]},
    }
    with initialized() as session:
        for kind, variables in cases.items():
            saved(path, **variables)
            with pytest.raises(kind, match=r"\bb\b"):
                saver.restore(session, path)
            assert [value.tolist() for value in session.run([a, b])] == [[1, 2], [3]]


def test_messages_of_mismatches(path: str) -> None:
    tf.Variable([1.0, 2.0], name="a")
    saver = tf.train.Saver()
    with tf.Session() as session:
        with pytest.raises(tf.errors.NotFoundError, match="matching files for") as error:
            saver.restore(session, path)
        assert error.value.op.type == "RestoreV2"
        saved(path, a=[1.0])
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"shapes of both tensors to match.*\[2\].*\[1\]"):
            saver.restore(session, path)
        saved(path, a=[1, 2])
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"type float32, got a tensor of type int32"):
            saver.restore(session, path)


def test_a_damaged_file_changes_no_variable(path: str) -> None:
    a, b = tf.Variable(np.ones(100, np.float32), name="a"), tf.Variable(np.ones(100, np.float32), name="b")
    saver = tf.train.Saver()
    with initialized() as session:
        saver.save(session, path)
        session.run([a.assign(np.zeros(100)), b.assign(np.zeros(100))])
        content = Path(path).read_bytes()
        for damaged in (content[:-1], content[:-3] + b"\0\0\0", b"", content[: len(content) // 2]):
            Path(path).write_bytes(damaged)
            with pytest.raises(tf.errors.DataLossError, match="damaged, or no checkpoint"):
                saver.restore(session, path)
            assert not session.run(tf.add(a, b)).any()


def test_mistakes_of_the_caller(path: str) -> None:
    tf.Variable(1.0)
    saver = tf.train.Saver()
    with initialized() as session:
        with pytest.raises(TypeError, match="'sess' must be a Session"):
            saver.save("session", path)
        with pytest.raises(TypeError, match="'sess' must be a Session"):
            saver.restore(None, path)
        with pytest.raises(ValueError, match="collides with 'save_path'"):
            saver.save(session, path, latest_filename="model.ckpt")
        with pytest.raises(ValueError, match="must not contain path components"):
            saver.save(session, path, latest_filename="a/b")
        with pytest.raises(tf.errors.NotFoundError, match="Parent directory of"):
            saver.save(session, path + "/nowhere/model.ckpt")


# -- shapes ------------------------------------------------------------------------------------------------------------


def test_reshape(path: str) -> None:
    saved(path, v=np.arange(6.0))
    v = tf.Variable(np.zeros([2, 3]), name="v")
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match="match"):
            tf.train.Saver().restore(session, path)
        tf.train.Saver(reshape=True).restore(session, path)
        np.testing.assert_array_equal(session.run(v), [[0, 1, 2], [3, 4, 5]])


def test_a_variable_of_any_shape_takes_on_the_files(path: str) -> None:
    saved(path, v=np.arange(6.0))
    v = tf.Variable(np.zeros([2]), name="v", validate_shape=False)
    with initialized() as session:
        tf.train.Saver().restore(session, path)
        np.testing.assert_array_equal(session.run(v), np.arange(6.0))


@pytest.mark.parametrize("sequentially", [False, True])
def test_sequential_restores(path: str, sequentially: bool) -> None:
    saved(path, a=[1.0, 2.0], b=[3.0])
    variables = [tf.Variable([0.0, 0.0], name="a"), tf.Variable([0.0], name="b")]
    saver = tf.train.Saver(restore_sequentially=sequentially)
    reads = [op for op in tf.get_default_graph().get_operations() if op.type == "RestoreV2"]
    assert len(reads) == 1 + sequentially
    with tf.Session() as session:
        saver.restore(session, path)
        assert [value.tolist() for value in session.run(variables)] == [[1, 2], [3]]


def test_shards(path: str) -> None:
    with tf.device("/cpu:0"):
        v0 = tf.Variable(10, name="v0")
    with tf.device("/cpu:1"):
        v1 = tf.Variable(20, name="v1")
    saver = tf.train.Saver(sharded=True)
    config = tf.ConfigProto(device_count={"CPU": 2})
    with tf.Session(config=config) as session:
        session.run(tf.initialize_all_variables())
        pattern = saver.save(session, path, global_step=3)
        assert pattern == f"{path}-3-?????-of-00002"
        for index, name in enumerate(("v0", "v1")):
            file = f"{path}-3-0000{index}-of-00002"
            assert list(tf.train.NewCheckpointReader(file).tensors()) == [name]
        session.run([v0.assign(0), v1.assign(0)])
        saver.restore(session, pattern)
        assert session.run([v0, v1]) == [10, 20]
        tf.train.Saver([v0]).restore(session, f"{path}-3-00000-of-00002")
        assert tf.train.latest_checkpoint(os.path.dirname(path)) == pattern


# -- several checkpoints -----------------------------------------------------------------------------------------------


def test_global_steps(path: str) -> None:
    step = tf.Variable(4, name="step")
    saver = tf.train.Saver()
    with initialized() as session:
        assert saver.save(session, path, global_step=0) == path + "-0"
        assert saver.save(session, path, global_step=np.int64(3)) == path + "-3"
        assert saver.save(session, path, global_step=step) == path + "-4"
        assert saver.save(session, path, global_step=step.value()) == path + "-4"
        assert saver.save(session, path, global_step="step:0") == path + "-4"
        assert saver.last_checkpoints == [path + "-0", path + "-3", path + "-4"]
        assert tf.train.global_step(session, step) == 4


def test_max_to_keep(tmp_path: Path) -> None:
    tf.Variable(1.0)
    saver, other = tf.train.Saver(max_to_keep=2), tf.train.Saver(max_to_keep=2)
    first, second, third = (str(tmp_path / f"s{index}") for index in (1, 2, 3))
    with initialized() as session:
        assert saver.last_checkpoints == []
        for path, kept in ((first, [first]), (second, [first, second]), (third, [second, third])):
            saver.save(session, path)
            assert saver.last_checkpoints == kept
            assert list(tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths) == kept
            assert {p.name for p in tmp_path.iterdir()} == {"checkpoint", *map(os.path.basename, kept)}
        other.set_last_checkpoints(saver.last_checkpoints)
        other.save(session, second)  # again: now the newest
        assert other.last_checkpoints == [third, second]
        other.save(session, first)
        assert other.last_checkpoints == [second, first]
        assert not os.path.exists(third)


@pytest.mark.parametrize("most", [None, 0])
def test_all_are_kept(tmp_path: Path, most: int | None) -> None:
    tf.Variable(1.0)
    saver = tf.train.Saver(max_to_keep=most)
    with initialized() as session:
        paths = [saver.save(session, str(tmp_path / "m"), global_step=step) for step in range(8)]
    assert all(map(os.path.exists, paths))


def test_shards_are_deleted(path: str) -> None:
    tf.Variable(1.0)
    saver = tf.train.Saver(sharded=True, max_to_keep=1)
    with initialized() as session:
        for step in range(3):
            saver.save(session, path, global_step=step)
    assert sorted(os.listdir(os.path.dirname(path))) == ["checkpoint", "model.ckpt-2-00000-of-00001"]


def test_one_is_kept_for_every_so_many_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tf.Variable(1.0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    saver = tf.train.Saver(max_to_keep=2, keep_checkpoint_every_n_hours=1.0)
    with initialized() as session:
        for step in range(12):
            now += 0.3 * 3600
            saver.save(session, str(tmp_path / "m"), global_step=step)
    # Saved at 0.3, 0.6, … 3.6 hours: the first after each full hour stays, and the last two.
    kept = sorted(int(p.name[2:]) for p in tmp_path.glob("m-*"))
    assert kept == [3, 6, 10, 11]
    assert [os.path.basename(p) for p in saver.last_checkpoints] == ["m-10", "m-11"]


def test_another_name_for_the_newest(tmp_path: Path) -> None:
    tf.Variable(1.0)
    saver = tf.train.Saver()
    with initialized() as session:
        path = saver.save(session, str(tmp_path / "m"), latest_filename="best")
    assert tf.train.latest_checkpoint(str(tmp_path)) is None
    assert tf.train.latest_checkpoint(str(tmp_path), latest_filename="best") == path


# -- helpers of variables ----------------------------------------------------------------------------------------------


def test_which_are_uninitialised(path: str) -> None:
    a, b = tf.Variable(1.0, name="a"), tf.Variable(tf.zeros([2]) + 1.0, name="b")
    words = tf.Variable(["x"], name="words")
    report = tf.report_uninitialized_variables()
    only = tf.report_uninitialized_variables([b])
    with tf.Session() as session:
        assert session.run(report).tolist() == [b"a", b"b", b"words"]
        session.run([a.initializer, words.initializer])
        assert session.run(report).tolist() == [b"b"]
        assert session.run(only).tolist() == [b"b"]
        session.run(b.initializer)
        assert session.run(report).tolist() == []
    assert report.dtype is tf.string
    assert report.get_shape().as_list() == [None]


def test_a_variable_made_of_anothers_initial_value() -> None:
    weights = tf.Variable(tf.random_normal([784, 2], stddev=0.35), name="weights")
    same = tf.Variable(weights.initialized_value(), name="w2")
    twice = tf.Variable(weights.initialized_value() * 2.0, name="w_twice")
    with initialized() as session:
        w, w2, w_twice = session.run([weights, same, twice])
    np.testing.assert_array_equal(w, w2)
    np.testing.assert_array_equal(2 * w, w_twice)
