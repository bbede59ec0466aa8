"""Reductions by segment: against the reference and NumPy, of all types and shapes; bad ids; gradients."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import TYPES, Batch, special, takes, values
from tests.kernels.numeric_gradients import case, check_gradients

KINDS = ["SegmentSum", "SegmentMean", "SegmentProd", "SegmentMin", "SegmentMax"]
SPARSE = ["SparseSegmentSum", "SparseSegmentMean"]
IDS = [[0, 0, 1, 1, 1, 2], [0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("dtype", [t for t in TYPES if takes("SegmentSum", t)])
def test_segments(dtype: str) -> None:
    batch = Batch()
    for ids, rest in itertools.product(IDS, [(), (1,), (3,), (2, 2), (0,)]):
        data = batch.feed(values((6, *rest), dtype))
        numbers = batch.feed(np.array(ids, np.int64 if rest else np.int32))
        for op_type in KINDS:
            if takes(op_type, dtype):
                batch.op(op_type, data, numbers)
    batch.op("SegmentSum", batch.feed(values((0, 2), dtype)), batch.feed(np.zeros(0, np.int32)))
    batch.check()


@pytest.mark.parametrize("dtype", [t for t in TYPES if takes("SparseSegmentSum", t)])
def test_sparse_segments(dtype: str) -> None:
    batch = Batch()
    for rest in [(), (3,), (2, 2)]:
        data = batch.feed(values((4, *rest), dtype))
        for ids, indices in [([0, 0, 1], [3, 0, 3]), ([0, 1, 2], [1, 1, 1]), ([], [])]:
            picked, numbers = (batch.feed(np.array(x, np.int32)) for x in (indices, ids))
            for op_type in SPARSE:
                if takes(op_type, dtype):
                    batch.op(op_type, data, picked, numbers)
            if takes("SparseSegmentMeanGrad", dtype):
                grad = batch.feed(values((3, *rest), dtype))
                batch.op("SparseSegmentMeanGrad", grad, picked, numbers, np.int32(4))
    batch.check()


def test_special_values() -> None:
    batch = Batch()
    x = special("float32")
    data, ids = batch.feed(np.stack([x, x[::-1]], 1)), batch.feed(np.arange(x.size, dtype=np.int32) // 3)
    for op_type in KINDS:
        batch.op(op_type, data, ids)
        batch.op(op_type, batch.feed(x), ids)
    batch.check()


def test_sizes_at_which_threads_share_the_work() -> None:
    batch = Batch()
    rng = np.random.default_rng(0)
    for rows, columns, segments in [(20_000, 1, 5000), (3000, 17, 700), (200, 1000, 3)]:
        data = batch.feed(values((rows, columns) if columns > 1 else (rows,), "float32"))
        ids = np.sort(np.concatenate([np.arange(segments), rng.integers(0, segments, rows - segments)]))
        for op_type in ("SegmentSum", "SegmentMean", "SegmentMax"):
            batch.op(op_type, data, batch.feed(ids.astype(np.int32)))
        indices = batch.feed(rng.integers(0, rows, rows).astype(np.int32))
        batch.op("SparseSegmentMean", data, indices, batch.feed(ids.astype(np.int32)))
    batch.check()


BAD_IDS = [
    ([0, 1, 0, 1], "segment ids are not increasing by 1"),
    ([0, 0, 2, 2], "segment ids are not increasing by 1"),
    ([0, 0, 0, 99], "segment ids are not increasing by 1"),
    ([1, 1, 2, 2], "segment ids do not start at 0"),
    ([-1, -1, 0, 0], "segment ids do not start at 0"),
    ([0, 1, 2, 0], r"Segment id 1 out of range \[0, 1\), probably because 'segment_ids' input is not sorted"),
    ([0, 0, 0, -1], "segment ids must be >= 0"),
    ([0, 1], "segment_ids should be the same size as"),
]


def test_ids_that_are_no_segments_fail() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int32, [None])
        data = tf.constant(values((4, 3), "float32"))
        for result in (tf.segment_sum(data, ids), tf.segment_max(data, ids), tf.sparse_segment_mean(data, ids, ids)):
            for bad, message in BAD_IDS[:-1]:
                with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
                    session.run(result, {ids: bad})
                assert caught.value.op is result.op
        with pytest.raises(tf.errors.InvalidArgumentError, match=BAD_IDS[-1][1]):
            session.run(tf.segment_sum(data, ids), {ids: [0, 1]})


@pytest.mark.parametrize(("ids", "message"), BAD_IDS)
def test_the_same_ids_as_constants_fail(ids: list[int], message: str) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        result = tf.segment_sum(np.ones([4, 2], np.int32), ids)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            session.run(result)


@pytest.mark.parametrize("index", [-1, 10])
def test_an_index_out_of_range_fails(index: int) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        indices = tf.placeholder(tf.int32, [4])
        result = tf.sparse_segment_sum(tf.zeros([10, 4]), indices, [0, 1, 2, 2])
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"indices\[1\] == {index} out of range \[0, 10\)"):
            session.run(result, {indices: [8, index, 0, 9]})


def test_static_shapes() -> None:
    with tf.Graph().as_default():
        data = tf.placeholder(tf.float32, [None, 3])
        assert tf.segment_sum(data, tf.placeholder(tf.int32, [None])).get_shape().as_list() == [None, 3]
        assert tf.segment_sum(data, [0, 0, 1]).get_shape().as_list() == [2, 3]
        assert tf.sparse_segment_sum(data, [1, 2], [0, 1]).get_shape().as_list() == [2, 3]
        assert tf.segment_sum(tf.placeholder(tf.float32), [0, 1]).get_shape().ndims is None
        with pytest.raises(ValueError, match="rank"):
            tf.segment_sum(data, [[0, 1]])
        with pytest.raises(ValueError, match="compatible"):
            tf.sparse_segment_sum(data, [1, 2], [0, 1, 2])


I32 = np.int32
TIES = np.array([[1.0, 2.0], [3.0, 0.5], [0.7, 0.0], [4.0, 5.0]])
ZEROS = np.array([[1.5, 0.0, 0.0], [0.4, 2.0, 0.0], [0.0, 3.0, 1.0], [2.0, 0.0, 1.0]])


@pytest.mark.parametrize("sizes_known", [True, False])
def test_gradients(sizes_known: bool) -> None:
    ids, indices = np.array([0, 0, 1, 2], I32), np.array([3, 1, 3, 0], I32)
    cases: list[Any] = [case(t, (4, 2), ids) for t in ("SegmentSum", "SegmentMean", "SegmentProd")]
    cases += [case(t, TIES, ids) for t in ("SegmentMin", "SegmentMax")]
    cases += [case("SegmentProd", ZEROS, ids), case("SegmentSum", (4,), ids), case("SegmentMean", (4, 1, 2), ids)]
    cases += [case(t, (4, 2), indices, ids) for t in ("SparseSegmentSum", "SparseSegmentMean")]
    cases += [case("SparseSegmentMeanGrad", (3, 2), indices, ids, I32(4))]
    check_gradients(cases, sizes_known)


def test_extremes_share_their_gradient() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant([2.0, 2.0, 1.0, 5.0])
        (gradient,) = tf.gradients(tf.segment_max(x, [0, 0, 0, 1]), x)
        assert session.run(gradient).tolist() == [0.5, 0.5, 0, 1]
