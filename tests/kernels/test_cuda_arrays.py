"""Arrays on a GPU as feeds and fetches, by the array interface and by DLPack; the GPU is a stub."""

from __future__ import annotations

import ctypes
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.runtime.cuda import dlpack
from flowc.runtime.cuda.placement import using_gpus
from tests.gpu.recording_gpu import RecordingGpu
from tests.gpu.running import watching


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingGpu]:
    """The only GPU there is; its kernels run in the simulator."""
    found = RecordingGpu()
    with watching(monkeypatch), using_gpus([found]), tf.Graph().as_default():
        yield found


class OnDevice:
    """An array of another library's on a stub's memory, with the array interface."""

    def __init__(self, gpu: RecordingGpu, values: Any, offset: int = 0, **said: Any) -> None:
        array = np.array(values)
        self.address = gpu.allocate(array.nbytes + offset) + offset
        ctypes.memmove(self.address, array.ctypes.data, array.nbytes)
        known = {"shape": array.shape, "typestr": array.dtype.str, "data": (self.address, False), "version": 3}
        self.__cuda_array_interface__ = known | said


class Capsules:
    """An array that speaks DLPack only."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.streams: list[Any] = []

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __dlpack__(self, stream: Any = None) -> Any:
        self.streams.append(stream)
        return self.array.__dlpack__(stream=stream)


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def placeholder(*shape: int | None) -> Any:
    return tf.placeholder(tf.float32, list(shape), name="x")


# -- feeds -------------------------------------------------------------------------------------------------------------


def test_a_fed_array_is_read_where_it_lies(gpu: RecordingGpu) -> None:
    x = placeholder(4)
    y = x * 2.0
    first, second = OnDevice(gpu, floats(1, 2, 3, 4)), OnDevice(gpu, floats(5, 6, 7, 8))
    with tf.Session() as session:
        np.testing.assert_array_equal(session.run(y, {x: first}), [2, 4, 6, 8])
        for fed, expected, calls in (
            (first, [2, 4, 6, 8], []),
            (second, [10, 12, 14, 16], ["upload"]),  # another address: of argument blocks, not of arrays
            (second, [10, 12, 14, 16], []),
        ):
            gpu.calls.clear()
            np.testing.assert_array_equal(session.run(y, {x: fed}), expected)
            assert gpu.calls == [*calls, "replay", "synchronize"]
        np.testing.assert_array_equal(session.run(y, {x: floats(1, 1, 1, 1)}), [2, 2, 2, 2])
        np.testing.assert_array_equal(session.run(y, {x: floats(3, 1, 1, 1)}), [6, 2, 2, 2])
        np.testing.assert_array_equal(session.run(y, {x: first}), [2, 4, 6, 8])


def test_an_address_that_kernels_cannot_read_is_copied_within_the_device(gpu: RecordingGpu) -> None:
    x = placeholder(4)
    y, fed = x * 2.0, OnDevice(gpu, floats(1, 2, 3, 4), offset=4)
    with tf.Session() as session:
        for _ in range(3):
            gpu.calls.clear()
            np.testing.assert_array_equal(session.run(y, {x: fed}), [2, 4, 6, 8])
        assert gpu.calls == ["copy", "replay", "synchronize"]


def test_feeds_on_the_host_and_on_the_device_in_one_run(gpu: RecordingGpu) -> None:
    names = [tf.placeholder(tf.float32, [3]) for _ in range(3)]
    total = names[0] + 10.0 * names[1] + 100.0 * names[2]
    with tf.Session() as session:
        for on_device in (0b010, 0b101, 0b010, 0b000, 0b111, 0b000, 0b000):
            hosts = [floats(i, on_device, 1) for i in range(3)]
            feeds = [OnDevice(gpu, host) if on_device >> i & 1 else host for i, host in enumerate(hosts)]
            got = session.run(total, dict(zip(names, feeds, strict=True)))
            np.testing.assert_array_equal(got, hosts[0] + 10 * hosts[1] + 100 * hosts[2])


@pytest.mark.parametrize(("said", "waits"), [
    ({}, []), ({"stream": None}, []), ({"stream": 7}, ["wait_for 7"]), ({"version": 2}, ["wait_for 1"]),
])  # fmt: skip
def test_the_stream_that_makes_an_array_is_waited_for(gpu: RecordingGpu, said: Any, waits: list[str]) -> None:
    x = placeholder(2)
    y, fed = x + 1.0, OnDevice(gpu, floats(1, 2), **said)
    with tf.Session() as session:
        session.run(y, {x: fed})
        gpu.calls.clear()
        session.run(y, {x: fed})
        assert gpu.calls == [*waits, "replay", "synchronize"]


def test_a_capsule_is_fed(gpu: RecordingGpu) -> None:
    x = placeholder(2)
    y = x + 1.0
    with tf.Session() as session:
        fed = Capsules(session.run(y, {x: floats(1, 2)}, device_fetches=True))
        np.testing.assert_array_equal(session.run(y, {x: fed}), [3, 4])
        assert fed.streams == [dlpack.LEGACY_STREAM]
        assert f"wait_for {dlpack.LEGACY_STREAM}" in gpu.calls
        used = gpu.used
        del fed
        session.run(y, {x: floats(1, 2)}, device_fetches=True)
        assert gpu.used == used  # in the memory that the capsule has given back


def test_empty_arrays_and_scalars(gpu: RecordingGpu) -> None:
    x, rate = placeholder(None), tf.placeholder(tf.float32, [])
    with tf.Session() as session:
        empty = OnDevice(gpu, floats())
        empty.__cuda_array_interface__["data"] = (0, False)
        assert session.run(x * 2.0, {x: empty}).shape == (0,)
        result = session.run(rate * 2.0, {rate: OnDevice(gpu, np.float32(3))}, device_fetches=True)
        assert (result.shape, float(result.numpy())) == ((), 6.0)
        none = session.run(x * 2.0, {x: floats()}, device_fetches=True)
        assert none.__cuda_array_interface__["data"][0] == 0
        assert session.run(x + 1.0, {x: none}).shape == (0,)


def test_feeds_that_do_not_fit(gpu: RecordingGpu) -> None:
    x = placeholder(4)
    y = x * 2.0
    other = RecordingGpu(1)
    elsewhere = OnDevice(other, floats(1, 2, 3, 4))
    with tf.Session() as session:
        for fed, error, text in (
            (OnDevice(gpu, np.zeros(4)), ValueError, "exactly the tensor's type"),
            (OnDevice(gpu, floats(1, 2)), ValueError, "exactly the tensor's type"),
            (OnDevice(gpu, floats(1, 2, 3, 4), strides=(8,)), ValueError, "not C-contiguous"),
            (elsewhere, tf.errors.InvalidArgumentError, "not in the memory of /gpu:0"),
        ):
            with pytest.raises(error, match=text):
                session.run(y, {x: fed})
        np.testing.assert_array_equal(session.run(y, {x: floats(1, 2, 3, 4)}), [2, 4, 6, 8])


def test_a_run_on_the_cpu_says_how_to_feed_it(gpu: RecordingGpu) -> None:
    x, length = placeholder(4), tf.placeholder(tf.int32, [1], name="length")
    with tf.device("/cpu:0"):
        y = x * 3.0
    fed = OnDevice(gpu, floats(1, 2, 3, 4))
    with tf.Session() as session:
        for fetch, feeds in ((y, {x: fed}), (tf.fill(length, 1.0), {length: OnDevice(gpu, np.array([3], np.int32))})):
            with pytest.raises(TypeError, match=r"is fed an array on a GPU.*array\.cpu\(\)\.numpy\(\)"):
                session.run(fetch, feeds)


# -- fetches -----------------------------------------------------------------------------------------------------------


def test_a_fetch_stays_on_the_device_and_no_later_run_changes_it(gpu: RecordingGpu) -> None:
    x = placeholder(3)
    y = x + 1.0
    with tf.Session() as session:
        kept = [session.run(y, {x: floats(i, i, i)}, device_fetches=True) for i in range(5)]
        gpu.calls.clear()
        session.run(y, {x: floats(9, 9, 9)}, device_fetches=True)
        assert "download" not in gpu.calls
        assert "copy" not in gpu.calls
        assert [array.numpy().tolist() for array in kept] == [[i + 1.0] * 3 for i in range(5)]
        assert (kept[0].shape, kept[0].dtype, kept[0].device) == ((3,), np.float32, "/gpu:0")
        np.testing.assert_array_equal(np.asarray(kept[1]), [2, 2, 2])


def test_results_go_round_on_the_device(gpu: RecordingGpu) -> None:
    x = placeholder(3)
    double = x * 2.0
    with tf.Session() as session:
        value = session.run(double, {x: floats(1, 2, 3)}, device_fetches=True)
        step = session.make_callable(double, [x], device_fetches=True)
        for _ in range(3):
            value = step(value)
        used = gpu.used
        gpu.calls.clear()
        for _ in range(6):
            value = step(value)
        assert not {"allocate", "free", "download", "copy", "launch"} & set(gpu.calls)
        assert gpu.used == used
        np.testing.assert_array_equal(value.numpy(), floats(1, 2, 3) * 2**10)


def test_structures_constants_feeds_and_operations(gpu: RecordingGpu) -> None:
    x = placeholder(3)
    w = tf.Variable(tf.zeros([3]), name="w")
    constant, step = tf.constant(floats(7, 8, 9)), tf.assign_add(w, x)
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for fed in (floats(1, 2, 3), OnDevice(gpu, floats(1, 2, 3))):
            fetches = {"many": [constant, x, step.op], "sum": tf.reduce_sum(x)}
            got = session.run(fetches, {x: fed}, device_fetches=True)
            assert got["many"][2] is None
            assert [a.numpy().tolist() for a in (*got["many"][:2], got["sum"])] == [[7, 8, 9], [1, 2, 3], 6]
            host = session.run([x, constant], {x: fed})
            assert [array.tolist() for array in host] == [[1, 2, 3], [7, 8, 9]]
        value = session.run(w, device_fetches=True)
        session.run(step, {x: floats(1, 1, 1)})
        np.testing.assert_array_equal(value.numpy(), [2, 4, 6])  # a copy of the variable, not the variable


def test_memory_comes_back(gpu: RecordingGpu) -> None:
    x = placeholder(300)
    before = gpu.used
    with tf.Session() as session:
        y = x + 1.0
        kept = session.run(y, {x: np.zeros(300, np.float32)}, device_fetches=True)
    del session
    gc.collect()
    np.testing.assert_array_equal(kept.numpy(), np.ones(300))  # it outlives its session
    del kept
    gc.collect()
    assert gpu.used == before


def test_what_cannot_stay_on_a_device(gpu: RecordingGpu) -> None:
    x = placeholder(3)
    with tf.device("/cpu:0"):
        on_cpu = x + 1.0
    with_host = tf.py_func(lambda a: a + np.float32(1), [x], [tf.float32])[0]
    with tf.Session() as session:
        for fetch, why in ((on_cpu, "it takes the CPU"), (with_host, "operations of the host are a part of it")):
            with pytest.raises(tf.errors.InvalidArgumentError, match=why):
                session.run(fetch, {x: floats(1, 2, 3)}, device_fetches=True)
        with pytest.raises(ValueError, match="not both"):
            session.run(x + 2.0, {x: floats(1, 2, 3)}, device_fetches=True, trace="trace.json")


# -- DLPack ------------------------------------------------------------------------------------------------------------


class OnHost:
    """Memory of the host in one of flowc's capsules, for NumPy to take."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CPU, 0

    def __dlpack__(self, **said: Any) -> Any:
        a = self.array
        return dlpack.capsule_of(a.ctypes.data, a.shape, a.dtype.name, self.__dlpack_device__(), self)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int64", "uint8", "uint16", "bool", "complex64"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3, 1, 4)])
