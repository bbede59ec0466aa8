"""Casts to and from bfloat16, which is the upper half of a float32."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf
from flowc.framework.dtypes import as_dtype
from tests.kernels.batch import TYPES, Batch, special, values


def test_casts() -> None:
    batch = Batch()
    for dtype in TYPES:
        kind = as_dtype(dtype)
        for shape in [(), (0,), (5,), (3, 7)]:
            half = batch.op("Cast", batch.feed(values(shape, dtype)), SrcT=kind, DstT=tf.bfloat16)
            batch.op("Cast", half, SrcT=tf.bfloat16, DstT=kind)
    batch.op("Cast", batch.feed(special("float32")), SrcT=tf.float32, DstT=tf.bfloat16)
    matrix = batch.op("Transpose", batch.feed(values((3, 4), "float32")), [1, 0])
    batch.op("Cast", matrix, SrcT=tf.float32, DstT=tf.bfloat16)
    batch.check()


def test_feeds_and_constants() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        half, bits = tf.to_bfloat16([1.0, 3.3]), np.array([16256, 16384], np.uint16)
        assert half.dtype == tf.bfloat16
        np.testing.assert_array_equal(session.run(tf.to_float(half)), np.float32([1.0, 3.296875]))
        np.testing.assert_array_equal(session.run(tf.to_float(half), {half: bits}), [1, 2])
        with pytest.raises(TypeError):
            half + half


def test_a_sparse_tensor_is_cast_by_its_values() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        result = session.run(tf.cast(tf.SparseTensor([[0, 1]], [2.7], [1, 2]), tf.int32))
        assert (result.indices.tolist(), result.values.tolist(), result.shape.tolist()) == ([[0, 1]], [2], [1, 2])
