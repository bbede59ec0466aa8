"""What may be fed: keys, values and their conversion, without running anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.runtime.feeds import FeedKeys, as_fed


class TestValues:
    def test_an_array_as_planned_is_taken_as_it_is(self) -> None:
        x = tf.placeholder(tf.float32, [2, 3])
        value = np.ones((2, 3), np.float32)
        assert as_fed(x, value) is value

    @pytest.mark.parametrize(
        ("dtype", "value", "expected"),
        [
            (tf.float32, 1, np.float32(1)),
            (tf.float32, 0.1, np.float32(0.1)),
            (tf.float32, [1, 2.5], np.array([1, 2.5], np.float32)),
            (tf.float32, np.array([1e-3, 1 / 3]), np.array([1e-3, 1 / 3], np.float32)),
            (tf.float32, True, np.float32(1)),
            (tf.float64, np.float32(0.5), np.float64(0.5)),
            (tf.float16, [65504, 1e-7], np.array([65504, 1e-7], np.float16)),
            (tf.int8, 127, np.int8(127)),
            (tf.uint8, 255, np.uint8(255)),
            (tf.int64, -(2**63), np.int64(-(2**63))),
            (tf.bool, 1, np.bool_(True)),
            (tf.complex64, 7, np.complex64(7)),
            (tf.int32, [1, -2], np.array([1, -2], np.int32)),
            (tf.int32, [3.0, -4.0], np.array([3, -4], np.int32)),
            (tf.int32, [], np.zeros(0, np.int32)),
            (tf.uint8, np.array([0, 255]), np.array([0, 255], np.uint8)),
            (tf.bool, [True, False], np.array([True, False])),
            (tf.bool, [1, 0], np.array([True, False])),
            (tf.complex64, [1, 2.5, 3 + 4j], np.array([1, 2.5, 3 + 4j], np.complex64)),
            (tf.float32, np.float64("nan"), np.float32("nan")),
            (tf.float32, np.arange(3, dtype=">f8"), np.arange(3, dtype=np.float32)),
        ],
    )
    def test_numbers_are_converted(self, dtype: tf.DType, value: Any, expected: Any) -> None:
        array = as_fed(tf.placeholder(dtype), value)
        assert array.dtype == dtype.as_numpy_dtype
        np.testing.assert_array_equal(array, expected)
        assert array.shape == np.shape(expected)

    @pytest.mark.parametrize(
        ("dtype", "value"),
        [
            (tf.int32, 1.5),
            (tf.int32, [1.0, np.nan]),
            (tf.int32, 2**31),
            (tf.int8, [128]),
            (tf.int8, 128),
            (tf.string, 1),
            (tf.uint8, -1),
            (tf.bool, 2),
            (tf.float32, 1j),
            (tf.int32, 1 + 0j),
            (tf.float32, "1.0"),
            (tf.float32, np.array([1], "datetime64[s]")),
            (tf.string, 1.0),
            (tf.string, [b"a", None]),
            (tf.string, [["a"], ["b", "c"]]),
        ],
    )
    def test_what_would_be_lost_is_refused(self, dtype: tf.DType, value: Any) -> None:
        x = tf.placeholder(dtype, name="x")
        with pytest.raises((TypeError, ValueError), match=f"'x:0', of type {dtype.name}"):
            as_fed(x, value)

    def test_an_overflow_to_infinity_is_told(self) -> None:
        with pytest.warns(RuntimeWarning, match="overflow"):
            assert as_fed(tf.placeholder(tf.float32), [1e300]) == np.inf

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("ä", "ä".encode()),
            (b"zero\0", b"zero\0"),
            (["a", b"bc\0"], [b"a", b"bc\0"]),
            (np.array(["x", "yz"]), [b"x", b"yz"]),
            (np.array([[b"x"]], object), [[b"x"]]),
        ],
    )
    def test_strings_become_bytes(self, value: Any, expected: Any) -> None:
        array = as_fed(tf.placeholder(tf.string), value)
        assert array.dtype == object
        assert array.tolist() == expected

    @pytest.mark.parametrize(
        "value",
        [
            np.zeros((4, 6), np.float32)[::2, ::2],
            np.asfortranarray(np.zeros((2, 3), np.float32)),
            np.frombuffer(b"x" + bytes(24), np.float32, offset=1).reshape(2, 3),
            np.broadcast_to(np.float32(0), (2, 3)),
            np.zeros((2, 3), ">f4"),
        ],
        ids=["strided", "fortran", "misaligned", "broadcast", "big-endian"],
    )
    def test_any_layout_becomes_contiguous(self, value: Any) -> None:
        array = as_fed(tf.placeholder(tf.float32, [2, 3]), value)
        assert type(array) is np.ndarray
        assert array.dtype.isnative
        assert array.flags.c_contiguous
        assert array.flags.aligned

    def test_a_shape_that_does_not_fit(self) -> None:
        x = tf.placeholder(tf.float32, [None, 3], name="x")
        with pytest.raises(ValueError, match=r"shape \(3, 2\) for Tensor 'x:0', which has shape \(\?, 3\)") as caught:
            as_fed(x, np.zeros((3, 2)))
        assert "test_session_feeds.py:" in str(caught.value)

    def test_a_rank_0_array_keeps_its_rank(self) -> None:
        assert as_fed(tf.placeholder(tf.float32, []), np.array(1.0, np.float32)).shape == ()

    @pytest.mark.parametrize("kind", ["tensor", "variable", "operation"])
    def test_graph_elements_are_no_values(self, kind: str) -> None:
        x = tf.placeholder(tf.float32)
        y = tf.constant(1.0)
        value = {"tensor": y, "variable": tf.Variable(1.0), "operation": y.op}[kind]
        with pytest.raises(TypeError, match=r"The value of a feed cannot be a tf\.Tensor object"):
            as_fed(x, value)


class TestKeys:
    def test_tensors_names_and_variables(self, graph: tf.Graph) -> None:
        x, w = tf.placeholder(tf.float32, name="x"), tf.Variable(1.0, name="w")
        assert FeedKeys(graph, ["x:0", w]).tensors == (x, w.ref())

    @pytest.mark.parametrize("key", [3.0, None, ("x",), b"x:0", object()])
    def test_other_objects(self, graph: tf.Graph, key: Any) -> None:
        with pytest.raises(TypeError, match="Cannot interpret feed_dict key as Tensor"):
            FeedKeys(graph, [key])

    @pytest.mark.parametrize("key", ["x", "x:1", "absent:0"])
    def test_names_of_nothing(self, graph: tf.Graph, key: str) -> None:
        tf.placeholder(tf.float32, name="x")
        with pytest.raises(ValueError, match=key):
            FeedKeys(graph, [key])

    def test_an_operation_cannot_be_fed(self, graph: tf.Graph) -> None:
        with pytest.raises(TypeError, match="Operation"):
            FeedKeys(graph, [tf.constant(1.0).op])

    def test_a_tensor_fed_twice(self, graph: tf.Graph) -> None:
        x = tf.placeholder(tf.float32, name="x")
        with pytest.raises(ValueError, match="'x:0' is fed twice"):
            FeedKeys(graph, [x, "x:0"])

    def test_slices_are_fed_as_the_tuple_of_their_parts(self, graph: tf.Graph) -> None:
        slices = tf.IndexedSlices(tf.placeholder(tf.float32, [2, 3]), tf.placeholder(tf.int64, [2]))
        other = tf.placeholder(tf.float32)
        keys = FeedKeys(graph, [other, slices])
        one, values, indices = keys.arrays([1.0, tf.IndexedSlicesValue(np.ones((2, 3)), [0, 1])])
        assert (one.shape, values.shape, indices.dtype) == ((), (2, 3), np.dtype(np.int64))
        with pytest.raises(TypeError, match="tuple"):
            keys.arrays([1.0, np.ones((2, 3))])
