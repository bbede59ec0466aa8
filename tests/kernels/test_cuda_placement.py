"""Which device a run takes, where a stub stands in for GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.runtime.cuda.placement import using_gpus
from tests.gpu.recording_gpu import RecordingGpu
from tests.gpu.running import watching

Gpus = list[RecordingGpu]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpus]:
    """Two GPUs; their kernels run in the simulator."""
    found = [RecordingGpu(0), RecordingGpu(1)]
    with watching(monkeypatch), using_gpus(found), tf.Graph().as_default():
        yield found


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingGpu]:
    """The only GPU there is."""
    found = RecordingGpu()
    with watching(monkeypatch), using_gpus([found]), tf.Graph().as_default():
        yield found


def placeholder(*shape: int) -> Any:
    return tf.placeholder(tf.float32, list(shape), name="x")


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def taken(gpus: Gpus, run: Any) -> list[int]:
    """The GPUs that launch kernels in a run."""
    for one in gpus:
        one.calls.clear()
    run()
    return [one.info.index for one in gpus if {"launch", "replay"} & set(one.calls)]


def test_devices(gpu: RecordingGpu) -> None:
    assert tf.devices() == ["/cpu:0", "/gpu:0"]
    with using_gpus([RecordingGpu(0), RecordingGpu(1)]):
        assert tf.devices() == ["/cpu:0", "/gpu:0", "/gpu:1"]
        assert tf.devices(tf.ConfigProto(device_count={"GPU": 1})) == ["/cpu:0", "/gpu:0"]


def test_a_device_is_asked_for_by_name(gpus: Gpus) -> None:
    x = placeholder(3)
    made = {}
    for name in ("/cpu:0", "/gpu:0", "/gpu:1", None):
        with tf.device(name):
            made[name] = x + 1.0
    with tf.Session() as session:
        for name, expected in (("/cpu:0", []), ("/gpu:1", [1]), ("/gpu:0", [0]), (None, [0]), ("/gpu:1", [1])):
            assert taken(gpus, lambda name=name: session.run(made[name], {x: ones(3)})) == expected


def test_a_variable_moves_between_two_gpus(gpus: Gpus) -> None:
    w = tf.Variable(tf.zeros([2]), name="w")
    steps = []
    for name in ("/gpu:0", "/gpu:1"):
        with tf.device(name):
            steps.append(tf.assign_add(w, ones(2)))
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        order = [*steps, *steps, steps[0], steps[0], steps[0], steps[1], steps[1], steps[1], steps[0]]
        for count, step in enumerate(order, 1):
            np.testing.assert_array_equal(session.run(step), ones(2) * count)


def test_where_memory_is_told_to_be_says_less_than_where_computing_is(gpus: Gpus) -> None:
    with tf.device("/gpu:1"):
        w = tf.Variable(ones(2), name="w")
    with tf.device("/gpu:0"):
        asked = w + 1.0
    with tf.device("/cpu:0"):
        on_cpu = w + 3.0
    unasked = w + 2.0
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for fetch, expected in ((asked, [0]), (unasked, [1]), (on_cpu, [])):
            assert taken(gpus, lambda fetch=fetch: session.run(fetch)) == expected


def towers() -> tuple[Any, Any]:
    x = placeholder(4)
    results = []
    for number, share in enumerate(tf.split(0, 2, x)):
        with tf.device(f"/gpu:{number}"):
            results.append(tf.reduce_sum(share * float(number + 1), name=f"tower_{number}"))
    return x, tf.add_n(results)


def test_operations_of_a_run_on_two_gpus_are_an_error(gpus: Gpus) -> None:
    x, total = towers()
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError) as caught:
        session.run(total, {x: ones(4)})
    for part in ("asks for /gpu:0 and ", "asks for /gpu:1", "one run takes one GPU", "allow_soft_placement=True"):
        assert part in caught.value.message


def test_under_soft_placement_the_first_gpu_takes_all(gpus: Gpus, caplog: pytest.LogCaptureFixture) -> None:
    x, total = towers()
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        results: list[Any] = []
        assert taken(gpus, lambda: results.append(session.run(total, {x: ones(4)}))) == [0]
        assert results == [6.0]
    assert "one run takes one GPU, so all of this run is on /gpu:0" in caplog.text


def test_towers_on_fewer_gpus_than_they_ask_for(gpu: RecordingGpu, caplog: pytest.LogCaptureFixture) -> None:
    x, total = towers()
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=r"/device:GPU:1.*does not exist"):
        session.run(total, {x: ones(4)})
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        assert session.run(total, {x: ones(4)}) == 6.0
    assert "launch" in gpu.calls
    assert not caplog.text


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


def test_a_run_that_goes_to_the_cpu_after_all_says_so(gpu: RecordingGpu, capsys: pytest.CaptureFixture[str]) -> None:
    x = placeholder(9, 9)
    loop = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, tf.matmul(a, a)), [tf.constant(0), x])
    with tf.Session(config=tf.ConfigProto(log_device_placement=True)) as session:
        session.run(loop[1], {x: ones(9, 9)})
    assert "on the CPU: " in capsys.readouterr().err