def test_numpy_takes_a_capsule_and_gives_one(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) % 2).astype(dtype).reshape(shape)
    owner = OnHost(array)
    alive = weakref.ref(owner)
    taken = np.from_dlpack(owner)
    del owner
    np.testing.assert_array_equal(taken, array)
    assert taken.dtype == array.dtype
    assert not array.size or taken.ctypes.data == array.ctypes.data
    assert alive() is not None
    del taken
    assert alive() is None
    capsule = array.__dlpack__()
    found = dlpack.read(capsule)
    assert (found.shape, found.dtype, found.device) == (array.shape, dtype, (dlpack.CPU, 0))


def test_a_capsule_says_what_it_cannot_do(gpu: RecordingGpu) -> None:
    x = placeholder(2)
    with tf.Session() as session:
        value = session.run(x + 1.0, {x: floats(1, 2)}, device_fetches=True)
        half = session.run(tf.cast(x, tf.bfloat16), {x: floats(1, 2)}, device_fetches=True)
    assert value.__dlpack_device__() == (dlpack.CUDA, 0)
    with pytest.raises(BufferError):
        value.__dlpack__(copy=True)
    with pytest.raises(BufferError):
        value.__dlpack__(dl_device=(dlpack.CPU, 0))
    assert dlpack.read(half.__dlpack__()).dtype == "bfloat16"
    assert not hasattr(half, "__cuda_array_interface__")
    with pytest.raises(ValueError, match="copy"):
        np.asarray(value, copy=False)
