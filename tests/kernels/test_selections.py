"""Ops that find out how much they give, or where, from values: against the reference, bad values, gradients."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import TYPES, Batch, extremes, special, takes, values
from tests.kernels.numeric_gradients import case, check_gradients

I32 = np.int32

# -- where, unique, listdiff -------------------------------------------------------------------------------------------


def test_where() -> None:
    batch = Batch()
    for shape in [(), (0,), (1,), (7,), (3, 4), (2, 3, 5), (0, 3), (30_001,), (113, 119)]:
        batch.op("Where", batch.feed(values(shape, "bool")))
    for value in (True, False):
        batch.op("Where", batch.feed(np.array(value)))
        batch.op("Where", batch.feed(np.full((5, 3), value)))
    batch.op("Where", batch.op("Transpose", batch.feed(values((3, 4), "bool")), [1, 0]))
    batch.check()


@pytest.mark.parametrize("dtype", [t for t in TYPES if takes("Unique", t)])
def test_sets(dtype: str) -> None:
    batch = Batch()
    arrays = [values((n,), dtype) for n in (0, 1, 5, 500)]
    if dtype.startswith("float"):
        arrays.append(np.concatenate([special(dtype)] * 2))
    elif dtype != "bool":
        arrays.append(np.concatenate([extremes(dtype)] * 2))
    for x in arrays:
        batch.op("Unique", batch.feed(x))
    for x, y in itertools.product(arrays, [arrays[0], arrays[2], arrays[-1][::3]]):
        batch.op("ListDiff", batch.feed(x), batch.feed(y))
    batch.check()


def test_sets_of_many_elements() -> None:
    batch = Batch()
    rng = np.random.default_rng(0)
    x = rng.integers(0, 1 << 40, 50_000)
    batch.op("Unique", batch.feed(np.concatenate([x, x[::-1]])))
    batch.op("ListDiff", batch.feed(x), batch.feed(x[::2]))
    batch.op("Unique", batch.feed(np.arange(50_000, dtype=np.int64) << 32))  # the low bits are all the same
    batch.op("Unique", batch.feed(np.full(20_000, np.nan, np.float32)))
    batch.check()


def test_sets_of_strings() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        y, idx = session.run(tf.unique(["b", "a", "b"]))
        assert (y.tolist(), idx.tolist()) == ([b"b", b"a"], [0, 1, 0])
        out, idx = session.run(tf.listdiff(["b", "a", "c"], ["a"]))
        assert (out.tolist(), idx.tolist()) == ([b"b", b"c"], [0, 2])


def test_sets_take_vectors() -> None:
    with tf.Graph().as_default():
        for make in (lambda: tf.unique([[1]]), lambda: tf.listdiff([[1]], [1]), lambda: tf.listdiff([1], [[1]])):
            with pytest.raises(ValueError, match="rank"):
                make()
        assert tf.where(tf.placeholder(tf.bool, [None, 3])).get_shape().as_list() == [None, 2]


# -- partitions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_partition_and_stitch(dtype: str) -> None:
    batch = Batch()
    for rows, rest in itertools.product([(5,), (2, 3), (), (0,)], [(), (2,), (2, 2), (0,)]):
        data = batch.feed(values((*rows, *rest), dtype))
        numbers = np.abs(values(rows, "int32")) % 4
        batch.op("DynamicPartition", data, batch.feed(numbers), num_partitions=4)
    data = [batch.feed(values(s, dtype)) for s in ((2, 2, 3), (3,), (3, 3), (0, 3))]
    places = [np.array(i, I32) for i in ([[5, 0], [3, 0]], 1, [0, 7, 2], np.zeros(0))]
    batch.op("DynamicStitch", *(batch.feed(i) for i in places), *data, N=4)
    batch.op("DynamicStitch", *places, *data, N=4)
    batch.op("DynamicStitch", batch.feed(np.zeros(0, I32)), batch.feed(values((0, 2), dtype)), N=1)
    batch.check()


def test_partitions_of_strings() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        parts = session.run(tf.dynamic_partition(["a", "b", "c"], [1, 0, 1], 2))
        assert [p.tolist() for p in parts] == [[b"b"], [b"a", b"c"]]


def test_a_partition_of_many_rows_comes_back() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        rng = np.random.default_rng(0)
        data, numbers = rng.normal(size=(20_000, 3)).astype(np.float32), rng.integers(0, 50, 20_000)
        x, n = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.int32, [None])
        parts = tf.dynamic_partition(x, n, 50)
        places = tf.dynamic_partition(tf.range(tf.size(n)), n, 50)
        again, last = session.run([tf.dynamic_stitch(places, parts), parts[-1]], {x: data, n: numbers})
        np.testing.assert_array_equal(again, data)
        np.testing.assert_array_equal(last, data[numbers == 49])


def test_numbers_out_of_range_fail() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        n = tf.placeholder(tf.int32, [5])
        parts = tf.dynamic_partition(tf.zeros([5, 3]), n, 4)
        stitched = tf.dynamic_stitch([n], [tf.zeros([5])])
        for bad in (-1, 99):
            with pytest.raises(tf.errors.InvalidArgumentError, match=rf"partitions\[2\] = {bad} is not in \[0, 4\)"):
                session.run(parts, {n: [0, 2, bad, 2, 2]})
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"indices\[2\] = -1 is not in \[0, 3\)"):
            session.run(stitched, {n: [0, 2, -1, 2, 2]})


def test_partition_shapes() -> None:
    with tf.Graph().as_default():
        data = tf.placeholder(tf.float32, [None, 3, 2])
        numbers = tf.placeholder(tf.int32, [None, 3])
        assert [p.get_shape().as_list() for p in tf.dynamic_partition(data, numbers, 2)] == [[None, 2]] * 2
        assert tf.dynamic_stitch([numbers], [data]).get_shape().as_list() == [None, 2]
        assert tf.dynamic_stitch([[1, 4]], [tf.zeros([2, 7])]).get_shape().as_list() == [5, 7]
        with pytest.raises(ValueError, match="compatible"):
            tf.dynamic_partition(tf.zeros([4, 2]), [0, 1], 2)
        with pytest.raises(ValueError, match="num_partitions"):
            tf.dynamic_partition(data, numbers, 0)
        with pytest.raises(ValueError, match="as many"):
            tf.dynamic_stitch([numbers], [data, data])
        with pytest.raises(ValueError, match="compatible"):
            tf.dynamic_stitch([[0], [1]], [tf.zeros([1, 2]), tf.zeros([1, 3])])


# -- sequences ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_reverse_sequence(dtype: str) -> None:
    batch = Batch()
    x = batch.feed(values((3, 4, 2, 3), dtype))
    for sequence, along in itertools.permutations(range(4), 2):
        size, count = (x.get_shape().as_list()[d] for d in (sequence, along))
        lengths = batch.feed(np.arange(count, dtype=np.int64) * 2 % (size + 1))
        batch.op("ReverseSequence", x, lengths, seq_dim=sequence, batch_dim=along)
    empty = batch.feed(values((2, 0, 3), dtype))
    batch.op("ReverseSequence", empty, np.zeros(2, np.int64), seq_dim=1, batch_dim=0)
    batch.check()


def test_reverse_sequence_refuses() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        lengths = tf.placeholder(tf.int64, [2])
        result = tf.reverse_sequence(tf.zeros([2, 3]), lengths, 1)
        for bad in (-1, 4):
            with pytest.raises(tf.errors.InvalidArgumentError, match=rf"seq_lengths\[1\] = {bad} is not in \[0, 3\]"):
                session.run(result, {lengths: [0, bad]})
        for x, dims in ((tf.zeros([3, 3]), (1, 0)), (tf.zeros([2, 3]), (0, 0)), (tf.zeros([2, 3]), (2, 0))):
            with pytest.raises(ValueError):  # noqa: PT011  # sizes, equal dimensions, a dimension out of range
                tf.reverse_sequence(x, lengths, *dims)
        assert tf.reverse_sequence(tf.placeholder(tf.float32), lengths, 1).get_shape().ndims is None


# -- edit distance -----------------------------------------------------------------------------------------------------


def sparse(entries: dict[tuple[int, ...], Any], shape: list[int]) -> tf.SparseTensor:
    indices = np.array(list(entries), np.int64).reshape(-1, len(shape))
    return tf.SparseTensor(indices, np.array(list(entries.values()) or np.zeros(0, np.int32)), shape)


def test_edit_distance() -> None:
    """The "EditDistance" of words; kitten to sitting takes three steps, of which the normalised one is of seven."""
    with tf.Graph().as_default(), tf.Session() as session:
        words = [{(0, i): letter for i, letter in enumerate(word)} for word in ("kitten", "sitting", "")]
        kitten, sitting, nothing = (sparse(word, [1, 9]) if word else sparse({}, [1, 9]) for word in words)
        nothing = tf.SparseTensor(np.zeros((0, 2), np.int64), tf.constant([], tf.string), [1, 9])
        distances = [
            tf.edit_distance(kitten, sitting, normalize=False),
            tf.edit_distance(kitten, sitting),
            tf.edit_distance(kitten, nothing),
            tf.edit_distance(nothing, kitten),
            tf.edit_distance(nothing, nothing),
        ]
        np.testing.assert_allclose(session.run(distances), [[3], [3 / 7], [np.inf], [1], [0]], rtol=1e-6)


def test_edit_distance_of_batches() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        hypothesis = sparse({(0, 0, 0): 1, (1, 0, 0): 2, (1, 0, 1): 5}, [2, 1, 2])
        truth = sparse({(0, 1, 0): 1, (1, 0, 0): 2, (1, 0, 1): 3, (1, 1, 0): 1}, [2, 2, 2])
        result = tf.edit_distance(hypothesis, truth)
        assert result.get_shape().as_list() == [2, 2]
        np.testing.assert_array_equal(session.run(result), [[np.inf, 1], [0.5, 1]])
        with pytest.raises(TypeError, match="SparseTensor"):
            tf.edit_distance([1, 2], truth)


@pytest.mark.parametrize("sizes_known", [True, False])
def test_gradients(sizes_known: bool) -> None:
    numbers, places = np.array([1, 0, 1, 0], I32), (np.array([0, 3], I32), np.array([1, 4], I32))
    check_gradients(
        [
            case("DynamicPartition", (4, 2), numbers, num_partitions=3),
            case("DynamicPartition", (2, 2), numbers.reshape(2, 2), num_partitions=2),
            case("DynamicStitch", *places, (2, 3), (2, 3), N=2, fixed=(0, 1)),
            case("ReverseSequence", (2, 3, 2), np.array([2, 3]), seq_dim=1, batch_dim=0),
        ],
        sizes_known,
    )
