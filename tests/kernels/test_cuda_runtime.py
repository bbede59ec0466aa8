"""The CUDA runtime without a GPU: a stub notes the order of allocation, copies, launches, capture and replay."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.plan import Kernel
from flowc.runtime.cuda import modules
from flowc.runtime.cuda.cuda_plan import CudaPlan
from flowc.runtime.cuda.placement import using_gpus
from tests.gpu.recording_gpu import RecordingGpu
from tests.gpu.running import watching


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingGpu]:
    """The only GPU there is; its kernels run in the simulator."""
    found = RecordingGpu()
    with watching(monkeypatch), using_gpus([found]), tf.Graph().as_default():
        yield found


def placeholder(*shape: int) -> Any:
    return tf.placeholder(tf.float32, list(shape), name="x")


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


# -- one run -----------------------------------------------------------------------------------------------------------


def test_a_plan_is_launched_then_captured_then_replayed(gpu: RecordingGpu) -> None:
    x = placeholder(4)
    y = x * 2.0 + 1.0
    with tf.Session() as session:
        for run in range(4):
            gpu.calls.clear()
            np.testing.assert_array_equal(session.run(y, {x: ones(4) * run}), ones(4) * (2 * run + 1))
            if run == 0:
                assert gpu.calls == [
                    "load", "pinned", "allocate", "synchronize", "upload",
                    "upload", "launch", "download", "synchronize",
                    "begin_capture", "upload", "launch", "download", "end_capture",
                ]  # fmt: skip
            else:
                assert gpu.calls == ["replay", "synchronize"]  # copies are in the graph


def test_a_usual_run_looks_nothing_up(gpu: RecordingGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    w = tf.Variable(tf.zeros([4]), name="w")
    x = placeholder(4)
    step = tf.assign_add(w, x * tf.random_uniform([4], 1.0, 1.0 + 1e-7))
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        session.run(step, {x: ones(4)})
        for name in ("_run", "_check", "reshaped"):
            monkeypatch.setattr(CudaPlan, name, lambda *arguments: pytest.fail("a usual run goes the long way"))
        gpu.calls.clear()
        for count in (2, 3, 4):
            np.testing.assert_allclose(session.run(step, {x: ones(4)}), ones(4) * count, rtol=1e-5)
        assert gpu.calls == ["replay", "synchronize"] * 3


def test_what_somebody_else_changed_is_looked_up(gpu: RecordingGpu) -> None:
    w = tf.Variable(tf.zeros([2]), name="w")
    step, double, read = tf.assign_add(w, ones(2)), tf.assign(w, w * 2.0), w + 0.0
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        expected = 0.0
        for turn in range(12):  # each run goes the quick way in between others that change its variable
            session.run(step.op)
            session.run(step.op)
            expected += 2
            if turn % 4 == 1:
                session.variables.set("w", ones(2) * 5)
                expected = 5.0
            elif turn % 4 == 2:
                np.testing.assert_array_equal(session.variables.get("w"), ones(2) * expected)
            elif turn % 4 == 3:
                session.run([double.op, read])
                expected *= 2
        np.testing.assert_array_equal(session.run(w), ones(2) * expected)


def test_variables_stay_on_the_device(gpu: RecordingGpu) -> None:
    w = tf.Variable(tf.zeros([3]), name="w")
    step, read = tf.assign_add(w, ones(3)), w + 0.0
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for _ in range(3):
            session.run(step.op)
        gpu.calls.clear()
        session.run(step.op)
        assert gpu.calls == ["replay", "synchronize"]  # nothing is copied
        np.testing.assert_array_equal(session.run(read), ones(3) * 4)
        np.testing.assert_array_equal(session.variables.get("w"), ones(3) * 4)
        session.variables.set("w", ones(3) * 9)
        np.testing.assert_array_equal(session.run(read), ones(3) * 9)


def test_the_host_and_the_gpu_take_turns_on_a_variable(gpu: RecordingGpu) -> None:
    w = tf.Variable(tf.zeros([2]), name="w")
    on_gpu = tf.assign_add(w, ones(2))
    with tf.device("/cpu:0"):
        on_cpu = tf.assign_add(w, ones(2) * 10.0)
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for step, value in ((on_gpu, 1.0), (on_cpu, 11.0), (on_gpu, 12.0), (on_gpu, 13.0), (on_cpu, 23.0)):
            np.testing.assert_array_equal(session.run(step), ones(2) * value)


def test_two_sessions_have_variables_of_their_own(gpu: RecordingGpu) -> None:
    w = tf.Variable(tf.zeros([2]), name="w")
    step = tf.assign_add(w, ones(2))
    sessions = [tf.Session(), tf.Session()]
    for session in sessions:
        session.run(tf.initialize_all_variables())
    sessions[0].run(step)
    assert [session.run(w).tolist() for session in sessions] == [[1, 1], [0, 0]]


def test_sessions_in_threads_share_a_gpu(gpu: RecordingGpu) -> None:
    """They share its stream, too: nothing of one gets into what is captured of another."""
    w = tf.Variable(tf.zeros([2]), name="w")
    x = placeholder(2)
    step, reads = tf.assign_add(w, ones(2)), [w + x * float(i) for i in range(6)]
    sessions = [tf.Session(), tf.Session()]
    for session in sessions:
        session.run(tf.initialize_all_variables())
    failed: list[object] = []

    def work(session: Any, number: int) -> None:
        try:
            for turn in range(8):
                session.run(step.op)
                read = reads[(turn + number) % len(reads)]
                value = session.run(read - w, {x: ones(2)}).tolist()
                assert value == [float((turn + number) % len(reads))] * 2
                session.variables.get("w")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(sessions[i % 2], i)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [session.run(w).tolist() for session in sessions] == [[16, 16], [16, 16]]


def test_memory_is_given_back(gpu: RecordingGpu) -> None:
    w = tf.Variable(tf.zeros([300]), name="w")
    step = tf.assign_add(w, ones(300))
    before = gpu.used
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        used = {session.run(step.op) or gpu.used for _ in range(5)}
        assert len(used) == 1
    del session
    gc.collect()
    assert gpu.used == before


def test_random_numbers_go_on_between_devices(gpu: RecordingGpu) -> None:
    x = tf.random_uniform([5], seed=7)
    with tf.Session() as session:
        on_gpu = [session.run(x).tolist() for _ in range(3)]
    with using_gpus([]), tf.Session() as session:
        assert [session.run(x).tolist() for _ in range(3)] == on_gpu


# -- errors ------------------------------------------------------------------------------------------------------------


def test_an_error_of_a_kernel_leaves_variables_alone(gpu: RecordingGpu) -> None:
    w = tf.Variable(tf.zeros([2]), name="w")
    rows = tf.placeholder(tf.int32, [1], name="rows")
    step = tf.assign_add(w, tf.gather(tf.constant(ones(3, 2)), rows)[0])
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for row in (1, 7, 2, 8):
            if row < 3:
                session.run(step, {rows: [row]})
                continue
            with pytest.raises(
                tf.errors.InvalidArgumentError, match=rf"{row} is not in range|= {row} is not in \[0, 3\)"
            ):
                session.run(step, {rows: [row]})
        np.testing.assert_array_equal(session.run(w), ones(2) * 2)


def test_out_of_memory_names_the_largest_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    with watching(monkeypatch), using_gpus([RecordingGpu(memory=1 << 20)]), tf.Graph().as_default():
        x = placeholder(1000, 1000)
        with tf.Session() as session, pytest.raises(tf.errors.ResourceExhaustedError) as caught:
            session.run(tf.reduce_sum(tf.matmul(tf.tanh(x), x)), {x: ones(1000, 1000)})
    said = caught.value.message
    assert "/gpu:0 (a recording stub, compute capability 9.0): the plan's block of " in said
    assert "an arena of " in said
    assert "MatMul float32[1000, 1000]" in said
    assert "in the arena" in said


# -- code on the disk --------------------------------------------------------------------------------------------------


def test_code_is_cached_by_content_capability_and_toolkit(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, other = Kernel("k", "def k(args, lo, hi):\n    pass\n"), Kernel("k", "def k(args, lo, hi):\n    return\n")
    keys = {modules.image_key(k, modules.CudaTarget(c)) for k in (kernel, other) for c in ((8, 0), (9, 0))}
    monkeypatch.setattr(modules, "assembler", lambda: None)
    assert len(keys | {modules.image_key(kernel, modules.CudaTarget((9, 0)))}) == 5
