"""`tf.test`: its assertions hold and fail as they should, its sessions are where they should be."""

from __future__ import annotations

import threading
import unittest
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.framework.scopes import DEFAULT_GRAPH_SEED


class Empty(tf.test.TestCase):
    def runTest(self) -> None:
        pass


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    """The global default graph, emptied: `setUp` empties it too, which no block of another graph allows."""
    tf.reset_default_graph()
    yield tf.get_default_graph()
    tf.reset_default_graph()


@pytest.fixture
def case() -> Any:
    case = Empty()
    case.setUp()
    yield case
    case.tearDown()


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_a_test_has_one_session(case: Any) -> None:
    assert tf.get_default_graph().seed == DEFAULT_GRAPH_SEED
    v = tf.Variable(1.0)
    with case.test_session() as first:
        assert tf.get_default_session() is first
        v.initializer.run()
        assert tf.neg(v).device == "/device:CPU:0"
    with case.test_session(use_gpu=True) as again:
        assert again is first
        assert tf.neg(v).eval() == -1
        assert tf.neg(v).device == ""
    with case.test_session(force_gpu=True):
        assert tf.neg(v).device == "/device:GPU:0"


def test_a_graph_of_its_own_has_a_session_of_its_own(case: Any) -> None:
    with tf.Graph().as_default() as graph:
        c = tf.constant(2)
    with case.test_session(graph=graph) as session:
        assert session.graph is graph
        assert c.eval() == 2
    with pytest.raises(RuntimeError, match="closed"):
        session.run(c)


def test_setup_empties_the_default_graph() -> None:
    case = Empty()
    for _ in range(2):
        case.setUp()
        assert tf.constant(0).name == "Const:0"
        with case.test_session() as session:
            pass
        case.tearDown()
        with pytest.raises(RuntimeError, match="closed"):
            session.run("Const:0")


def test_the_runner_runs_test_cases() -> None:
    class Case(tf.test.TestCase):
        def testGood(self) -> None:
            with self.test_session():
                self.assertAllEqual(tf.constant([1, 2]).eval(), [1, 2])

        def testBad(self) -> None:
            with self.test_session():
                self.assertAllEqual(tf.constant([1, 2]).eval(), [1, 3])

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert (result.testsRun, len(result.failures), result.errors) == (2, 1, [])


# -- threads -----------------------------------------------------------------------------------------------------------


def test_the_error_of_a_thread_fails_the_test(case: Any) -> None:
    gate = threading.Event()

    def work(value: int, fail: bool = False) -> None:
        gate.wait()
        if fail:
            raise KeyError("in the thread")

    good = case.checkedThread(work, args=(1,))
    bad = case.checkedThread(work, args=(1,), kwargs={"fail": True})
    good.start()
    bad.start()
    assert good.is_alive()
    gate.set()
    good.join()
    with pytest.raises(AssertionError, match="Error in checkedThread: 'in the thread'"):
        bad.join()


def test_a_thread_must_be_joined() -> None:
    case = Empty()
    case.checkedThread(lambda: None).start()
    with pytest.raises(AssertionError, match="not joined"):
        case.tearDown()


# -- assertions --------------------------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("holds", "fails"),
    [
        (lambda c: c.assertNear(1.0, 1.1, 0.2), lambda c: c.assertNear(1.0, 1.1, 0.05)),
        (lambda c: c.assertArrayNear([1, 2], [1.1, 2], 0.2), lambda c: c.assertArrayNear([1, 2], [1, 2.3], 0.2)),
        (lambda c: c.assertArrayNear([], [], 0.2), lambda c: c.assertArrayNear([1], [1, 2], 0.2)),
        (lambda c: c.assertNDArrayNear([1, 2], [1.1, 2], 0.2), lambda c: c.assertNDArrayNear([3, 4], [0, 0], 4.9)),
        (lambda c: c.assertAllClose([1, INF], [1 + 1e-7, INF]), lambda c: c.assertAllClose([1.0], [1.00001])),
        (lambda c: c.assertAllClose(1, 1.05, rtol=0.1), lambda c: c.assertAllClose([1.0, 1.0], 1.0)),
        (lambda c: c.assertAllClose([], []), lambda c: c.assertAllClose([NAN], [NAN])),
        (lambda c: c.assertAllEqual([1, NAN], [1, NAN]), lambda c: c.assertAllEqual([1, NAN], [1, 2])),
        (lambda c: c.assertAllEqual([b"a"], [b"a"]), lambda c: c.assertAllEqual([b"a"], [b"b"])),
        (lambda c: c.assertDeviceEqual("/cpu:0", "/device:CPU:0"), lambda c: c.assertDeviceEqual("/cpu:0", "/gpu:0")),
        (lambda c: c.assertStartsWith("abc", "ab"), lambda c: c.assertStartsWith("abc", "b")),
        (
            lambda c: c.assertShapeEqual(np.zeros([2, 3]), tf.zeros([2, 3])),
            lambda c: c.assertShapeEqual(np.zeros([2]), tf.zeros([2, 3])),
        ),
        (
            lambda c: c.assertProtoEquals("name: 'a' op: 'b'", tf.NodeDef(name="a", op="b")),
            lambda c: c.assertProtoEquals(tf.NodeDef(name="a"), tf.NodeDef(name="b")),
        ),
        (lambda c: c.assertItemsEqual([1, 2], [2, 1]), lambda c: c.assertItemsEqual([1], [2])),
    ],
)
def test_assertions(case: Any, holds: Callable[[Any], None], fails: Callable[[Any], None]) -> None:
    holds(case)
    with pytest.raises(AssertionError):
        fails(case)


