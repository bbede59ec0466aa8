"""On a real GPU: what it computes is what the CPU computes, and memory stays flat. Skipped where there is none."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.runtime.cuda.driver_library import chain_problem
from flowc.runtime.cuda.native_driver import native_gpus
from tests.fuzz.check import check
from tests.fuzz.generate import generate
from tests.gpu.corpus import CASES
from tests.gpu.running import evaluate

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not native_gpus(), reason=f"no GPU that flowc can use: {chain_problem() or 'none found'}"),
]


@pytest.mark.parametrize("name", CASES)
def test_parity_with_the_cpu(name: str) -> None:
    for got, expected in zip(evaluate(CASES[name], native_gpus(), 3), evaluate(CASES[name], [], 3), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_agree_with_the_reference(seed: int) -> None:
    assert check(generate(seed, 10)) is None


def training() -> tuple[Any, Any]:
    x = tf.constant(np.linspace(-1, 1, 640, dtype=np.float32).reshape(64, 10))
    w = tf.Variable(tf.ones([10, 3]), name="w")
    loss = tf.reduce_mean(tf.square(tf.nn.softmax(tf.matmul(x, w))))
    return loss, tf.train.AdamOptimizer(1e-3).minimize(loss)


def test_memory_is_flat_over_many_steps() -> None:
    loss, step = training()
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        first, _ = session.run([loss, step])
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(10_000):
            session.run(step)
        gc.collect()
        assert len(gc.get_objects()) - before < 1000
        assert session.run(loss) < first


def test_runs_repeat_to_the_bit() -> None:
    results = []
    for _ in range(2):
        with tf.Graph().as_default(), tf.Session() as session:
            loss, step = training()
            session.run(tf.initialize_all_variables())
            for _ in range(20):
                session.run(step)
            results.append(session.run(loss).tobytes())
    assert results[0] == results[1]


def test_results_stay_on_the_device_and_go_round() -> None:
    x = tf.placeholder(tf.float32, [None, 70], name="x")
    y = tf.tanh(x) * 2.0
    data = np.random.default_rng(0).standard_normal((33, 70), np.float32)
    with tf.Session() as session:
        expected = value = data
        for _ in range(5):
            expected = session.run(y, {x: expected})
            value = session.run(y, {x: value}, device_fetches=True)
        np.testing.assert_array_equal(value.numpy(), expected)
        first = session.run(y, {x: data}, device_fetches=True)
        session.run(y, {x: -data}, device_fetches=True)
        np.testing.assert_array_equal(first.numpy(), session.run(y, {x: data}))


@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_arrays_of_other_libraries(library: str) -> None:
    other = pytest.importorskip(library)
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    theirs = other.from_numpy(data).cuda() if library == "torch" else other.asarray(data)
    x = tf.placeholder(tf.float32, [3, 4], name="x")
    with tf.Session() as session:
        y = x + 1.0
        for _ in range(3):
            np.testing.assert_array_equal(session.run(y, {x: theirs}), data + 1)
        back = other.from_dlpack(session.run(y, {x: theirs}, device_fetches=True))
        again = session.run(y, {x: back})  # the memory of which is still ours
    np.testing.assert_array_equal(again, data + 2)


@pytest.mark.skipif(len(native_gpus()) < 2, reason="fewer than two GPUs")
def test_a_variable_moves_between_two_gpus() -> None:
    w = tf.Variable(tf.zeros([2]), name="w")
    steps = []
    for name in ("/gpu:0", "/gpu:1"):
        with tf.device(name):
            steps.append(tf.assign_add(w, np.ones(2, np.float32)))
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for count, step in enumerate([*steps, *steps, steps[0], steps[0], steps[1]], 1):
            assert session.run(step).tolist() == [count, count]


def test_two_sessions_at_once() -> None:
    w = tf.Variable(tf.zeros([2]), name="w")
    step = tf.assign_add(w, np.ones(2, np.float32))
    sessions = [tf.Session(), tf.Session()]
    for session in sessions:
        session.run(tf.initialize_all_variables())
    for _ in range(5):
        sessions[0].run(step)
    assert [session.run(w).tolist() for session in sessions] == [[5, 5], [0, 0]]
