"""`tf.test.TestCase`: unittest's, with a session for each test and assertions about arrays, tensors and errors."""

from __future__ import annotations

import random
import re
import unittest
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

import flowc as tf
from flowc.framework import device as device_lib
from flowc.framework.scopes import DEFAULT_GRAPH_SEED
from flowc.test.checked_thread import CheckedThread
from flowc.test.surroundings import get_temp_dir

Predicate = str | Callable[[Any], bool]


class TestCase(unittest.TestCase):
    """A test case of a graph program. Each test starts with an empty default graph, and the same seeds."""

    # names that unittest has dropped, and tests of the time use
    assertItemsEqual = unittest.TestCase.assertCountEqual
    assertRaisesRegexp = unittest.TestCase.assertRaisesRegex
    assertRegexpMatches = unittest.TestCase.assertRegex
    assertEquals = unittest.TestCase.assertEqual
    assertAlmostEquals = unittest.TestCase.assertAlmostEqual
    assert_ = unittest.TestCase.assertTrue

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        self._session: Any = None
        self._threads: list[CheckedThread] = []

    def setUp(self) -> None:
        """Empties the default graph and sets the seeds."""
        self._close_session()
        random.seed(DEFAULT_GRAPH_SEED)
        np.random.seed(DEFAULT_GRAPH_SEED)
        tf.reset_default_graph()
        tf.set_random_seed(DEFAULT_GRAPH_SEED)

    def tearDown(self) -> None:
        """Closes the test's session; fails if a thread of `checkedThread` was started and never joined."""
        self._close_session()
        forgotten = [thread for thread in self._threads if not thread.was_joined]
        self._threads = []
        self.assertFalse(forgotten, "a checkedThread was started and not joined")

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    # -- sessions, threads, files --------------------------------------------------------------------------------------

    @property  # so that the class has no function of a name that unittest takes for that of a test
    def test_session(self) -> Callable[..., AbstractContextManager[Any]]:
        """`with self.test_session(graph=None, config=None, use_gpu=False, force_gpu=False) as sess`: a session that is
        the default one in the with-block, as its graph is the default graph.

        Without a `graph`, all blocks of a test share one session of the default graph, which lives until its end.

        Args:
            graph: the graph to run; by default the default graph.
            config: a ConfigProto.
            use_gpu: whether operations may go to a GPU; else those made in the block go to the CPU.
            force_gpu: whether those made in the block must go to the first GPU.
        """
        return self._session_block

    @contextmanager
    def _session_block(
        self, graph: Any = None, config: Any = None, use_gpu: bool = False, force_gpu: bool = False
    ) -> Iterator[Any]:
        config = config or tf.ConfigProto(allow_soft_placement=not force_gpu)
        if graph is not None:
            with tf.Session(graph=graph, config=config) as session, _device(graph, use_gpu, force_gpu):
                yield session
            return
        if self._session is None:
            self._session = tf.Session(config=config)
        own = self._session.graph
        with own.as_default(), self._session.as_default(), _device(own, use_gpu, force_gpu):
            yield self._session

    def checkedThread(self, target: Callable[..., Any], args: Any = None, kwargs: Any = None) -> CheckedThread:
        """A thread that runs `target`; its `join()` fails the test if that raised."""
        thread = CheckedThread(self, target, args or (), kwargs or {})
        self._threads.append(thread)
        return thread

    def get_temp_dir(self) -> str:
        """`tf.test.get_temp_dir`."""
        return get_temp_dir()

    # -- numbers -------------------------------------------------------------------------------------------------------

    def assertNear(self, f1: float, f2: float, err: float) -> None:
        """|f1 - f2| <= err."""
        self.assertTrue(abs(f1 - f2) <= err, f"{f1!r} != {f2!r} (to within {err!r})")

    def assertArrayNear(self, farray1: Any, farray2: Any, err: float) -> None:
        """Two sequences of numbers are as long, and near each other by pairs."""
        self.assertEqual(len(farray1), len(farray2))
        for f1, f2 in zip(farray1, farray2, strict=True):
            self.assertNear(float(f1), float(f2), err)

    def assertNDArrayNear(self, ndarray1: Any, ndarray2: Any, err: float) -> None:
        """The Euclidean distance of two arrays of one shape is at most `err`."""
        self._check_shapes(np.asarray(ndarray1), np.asarray(ndarray2))
        distance = float(np.linalg.norm(np.asarray(ndarray1, np.float64) - np.asarray(ndarray2, np.float64)))
        self.assertTrue(distance <= err, f"the distance is {distance}, more than {err}")

    def assertAllClose(self, a: Any, b: Any, rtol: float = 1e-6, atol: float = 1e-6) -> None:
        """Two arrays have one shape, and |a - b| <= atol + rtol·|b| for all elements; infinities are equal."""
        a, b = np.asarray(a), np.asarray(b)
        self._check_shapes(a, b)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, equal_nan=False)

    def assertAllEqual(self, a: Any, b: Any) -> None:
        """Two arrays have one shape and equal elements; NaN equals NaN."""
        a, b = np.asarray(a), np.asarray(b)
        self._check_shapes(a, b)
        np.testing.assert_array_equal(a, b)

    def _check_shapes(self, a: Any, b: Any) -> None:
        self.assertEqual(a.shape, b.shape, f"Shape mismatch: expected {a.shape}, got {b.shape}")

    # -- tensors, devices, messages ------------------------------------------------------------------------------------

    def assertShapeEqual(self, np_array: Any, tf_tensor: Any) -> None:
        """The tensor's static shape is the array's; TypeError for what is no array, or no tensor."""
        if not isinstance(np_array, np.ndarray | np.generic):
            raise TypeError("np_array must be a Numpy ndarray or Numpy scalar")
        if not isinstance(tf_tensor, tf.Tensor):
            raise TypeError("tf_tensor must be a Tensor object")
        self.assertAllEqual(np_array.shape, tf_tensor.get_shape().as_list())

    def assertDeviceEqual(self, device1: Any, device2: Any) -> None:
        """Two device names stand for one device, as `/gpu:0` and `/device:GPU:0` do."""
        one, other = device_lib.canonical(device1), device_lib.canonical(device2)
        self.assertEqual(one, other, f"Devices {device1} and {device2} are not equal")

    def assertStartsWith(self, actual: str, expected_start: str, msg: str | None = None) -> None:
        """A string starts with another."""
        self.assertTrue(actual.startswith(expected_start), msg or f"{actual!r} does not start with {expected_start!r}")

    def assertProtoEquals(self, expected_message_maybe_ascii: Any, message: Any) -> None:
        """A message equals another one, or the one that a text describes."""
        from google.protobuf import text_format

        expected = expected_message_maybe_ascii
        if isinstance(expected, str):
            expected = text_format.Merge(expected, type(message)())
        if expected != message:
            self.assertMultiLineEqual(text_format.MessageToString(expected), text_format.MessageToString(message))

    # -- errors --------------------------------------------------------------------------------------------------------

    def assertRaisesOpError(self, expected_err_re_or_predicate: Predicate) -> AbstractContextManager[None]:
        """`assertRaisesWithPredicateMatch` for a tf.OpError."""
        return self.assertRaisesWithPredicateMatch(tf.OpError, expected_err_re_or_predicate)

    @contextmanager
    def assertRaisesWithPredicateMatch(
        self, exception_type: type[BaseException], expected_err_re_or_predicate: Predicate
    ) -> Iterator[None]:
        """The with-block raises an exception of that type which a function of it is true of, or whose message (for a
        tf.OpError with the name of its operation) contains a regular expression."""
        expected = expected_err_re_or_predicate
        try:
            yield
        except exception_type as error:
            fits = expected(error) if callable(expected) else re.search(expected, _text(error))
            if not fits:
                raise AssertionError(f"{type(error).__name__} does not match {expected!r}: {_text(error)}") from error
        else:
            self.fail(f"{exception_type.__name__} not raised")


def _text(error: BaseException) -> str:
    return f"{error.message}\n{error}" if isinstance(error, tf.OpError) else str(error)


def _device(graph: Any, use_gpu: bool, force_gpu: bool) -> AbstractContextManager[Any]:
    if force_gpu:
        device: AbstractContextManager[Any] = graph.device("/gpu:0")
        return device
    return nullcontext() if use_gpu else graph.device("/cpu:0")