def test_arguments_of_other_types(case: Any) -> None:
    with pytest.raises(TypeError, match="np_array must be a Numpy ndarray"):
        case.assertShapeEqual([1], tf.zeros([1]))
    with pytest.raises(TypeError, match="tf_tensor must be a Tensor"):
        case.assertShapeEqual(np.zeros(1), np.zeros(1))


def test_errors_of_a_run(case: Any) -> None:
    with case.test_session():
        v = tf.Variable(1.0, name="v")
        for expected in ("uninitialized value v", lambda e: e.op is v.op, "FailedPre|v"):
            with case.assertRaisesOpError(expected):
                v.eval()
        with (
            pytest.raises(AssertionError, match="does not match 'something else'"),
            case.assertRaisesOpError("something else"),
        ):
            v.eval()
        with case.assertRaisesWithPredicateMatch(ValueError, "rank 2"):
            tf.matmul(v, v)
        with pytest.raises(AssertionError, match="OpError not raised"), case.assertRaisesOpError(""):
            pass


def test_graph_definitions(case: Any) -> None:
    x = tf.placeholder(tf.float32, name="x")
    with tf.control_dependencies([x, tf.no_op(name="n")]):
        tf.identity(tf.constant(1.0, name="c"), name="y")
    one = tf.get_default_graph().as_graph_def()
    other = tf.GraphDef.FromString(one.SerializeToString())
    other.node.sort(key=lambda node: node.name, reverse=True)
    tf.test.assert_equal_graph_def(one, other)
    other.node[0].attr["T"].type = tf.int32.as_datatype_enum
    with pytest.raises(AssertionError, match=r"Node 'y': attributes \['T'\] differ"):
        tf.test.assert_equal_graph_def(one, other)
    del other.node[0]
    with pytest.raises(AssertionError, match=r"too many: \['y'\]"):
        tf.test.assert_equal_graph_def(one, other)
    with pytest.raises(TypeError, match=r"Expected tf.GraphDef for expected"):
        tf.test.assert_equal_graph_def(one, "")


def test_the_folder_of_temporary_files(case: Any) -> None:
    import os

    assert os.path.isdir(case.get_temp_dir())
    assert tf.test.get_temp_dir() == case.get_temp_dir()


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_jacobians(case: Any) -> None:
    with case.test_session():
        x = tf.placeholder(tf.float64, [2, 2])
        w = tf.Variable(np.arange(4.0).reshape(2, 2))
        y = tf.matmul(x, w)
        theoretical, numerical = tf.test.compute_gradient(x, [2, 2], y, [2, 2], init_targets=[w.initializer])
        expected = np.kron(np.eye(2), np.arange(4.0).reshape(2, 2))
        np.testing.assert_allclose(theoretical, expected)
        np.testing.assert_allclose(numerical, expected, atol=1e-8)
        pairs = tf.test.compute_gradient([x, x], [[2, 2]] * 2, y, [2, 2], x_init_value=[np.ones([2, 2])] * 2)
        assert len(pairs) == 2
        assert tf.test.compute_gradient_error([x], [[2, 2]], y, [2, 2], delta=0.1) < 1e-8


def test_a_wrong_gradient_shows(case: Any) -> None:
    with case.test_session() as session, session.graph.gradient_override_map({"Tanh": "Exp"}):
        x = tf.constant(np.ones(3))
        assert tf.test.compute_gradient_error(x, [3], tf.tanh(x), [3]) > 0.1


def test_sparse_and_empty_gradients(case: Any) -> None:
    with case.test_session():
        x = tf.placeholder(tf.float64, [3, 2])
        rows = tf.gather(x, [0, 2, 0])
        assert tf.test.compute_gradient_error(x, [3, 2], rows, [3, 2]) < 1e-8
        empty = tf.placeholder(tf.float64, [0, 2])
        assert tf.test.compute_gradient_error(empty, [0, 2], tf.neg(empty), [0, 2]) == 0


def test_what_has_no_gradient_is_told(case: Any) -> None:
    x = tf.constant([1.0])
    with pytest.raises(ValueError, match="default session"):
        tf.test.compute_gradient(x, [1], x, [1])
    with case.test_session():
        with pytest.raises(ValueError, match="floating-point"):
            tf.test.compute_gradient(tf.constant([1]), [1], x, [1])
        with pytest.raises(ValueError, match="No gradient leads"):
            tf.test.compute_gradient(x, [1], tf.constant([2.0]), [1])
