"""Keys of plans on disk: equal for equal requests, and different for whatever changes the plan."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.feed_spec import FeedSpec, NeedsFeedValues
from flowc.codegen.plan import Plan
from flowc.codegen.prune import needed_ops
from flowc.runtime import kernel_cache, plan_cache
from flowc.runtime.kernel_cache import CacheWarning
from tests.work import calls_of

Build = Callable[[], tuple[list[Any], list[Any], list[FeedSpec]]]


def key_of(build: Build) -> str:
    """The key of what `build` returns: fetches, targets, feeds."""
    with tf.Graph().as_default():
        fetches, targets, feeds = build()
        ops = needed_ops(fetches, targets, {feed.tensor for feed in feeds})
        return plan_cache.plan_key(ops, fetches, targets, feeds)


def sample(
    constant: Any = 2.0,
    dtype: Any = tf.float32,
    name: str = "x",
    shape: tuple[int, ...] = (2, 3),
    op: Any = tf.add,
    transpose: bool = False,
    value: Any = None,
    controlled: bool = False,
    unused: bool = False,
) -> Build:
    """A small graph with one thing or another changed."""

    def build() -> tuple[list[Any], list[Any], list[FeedSpec]]:
        x = tf.placeholder(dtype, [None, 3], name=name)
        if unused:
            tf.constant(1.0, name="unused")
        w = tf.Variable(np.ones((4, 3), dtype.as_numpy_dtype), name="w")
        with tf.control_dependencies([w.initializer] if controlled else []):
            y = op(x, tf.constant(constant, dtype=dtype))
        z = tf.matmul(y, tf.constant(np.ones((4, 3)), dtype=dtype), transpose_b=True)
        fetches = [tf.identity(z, name="z")] + ([tf.matmul(x, w, transpose_b=True)] if transpose else [])
        return fetches, [], [FeedSpec(x, shape, value)]

    return build


CHANGES: dict[str, dict[str, Any]] = {
    "a constant": {"constant": 3.0},
    "the sign of zero": {"constant": -0.0},
    "a type": {"dtype": tf.float64},
    "a name": {"name": "images"},
    "a fed shape": {"shape": (5, 3)},
    "an op type": {"op": tf.sub},
    "one more fetch": {"transpose": True},
    "a fed value": {"value": np.zeros((2, 3), np.float32)},
    "a control input": {"controlled": True},
}


def test_keys_tell_requests_apart() -> None:
    keys = {what: key_of(sample(**change)) for what, change in CHANGES.items()}
    keys["nothing"] = key_of(sample())
    keys["zero"] = key_of(sample(constant=0.0))
    assert len(set(keys.values())) == len(keys), keys


def test_equal_requests_have_equal_keys() -> None:
    assert key_of(sample()) == key_of(sample())
    assert key_of(sample(unused=True)) == key_of(sample()), "what the run does not need is not in the key"


def test_large_constants_count_by_their_content() -> None:
    values = np.zeros((1000, 3))
    changed = values.copy()
    changed[500, 1] = 1e-9
    keys = {key_of(sample(constant=v)) for v in (values[0], changed[500])}
    assert len(keys) == 2


def test_keys_are_the_same_in_every_process() -> None:
    program = (
        "import flowc as tf; from flowc.runtime import plan_cache; from flowc.codegen.prune import needed_ops\n"
        "y = tf.tanh(tf.constant([1.0, 2.0], name='k')) * 3.0\n"
        "print(plan_cache.plan_key(needed_ops([y], [], []), [y], [], []))"
    )
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in "ab"]
    assert len({run.stdout for run in runs}) == 1


def test_hashing_does_little_an_operation() -> None:
    with tf.Graph().as_default():
        row = [tf.placeholder(tf.float32, [4], name="x")] * 20
        x = row[0]
        for _ in range(50):
            row = [tf.tanh(a) + b for a, b in zip(row, [*row[1:], row[0]], strict=True)]
        ops = needed_ops(row, [], {x})
        feeds = [FeedSpec(x, (4,))]
        plan_cache.plan_key(ops, row, [], feeds)  # sources are hashed once a process
        assert len(ops) == 2000
        assert calls_of(lambda: plan_cache.plan_key(ops, row, [], feeds)) < 6 * len(ops)


# -- what is stored ----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> kernel_cache.BlobStore:
    """The store of plans, in an empty folder."""
    monkeypatch.setenv("FLOWC_CACHE_DIR", str(tmp_path))
    return kernel_cache.store("plans")


def small_plan() -> Plan:
    none = np.zeros(0, np.int64)
    return Plan((), (), (), (), (), none.reshape(0, 6), none, none.reshape(0, 3), arena_size=64)


KEY = "0" * 64


def test_what_is_stored_is_found(store: kernel_cache.BlobStore) -> None:
    assert plan_cache.lookup(KEY, []) is None
    plan_cache.insert(KEY, small_plan())
    found = plan_cache.lookup(KEY, [])
    assert found is not None
    assert found.arena_size == 64


def test_a_damaged_plan_is_a_miss_with_a_warning(store: kernel_cache.BlobStore) -> None:
    store.put(KEY, b"flowcpln, but not really")
    with pytest.warns(CacheWarning, match="flowc makes the plan again"):
        assert plan_cache.lookup(KEY, []) is None


def test_a_request_for_values_is_stored_too(store: kernel_cache.BlobStore) -> None:
    with tf.Graph().as_default():
        x, n = tf.placeholder(tf.float32, [6], name="x"), tf.placeholder(tf.int32, [2], name="n")
        y = tf.reshape(x, n)
        feeds = [FeedSpec(x, (6,)), FeedSpec(n, (2,))]
        for _ in range(2):
            with pytest.raises(NeedsFeedValues) as request:
                plan_cache.plan_for([y], [], feeds)
            assert request.value.tensors == (n,)
        assert store.info().entries == 1
        valued = [feeds[0], FeedSpec(n, (2,), np.array([2, 3], np.int32))]
        assert plan_cache.plan_for([y], [], valued).fetches[0].shape == (2, 3)
        assert store.info().entries == 2


def test_too_many_plans_lose_their_oldest_half(store: kernel_cache.BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_cache, "_MOST_ENTRIES", 10)
    monkeypatch.setattr(plan_cache, "_PUTS_BETWEEN_TRIMS", 12)
    monkeypatch.setattr(plan_cache, "_puts", 0)
    for number in range(12):
        plan_cache.insert(f"{number:064x}", small_plan())
    assert store.info().entries == 7
    assert plan_cache.lookup(f"{11:064x}", []) is not None


def test_plans_with_large_constants_are_not_stored(
    store: kernel_cache.BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_cache, "_MOST_BYTES", 100)
    plan = small_plan()
    plan.constants = (np.zeros(1000),)
    plan_cache.insert(KEY, plan)
    assert store.info().entries == 0


def test_a_second_session_finds_the_plan(store: kernel_cache.BlobStore) -> None:
    def run() -> Any:
        with tf.Graph().as_default(), tf.Session() as session:
            x = tf.placeholder(tf.float32, [None], name="x")
            return session.plan(tf.reduce_sum(x * 2.0), {x: [1.0, 2.0]}).plan

    first = run()
    assert store.info().entries == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = run()
    assert second.kernels == first.kernels
    assert json.dumps(second.explanation) == json.dumps(first.explanation)
    assert store.info().entries == 1
