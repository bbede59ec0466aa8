"""ExponentialMovingAverage against its formula in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float16, 2e-3), (np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("with_updates", [False, True])
def test_averages(dtype: Any, rtol: float, with_updates: bool) -> None:
    a, b = np.array([10.0, 11.0], dtype), np.array(20.0, dtype)
    v0, v1 = tf.Variable(a, name="v0"), tf.Variable(b, name="v1")
    total = tf.add(v0, v1)
    step = tf.Variable(0, trainable=False)
    ema = tf.train.ExponentialMovingAverage(0.25, num_updates=step if with_updates else None)
    update = ema.apply([v0, v1, total])
    averages = [ema.average(v) for v in (v0, v1, total)]
    expected = [a.astype(np.float64), b.astype(np.float64), np.zeros(2)]
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for got, wanted in zip(session.run(averages), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
        for count in range(4):
            session.run([v0.assign(a + dtype(count)), step.assign(count)])
            session.run(update)
            decay = min(0.25, (1 + count) / (10 + count)) if with_updates else 0.25
            now = [a + float(count), b, a + float(count) + b]
            expected = [decay * e + (1 - decay) * n.astype(np.float64) for e, n in zip(expected, now, strict=True)]
            for got, wanted in zip(session.run(averages), expected, strict=True):
                assert got.dtype == dtype
                np.testing.assert_allclose(got, wanted, rtol=rtol)


def test_after_a_training_step_the_average_sees_the_new_value() -> None:
    v, step = tf.Variable(1.0), tf.Variable(0, trainable=False)
    train = tf.train.GradientDescentOptimizer(1.0).minimize(3.0 * v, global_step=step)
    ema = tf.train.ExponentialMovingAverage(0.9, num_updates=step)
    with tf.control_dependencies([train]):
        update = ema.apply()
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())  # waits for no training step
        assert session.run([v, ema.average(v), step]) == [1.0, 1.0, 0]
        session.run(update)
        decay = 2 / 11
        np.testing.assert_allclose(
            session.run([v, ema.average(v)]), [-2.0, decay * 1.0 + (1 - decay) * -2.0], rtol=1e-6
        )


def test_names() -> None:
    v0, v1 = tf.Variable(10.0, name="v0"), tf.Variable(30.0, name="v1")
    v2 = tf.Variable(20.0, name="v2", trainable=False)
    total = v0 + v1
    ema = tf.train.ExponentialMovingAverage(0.25, name="foo_avg")
    assert [ema.average_name(v) for v in (v0, v1, total)] == ["v0/foo_avg", "v1/foo_avg", "add/foo_avg"]
    assert ema.average(v0) is None
    with tf.name_scope("anywhere"):
        update = ema.apply([v0, v1, total])
    assert (update.type, update.name) == ("NoOp", "anywhere/foo_avg")
    for v in (v0, v1, total):
        average = ema.average(v)
        assert average is not None
        assert average.op.name == ema.average_name(v)
        assert average in tf.all_variables()
        assert average not in tf.trainable_variables()
    assert tf.moving_average_variables() == [v0, v1]
    restored = {"v0/foo_avg": v0, "v1/foo_avg": v1, "add/foo_avg": ema.average(total), "v2": v2}
    assert ema.variables_to_restore() == restored


def test_averages_are_restored_in_place_of_the_variables(tmp_path: Path) -> None:
    path = str(tmp_path / "model.ckpt")
    with tf.Graph().as_default(), tf.Session() as session:
        w, step = tf.Variable([1.0, 2.0], name="w"), tf.Variable(5, name="step", trainable=False)
        update = tf.train.ExponentialMovingAverage(0.5).apply()
        session.run(tf.initialize_all_variables())
        session.run(w.assign([3.0, 4.0]))
        session.run(update)
        tf.train.Saver().save(session, path)
    w, step = tf.Variable([0.0, 0.0], name="w"), tf.Variable(0, name="step", trainable=False)
    saver = tf.train.Saver(tf.train.ExponentialMovingAverage(0.5).variables_to_restore())
    with tf.Session() as session:
        saver.restore(session, path)
        np.testing.assert_array_equal(session.run(w), [2.0, 3.0])
        assert session.run(step) == 5


def test_mistakes() -> None:
    ema = tf.train.ExponentialMovingAverage(0.25)
    count, v = tf.Variable(1, trainable=False), tf.Variable(1.0)
    with pytest.raises(TypeError, match="The variables must be half, float, or double"):
        ema.apply([count])
    with pytest.raises(TypeError, match="The variables must be"):
        ema.apply([1.0])
    with pytest.raises(ValueError, match="shape to be fully known"):
        ema.apply([tf.placeholder(tf.float32, [None])])
    ema.apply([v])
    with pytest.raises(ValueError, match="Moving average already computed for"):
        ema.apply([v])
