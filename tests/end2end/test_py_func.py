"""Python functions in graphs."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import flowc as tf


def test_arrays_in_and_out(session: tf.Session) -> None:
    x = tf.placeholder(tf.float32, [None])
    outputs = tf.py_func(lambda a, b: (a * b, a.sum()), [x * 2.0, tf.constant(3.0)], [tf.float32, tf.float32])
    product, total = session.run(outputs, {x: [1, 2]})
    np.testing.assert_array_equal(product, np.array([6, 12], np.float32))
    assert total == 6
    (y,) = tf.py_func(np.sinh, [x], [tf.float32])
    y.set_shape([2])
    np.testing.assert_allclose(session.run(y + 1.0, {x: [0, 1]}), [1, 1 + np.sinh(1)], rtol=1e-6)


def test_scalars_strings_and_python_values(session: tf.Session) -> None:
    seen = []

    def function(number: np.int32, text: bytes, texts: np.ndarray) -> list[object]:
        seen.extend([type(number), type(text), texts.dtype])
        return [1.5, "ä", [b"x", b"y"], True, [[1, 2]]]

    types = [tf.float64, tf.string, tf.string, tf.bool, tf.int64]
    found = session.run(tf.py_func(function, [tf.constant(1), tf.constant("a"), tf.constant(["b"])], types))
    assert seen == [np.int32, bytes, np.dtype(object)]
    assert (found[0], found[1], found[2].tolist(), found[3]) == (1.5, "ä".encode(), [b"x", b"y"], True)
    assert (found[4].dtype, found[4].tolist()) == (np.int64, [[1, 2]])


def test_one_result_may_be_a_list_or_none_at_all(session: tf.Session) -> None:
    assert session.run(tf.py_func(lambda: [1.0, 2.0], [], tf.float32)[0]).tolist() == [1, 2]
    calls = []
    op = tf.py_func(lambda x: calls.append(int(x)), [tf.constant(4)], [])
    assert op == []
    session.run(tf.get_default_graph().get_operations()[-1])
    assert calls == [4]


def test_it_runs_each_time_and_only_when_needed(session: tf.Session) -> None:
    calls = []
    (x,) = tf.py_func(lambda: (calls.append(1), np.float32(len(calls)))[1], [], [tf.float32])
    other = tf.constant(1.0)
    assert [session.run(x), session.run(x * 2.0)] == [1, 4]
    session.run(other)
    assert len(calls) == 2


def test_exceptions_of_the_function(session: tf.Session) -> None:
    def function() -> float:
        raise ZeroDivisionError("by none")

    with pytest.raises(tf.errors.UnknownError, match="ZeroDivisionError: by none") as caught:
        session.run(tf.py_func(function, [], [tf.float32]))
    assert caught.value.op.type == "PyFunc"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (np.zeros(2, np.float64), "0-th value returned by pyfunc_.* is not float32, as announced: it is float64"),
        ("text", "is not float32"),
        ((1.0, 2.0), "returned 2 values, but 1 were announced"),
        (None, "returned 0 values"),
    ],
)
def test_results_that_do_not_fit(result: object, words: str, session: tf.Session) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        session.run(tf.py_func(lambda: result, [], [tf.float32]))


def test_a_result_that_the_function_keeps_is_copied(session: tf.Session) -> None:
    kept = np.zeros(2, np.float32)

    def function() -> np.ndarray:
        kept[:] += 1
        return kept

    (x,) = tf.py_func(function, [], [tf.float32])
    first = session.run(x)
    session.run(x)
    assert first.tolist() == [1, 1]


def test_functions_go_with_their_graph() -> None:
    def function() -> float:
        return 1.0

    gone = weakref.ref(function)
    with tf.Graph().as_default():
        tf.py_func(function, [], [tf.float32])
    del function
    gc.collect()
    assert gone() is None


def test_no_gradients_pass(graph: tf.Graph) -> None:
    x = tf.constant(1.0)
    assert tf.gradients(tf.py_func(lambda a: a, [x], [tf.float32]), x) == [None]
