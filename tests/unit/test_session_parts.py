"""What sessions are made of: variables' storage, device placement, warnings of plan misses, traces."""

from __future__ import annotations

import ctypes
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.plan import ENTRY_WIDTH, Column, Kernel, Plan, VariableSpec
from flowc.framework.debug import debug_level
from flowc.runtime import trace
from flowc.runtime.devices import devices, place
from flowc.runtime.misses import MissWatch, PlanMissWarning
from flowc.runtime.signature import Form, Signature
from flowc.runtime.variables_store import VariableStore


def plan_of(*variables: VariableSpec, kernels: tuple[Kernel, ...] = (), entries: int = 0) -> Plan:
    table = np.zeros((entries, ENTRY_WIDTH), np.int64)
    table[:, Column.BYTES] = 1000
    words, relocations = np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
    labels = tuple(f"op {index}" for index in range(entries))
    return Plan((), (), variables, (), kernels, table, words, relocations, 0, labels=labels)


class TestVariableStore:
    def test_a_variable_has_a_value_once_it_was_written(self) -> None:
        store, written = VariableStore(), VariableSpec("w", "float32", (3,), reads=False, writes=True)
        read = VariableSpec("w", "float32", (3,))
        assert store.uninitialized([written]) == []
        assert store.uninitialized([read]) == ["w"]
        address = store.address("w", "float32", (3,))
        assert address % 64 == 0
        assert store.address("w", "float32", (3,)) == address
        with pytest.raises(KeyError):
            store.get("w")
        store.mark_written(plan_of(written))
        assert store.uninitialized([read]) == []
        assert store.initialized_names() == ["w"]

    def test_values_set_are_got(self) -> None:
        store = VariableStore()
        store.set("w", np.arange(6.0).reshape(2, 3))
        epoch, address = store.lock.epoch, store.address("w", "float64", (2, 3))
        value = store.get("w")
        np.testing.assert_array_equal(value, np.arange(6.0).reshape(2, 3))
        value[:] = 0
        store.set("w", np.ones((2, 3)))
        np.testing.assert_array_equal(store.get("w"), np.ones((2, 3)))
        assert (store.lock.epoch, store.address("w", "float64", (2, 3))) == (epoch, address)
        store.set("w", np.ones(2))
        assert store.lock.epoch == epoch + 1

    def test_a_plan_that_overwrites_may_change_the_shape(self) -> None:
        store = VariableStore()
        store.set("w", np.ones(3, np.float32))
        epoch = store.lock.epoch
        with pytest.raises(ValueError, match=r"has shape \(3,\) now"):
            store.prepare(plan_of(VariableSpec("w", "float32", (2,), reads=True, writes=True)))
        assert store.lock.epoch == epoch
        store.prepare(plan_of(VariableSpec("w", "float32", (2,), reads=False, writes=True)))
        assert store.lock.epoch == epoch + 1
        assert store.initialized_names() == []

    def test_empty_and_scalar_variables(self) -> None:
        store = VariableStore()
        for shape in ((), (0,), (2, 0, 3)):
            name = f"w{shape}"
            store.set(name, np.zeros(shape, np.int8))
            assert store.get(name).shape == shape

    def test_state_words(self) -> None:
        store = VariableStore()
        addresses = [store.state_address(f"op{index}/counter") for index in range(200)]
        assert len(set(addresses)) == 200
        assert [store.state_address(f"op{index}/counter") for index in range(200)] == addresses
        assert ctypes.c_int64.from_address(addresses[70]).value == 0

    def test_keys_are_drawn(self) -> None:
        words = [ctypes.c_int64.from_address(VariableStore().state_address("op/key")).value for _ in range(4)]
        assert len(set(words)) > 1


class TestDevices:
    def test_what_there_is(self) -> None:
        assert devices() == ["/cpu:0"]
        assert devices(tf.ConfigProto(device_count={"CPU": 2})) == ["/cpu:0", "/cpu:1"]

    @pytest.mark.parametrize("name", ["", "/cpu:0", "/device:CPU:0", "/job:localhost/replica:0/task:0/cpu:0", "/cpu:*"])
    def test_good_names(self, name: str) -> None:
        with tf.device(name):
            op = tf.constant(1.0).op
        assert place([op], tf.ConfigProto()) == ["/job:localhost/replica:0/task:0/device:CPU:0"]

    @pytest.mark.parametrize("name", ["/gpu:0", "/cpu:1", "/job:ps/task:0", "/task:1"])
    def test_devices_that_do_not_exist(self, name: str) -> None:
        with tf.device(name):
            op = tf.constant(1.0).op
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"/cpu:0.*allow_soft_placement=True") as caught:
            place([op], tf.ConfigProto())
        assert caught.value.op is op
        assert place([op], tf.ConfigProto(allow_soft_placement=True))[0].endswith("CPU:0")

    def test_placements_are_logged(self, capsys: pytest.CaptureFixture[str]) -> None:
        place([tf.constant(1.0, name="one").op], tf.ConfigProto(log_device_placement=True))
        assert "one: (Const): /job:localhost/replica:0/task:0/device:CPU:0" in capsys.readouterr().err


class TestMisses:
    def test_a_shape_that_keeps_changing(self) -> None:
        x = tf.placeholder(tf.float32, name="x")
        signature, watch = Signature((x,), (), (x,)), MissWatch()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for size in range(20):
                reason = watch.note(signature, form := Form(((size,),)), 10)
                signature.plans[form] = None  # type: ignore[assignment]
        assert reason == "the shape of the feed 'x:0' changed from (18,) to (19,)"
        assert [w.category for w in caught] == [PlanMissWarning]
        assert caught[0].filename == __file__
        assert "'x:0' changed from (7,) to (8,)" in str(caught[0].message)

    def test_a_graph_that_keeps_growing(self) -> None:
        watch = MissWatch()

        def grow() -> None:
            for step in range(10):
                watch.note(Signature((), (), ()), Form(()), 3 * step)

        with pytest.warns(PlanMissWarning, match="the graph grew by 3 operations"):
            grow()

    def test_many_fetches_of_one_graph_are_no_mistake(self) -> None:
        watch = MissWatch()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(20):
                assert watch.note(Signature((), (), ()), Form(()), 100) == "first run of these fetches and feeds"


def test_a_trace_leaves_out_what_was_skipped(tmp_path: Path) -> None:
    plan = plan_of(kernels=(Kernel("mul_3f2a", ""),), entries=2)
    times = np.array([[5_000_000, 5_002_000], [0, 0]], np.int64)
    trace.write_trace(tmp_path / "t.json", [trace.PlanTimes(plan, times)])
    (event,) = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert (event["name"], event["ts"], event["dur"], event["args"]["GB/s"]) == ("mul_3f2a", 0, 2, 0.5)
    assert event["args"]["ops"] == "op 0"
    (line,) = trace.describe([trace.PlanTimes(plan, times)])
    assert "2.00 us" in line
    assert "0.50 GB/s" in line


def test_debug_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWC_DEBUG", "2")
    assert debug_level() == 2
    monkeypatch.setenv("FLOWC_DEBUG", "much")
    with pytest.raises(ValueError, match="FLOWC_DEBUG"):
        debug_level()
