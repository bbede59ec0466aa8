"""Checks of numbers, assertions and printing."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.host.debugging import summary
from flowc.codegen.reference import run_reference

NAN, INF = np.nan, np.inf


def message_of(session: tf.Session, fetch: object, feeds: dict[tf.Tensor, object]) -> str:
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        session.run(fetch, feeds)
    return str(raised.value.message)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_check_numerics(dtype: str) -> None:
    """ "CheckNumerics" against the Reference."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(dtype, [None])
        checked = tf.check_numerics(x, "at {0}")
    with tf.Session(graph=graph) as session:
        for fine in ([], [1.0, -0.0, 3.0]):
            result = session.run(checked, {x: fine})
            np.testing.assert_array_equal(np.signbit(result), np.signbit(np.array(fine)))
        for bad, words in (([1, NAN], "NaN"), ([-INF, 1], "Inf"), ([NAN, 0, INF], "Inf and NaN")):
            expected = f"at {{0}} : Tensor had {words} values"
            assert message_of(session, checked, {x: bad}) == expected
            with pytest.raises(tf.errors.InvalidArgumentError, match=words):
                run_reference([checked], {x: bad}, {})


def test_verify_tensor_all_finite() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [2, 2])
        verified = tf.verify_tensor_all_finite(x, "not finite")
        by_control = verified.op.control_inputs
    assert [op.type for op in by_control] == ["CheckNumerics"]
    with tf.Session(graph=graph) as session:
        np.testing.assert_array_equal(session.run(verified, {x: np.eye(2)}), np.eye(2))
        assert "not finite" in message_of(session, verified, {x: [[0, 0], [NAN, 0]]})


def test_a_failed_check_leaves_variables_alone() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [2])
        v = tf.Variable(tf.zeros([2]))
        with tf.control_dependencies([tf.check_numerics(x, "x")]):
            assigned = tf.assign(v, x)
        initialize = tf.initialize_all_variables()
    with tf.Session(graph=graph) as session:
        session.run(initialize)
        message_of(session, assigned, {x: [1.0, NAN]})
        np.testing.assert_array_equal(session.run(v), [0, 0])
        session.run(assigned, {x: [1.0, 2.0]})
        np.testing.assert_array_equal(session.run(v), [1, 2])


def test_add_check_numerics_ops() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [2], name="x")
        root = tf.sqrt(x, name="root")
        tf.cond(x[0] > 0, lambda: root, lambda: tf.log(x))
        tf.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)])
        checks = tf.add_check_numerics_ops()
    with tf.Session(graph=graph) as session:
        session.run(checks, {x: [1.0, 4.0]})
        assert message_of(session, checks, {x: [-1.0, 4.0]}) == "root:0 : Tensor had NaN values"


def test_assert() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None])
        low = tf.Assert(tf.reduce_all(x < 3.0), [x, tf.constant("limit")], summarize=2)
        with tf.control_dependencies([low]):
            y = x * 2.0
    with tf.Session(graph=graph) as session:
        np.testing.assert_array_equal(session.run(y, {x: [1.0, 2.0]}), [2, 4])
        assert message_of(session, y, {x: [1.0, 2.5, 4.0]}) == "assertion failed: [1 2.5...] [limit]"


def test_print(capfd: pytest.CaptureFixture[str]) -> None:
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None])
        y = tf.Print(x, [x, tf.shape(x), tf.constant(True)], "x = ", first_n=2) + 1.0
        always = tf.Print(x, [x], summarize=-1)
    with tf.Session(graph=graph) as session:
        for _ in range(3):
            np.testing.assert_array_equal(session.run(y, {x: [1, 0.1, 1 / 3, 4]}), np.float32([2, 1.1, 4 / 3, 5]))
        assert capfd.readouterr().err == "x = [1 0.1 0.33333334...][4][1]\n" * 2
        session.run(always, {x: [1, 2, 3, 4, 5]})
        assert capfd.readouterr().err == "[1 2 3 4 5]\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.1), "0.1"),
        (np.float64(1 / 3), "0.33333333333333331"),
        (np.float32([NAN, INF, -0.0]), "nan inf -0"),
        (np.array([[1, 2], [3, 4]]), "1 2 3..."),
        (np.array([b"a", b"\xff"], object), "a \\xff"),
        (np.complex64(1 + 2j), "(1,2)"),
        (np.zeros(0), ""),
    ],
)
def test_summaries(value: np.ndarray, text: str) -> None:
    assert summary(np.asarray(value), 3) == text
