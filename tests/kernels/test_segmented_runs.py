"""Runs that the host takes part in: ops of the host, outputs whose size a run finds, values that decide shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.host import registry as host_registry
from flowc.codegen.host.registry import host
from flowc.codegen.lower import registry as lower_registry
from flowc.codegen.lower.registry import bounded, lowering, sized
from flowc.framework import registry
from flowc.framework.building import apply
from flowc.framework.errors import InvalidArgumentError
from flowc.framework.registry import define


@pytest.fixture(scope="module", autouse=True)
def ops() -> Iterator[None]:
    """Three made-up op types: one of the host, one with bounded rows, one whose shape a value decides."""
    define("TestHost", shape=lambda c: [c.shapes[0]], inputs="x")
    define("TestEvens", shape=lambda c: [[None]], inputs="x")
    define(
        "TestRepeat", shape=lambda c: [[None]], inputs="x n", allowed=(frozenset([tf.float32]), frozenset([tf.int32]))
    )

    @host("TestHost")
    def double(op: Any, x: Any) -> Any:
        if np.any(x == 13):
            raise InvalidArgumentError(None, None, "thirteen")
        return x * 2

    @bounded("TestEvens")
    def evens(p: Any, op: Any, x: Any) -> Any:
        return [(p.map("mul", x, p.const(np.float32(3))), p.reduce("sum", p.map("cast", x, dtype=tf.int64), [0]))]

    @sized("TestRepeat", inputs=(1,))
    def repeat_sizes(attrs: Any, shapes: Any, values: Any) -> Any:
        return [(int(values[1]),)]

    @lowering("TestRepeat")
    def repeat(p: Any, op: Any, x: Any, n: Any) -> Any:
        return p.map("copy", p.broadcast(x, op.shapes[0]))

    yield
    for name in ("TestHost", "TestEvens", "TestRepeat"):
        registry._ops.pop(name)
    host_registry._functions.pop("TestHost")
    lower_registry._bounded.pop("TestEvens")
    lower_registry._lowerings.pop("TestRepeat")
    lower_registry._sizes.pop("TestRepeat")


def on_host(x: Any) -> Any:
    return apply("TestHost", [x])


def test_the_host_acts_between_two_native_parts() -> None:
    x = tf.placeholder(tf.float32, [None])
    y = tf.exp(on_host(x + 1.0) * 0.5)
    with tf.Session() as session:
        for values in ([1.0, 2.0], [3.0], []):
            np.testing.assert_allclose(session.run(y, {x: values}), np.exp(np.array(values) + 1), rtol=1e-6)
        assert "on the host: TestHost" in session.plan(y, {x: [1.0]}).explain()


def test_host_ops_in_a_row_and_scalars() -> None:
    y = on_host(on_host(tf.constant(2.0)))
    with tf.Session() as session:
        value = session.run(y)
        assert value == 8.0
        assert isinstance(value, np.float32)
        assert session.run([y, tf.constant(1), y.op]) == [8.0, 1, None]


def test_an_error_on_the_host_names_the_op_and_leaves_variables_alone() -> None:
    v = tf.Variable(1.0)
    checked = on_host(
        tf.constant(13.0),
    )
    update = v.assign_add(checked)
    early = v.assign(5.0)
    with tf.Session() as session:
        session.run(v.initializer)
        with pytest.raises(InvalidArgumentError, match="thirteen") as raised:
            session.run([early, update])
        assert raised.value.op.type == "TestHost"
        assert session.run(v) == 1.0


def test_a_variable_is_read_as_before_the_run_in_every_part() -> None:
    v = tf.Variable(1.0)
    new = v.assign(10.0)
    after_host = on_host(new * 1.0) + v
    with tf.control_dependencies([new]):
        dependent = on_host(v.ref()) + tf.identity(v.ref())
    with tf.Session() as session:
        session.run(v.initializer)
        assert session.run([after_host, v]) == [21.0, 1.0]
        assert session.run(v) == 10.0
        session.run(v.initializer)
        assert session.run(dependent) == 30.0
        assert session.run(v) == 10.0


def test_writes_of_an_early_part_are_seen_by_later_ones() -> None:
    v = tf.Variable(np.float32([1, 2]))
    first = v.assign_add([1.0, 1.0])
    with tf.control_dependencies([on_host(tf.identity(first))]):
        second = v.assign_add([10.0, 10.0])
    with tf.Session() as session:
        session.run(v.initializer)
        np.testing.assert_array_equal(session.run(second), [12, 13])
        np.testing.assert_array_equal(session.run(v), [12, 13])


def test_rows_that_the_run_counts() -> None:
    x = tf.placeholder(tf.float32, [None])
    rows = apply("TestEvens", [x])
    total = tf.reduce_sum(rows)
    with tf.Session() as session:
        for values in ([0, 1, 0, 1], [0, 0], [1, 1, 1]):
            expected = (np.float32(values) * 3)[: sum(values)]
            np.testing.assert_array_equal(session.run(rows, {x: values}), expected)
            assert session.run(total, {x: values}) == expected.sum()


def test_shapes_that_values_decide() -> None:
    n = tf.placeholder(tf.int32, [])
    y = apply("TestRepeat", [tf.constant(2.0), n]) + 1.0
    computed = apply("TestRepeat", [tf.constant(2.0), n * 2]) + 1.0
    with tf.Session() as session:
        for count in (3, 0, 5):
            np.testing.assert_array_equal(session.run(y, {n: count}), [3.0] * count)
            np.testing.assert_array_equal(session.run(computed, {n: count}), [3.0] * (2 * count))


def test_a_shape_computed_from_a_variable() -> None:
    size = tf.Variable(3)
    filled = tf.fill(tf.pack([size, 2]), 7.0)
    grown = size.assign_add(1)
    with tf.Session() as session:
        session.run(size.initializer)
        assert session.run(filled).shape == (3, 2)
        session.run(grown)
        value, _ = session.run([filled, grown])
        assert value.shape == (4, 2)
        assert session.run(tf.reduce_sum(filled)) == 70.0


def test_strings_pass_through_array_ops() -> None:
    words = tf.constant(["a", "bc", "def"])
    picked = tf.concat(0, [tf.gather(words, [2, 0]), tf.placeholder(tf.string, [None])])
    shaped = tf.reshape(picked, [-1, 1])
    v = tf.Variable(["x", "y"])
    with tf.Session() as session:
        feed = {picked.op.inputs[2]: ["é"]}
        assert session.run(shaped, feed).tolist() == [[b"def"], [b"a"], ["é".encode()]]
        with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized"):
            session.run(v)
        session.run(v.initializer)
        assert session.run(v).tolist() == [b"x", b"y"]
        assert session.run(tf.gather(v, 1)) == b"y"


def test_a_traced_run_shows_both_sides(tmp_path: Any) -> None:
    y = on_host(tf.exp(tf.constant([1.0])))
    with tf.Session() as session:
        session.run(y, trace=tmp_path / "t.json")
    text = (tmp_path / "t.json").read_text()
    assert "TestHost" in text
    assert '"kernel"' in text


def test_ahead_of_time_says_why_not() -> None:
    with pytest.raises(tf.errors.UnimplementedError, match=r"TestHost.*ahead"):
        tf.compile(on_host(tf.constant(1.0)))


def test_writes_keep_their_order_when_the_first_one_waits() -> None:
    v = tf.Variable([1.0])
    with tf.control_dependencies([on_host(tf.constant(2.0))]):
        first = tf.assign(v, [5.0])
    second = tf.assign_sub(v, [1.0])
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        session.run([first, second])
        assert session.run(v).tolist() == [4.0]
