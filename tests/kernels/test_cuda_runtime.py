"""The CUDA runtime without a GPU: a stub notes the order of allocation, copies, launches, capture and replay."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.plan import Kernel
from flowc.runtime.cuda import modules
from flowc.runtime.cuda.placement import using_gpus
from flowc.runtime.doctor import examine
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
                    "load", "pinned", "allocate", "synchronize", "upload", "synchronize",
                    "upload", "launch", "download", "synchronize",
                    "begin_capture", "launch", "download", "end_capture",
                ]  # fmt: skip
            else:
                assert gpu.calls == ["upload", "replay", "synchronize"]


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
            session.run(tf.matmul(x, x) + 1.0, {x: ones(1000, 1000)})
    assert "/gpu:0" in caught.value.message
    assert "MatMul" in caught.value.message or "x:0" in caught.value.message


# -- placement ---------------------------------------------------------------------------------------------------------


def test_devices(gpu: RecordingGpu) -> None:
    assert tf.devices() == ["/cpu:0", "/gpu:0"]
    with using_gpus([RecordingGpu(0), RecordingGpu(1)]):
        assert tf.devices() == ["/cpu:0", "/gpu:0", "/gpu:1"]
        assert tf.devices(tf.ConfigProto(device_count={"GPU": 1})) == ["/cpu:0", "/gpu:0"]


def test_a_device_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [RecordingGpu(0), RecordingGpu(1)]
    with watching(monkeypatch), using_gpus(gpus), tf.Graph().as_default():
        x = placeholder(3)
        made = {}
        for name in ("/cpu:0", "/gpu:0", "/gpu:1", None):
            with tf.device(name):
                made[name] = x + 1.0
        with tf.Session() as session:
            for name, taken in (("/cpu:0", ()), ("/gpu:1", (1,)), ("/gpu:0", (0,)), (None, (0,))):
                for one in gpus:
                    one.calls.clear()
                session.run(made[name], {x: ones(3)})
                assert tuple(one.info.index for one in gpus if "launch" in one.calls) == taken


def test_a_variable_moves_between_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [RecordingGpu(0), RecordingGpu(1)]
    with watching(monkeypatch), using_gpus(gpus), tf.Graph().as_default():
        w = tf.Variable(tf.zeros([2]), name="w")
        steps = []
        for name in ("/gpu:0", "/gpu:1"):
            with tf.device(name):
                steps.append(tf.assign_add(w, ones(2)))
        with tf.Session() as session:
            session.run(tf.initialize_all_variables())
            for count, step in enumerate([*steps, *steps, steps[0]], 1):
                np.testing.assert_array_equal(session.run(step), ones(2) * count)


def test_what_no_gpu_can_run_goes_to_the_cpu(gpu: RecordingGpu) -> None:
    x = placeholder()
    count = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, tf.matmul(a, a)), [tf.constant(0), tf.ones([9, 9])])
    with tf.device("/gpu:0"):
        asked = count[1] + x
    with tf.Session() as session:
        session.run(count[1] * x, {x: 1.0})
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"has no GPU kernel.*allow_soft_placement=True"):
            session.run(asked, {x: 1.0})
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(asked, {x: 1.0})
    assert "launch" not in gpu.calls


def test_a_gpu_that_is_not_there(gpu: RecordingGpu) -> None:
    with tf.device("/gpu:3"):
        x = tf.constant(1.0) + 1.0
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=r"exist: /cpu:0, /gpu:0"):
        session.run(x)


def test_placement_is_logged(gpu: RecordingGpu, capsys: pytest.CaptureFixture[str]) -> None:
    x = placeholder(3)
    y = tf.add(x, x, name="twice")
    with tf.Session(config=tf.ConfigProto(log_device_placement=True)) as session:
        session.run(y, {x: ones(3)})
    assert "twice: (Add): /job:localhost/replica:0/task:0/device:GPU:0" in capsys.readouterr().err


def test_arrays_on_the_device_are_fed_without_the_host(gpu: RecordingGpu) -> None:
    x = placeholder(4)
    address = gpu.allocate(16)
    (np.ctypeslib.as_array((ctypes.c_float * 4).from_address(address)))[:] = [1, 2, 3, 4]

    class OnDevice:
        __cuda_array_interface__ = {"shape": (4,), "typestr": "<f4", "data": (address, False), "version": 3}

    with tf.Session() as session:
        for _ in range(3):
            gpu.calls.clear()
            np.testing.assert_array_equal(session.run(x * 2.0, {x: OnDevice()}), [2, 4, 6, 8])
            assert "copy" in gpu.calls
        with tf.device("/cpu:0"):
            y = x * 3.0
        with pytest.raises(TypeError, match="copy it to the host first"):
            session.run(y, {x: OnDevice()})
        with pytest.raises(ValueError, match="exactly the tensor's type"):
            session.run(
                x * 2.0,
                {
                    x: type(
                        "Other",
                        (),
                        {
                            "__cuda_array_interface__": {
                                "shape": (4,),
                                "typestr": "<f8",
                                "data": (address, False),
                                "version": 3,
                            }
                        },
                    )()
                },
            )


# -- arrays on the device, code on the disk ----------------------------------------------------------------------------


def test_code_is_cached_by_content_capability_and_toolkit(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, other = Kernel("k", "def k(args, lo, hi):\n    pass\n"), Kernel("k", "def k(args, lo, hi):\n    return\n")
    keys = {modules.image_key(k, modules.CudaTarget(c)) for k in (kernel, other) for c in ((8, 0), (9, 0))}
    monkeypatch.setattr(modules, "assembler", lambda: None)
    assert len(keys | {modules.image_key(kernel, modules.CudaTarget((9, 0)))}) == 5


def test_the_doctor_looks_at_the_chain() -> None:
    topics = {finding.topic: finding.text for finding in examine()}
    assert "gpu" in topics
    assert "cuda" in topics
