"""Sparse tensors: made, fed, fetched, and every op on them against its definition and against dense tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.framework.building import apply_list
from tests.kernels.batch import TYPES, Array, Batch, values
from tests.kernels.numeric_gradients import case, check_gradients

Value = tf.SparseTensorValue


def run(fetches: Any, feeds: dict[Any, Any] | None = None) -> Any:
    with tf.Session() as session:
        return session.run(fetches, feeds)


def sparse(shape: tuple[int, ...], count: int, dtype: str = "float32", seed: int = 0, in_order: bool = True) -> Value:
    """`count` elements at different places."""
    rng = np.random.default_rng(seed)
    places = rng.choice(int(np.prod(shape)), count, replace=False)
    indices = np.stack(np.unravel_index(np.sort(places) if in_order else places, shape), -1).astype(np.int64)
    return Value(indices, values((count,), dtype, seed), np.array(shape, np.int64))


def tensor(value: Value) -> tf.SparseTensor:
    return tf.SparseTensor(*value)


def dense(value: Value, default: Any = 0) -> Array:
    result = np.full(tuple(value.shape), default, np.asarray(value.values).dtype)
    for place, element in zip(value.indices, value.values, strict=True):
        result[tuple(place)] = element
    return result


# -- the class ---------------------------------------------------------------------------------------------------------


def test_a_sparse_tensor_is_fetched_and_fed_whole() -> None:
    value = sparse((4, 5), 6)
    given = tf.SparseTensor(
        tf.placeholder(tf.int64, [None, 2]), tf.placeholder(tf.float32, [None]), tf.placeholder(tf.int64, [2])
    )
    doubled = tf.SparseTensor(given.indices, 2 * given.values, given.shape)
    fetched, whole = run([doubled, tf.sparse_tensor_to_dense(given)], {given: value})
    assert isinstance(fetched, Value)
    np.testing.assert_array_equal(fetched.indices, value.indices)
    np.testing.assert_array_equal(fetched.values, 2 * value.values)
    np.testing.assert_array_equal(fetched.shape, value.shape)
    np.testing.assert_array_equal(whole, dense(value))


def test_its_members() -> None:
    x = tf.SparseTensor([[0, 1], [2, 3]], [1.0, 2.0], [3, 4])
    assert (x.indices.dtype, x.values.dtype, x.shape.dtype, x.dtype) == (tf.int64, tf.float32, tf.int64, tf.float32)
    assert x.graph is tf.get_default_graph()
    assert x.get_shape() == (3, 4)
    assert x.op is x.values.op
    assert "SparseTensor(indices=" in repr(x)


@pytest.mark.parametrize(
    ("indices", "elements", "shape"),
    [([0, 1], [1.0, 2.0], [3]), ([[0, 1]], [1.0, 2.0], [3, 4]), ([[0, 1]], [1.0], [3])],
)
def test_parts_that_do_not_fit(indices: Any, elements: Any, shape: Any) -> None:
    with pytest.raises(ValueError, match=r"rank|compatible"):
        tf.SparseTensor(indices, elements, shape)


# -- dense -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_sparse_to_dense(dtype: str) -> None:
    batch = Batch()
    one = np.asarray(1, dtype)
    for index_type in (np.int32, np.int64):
        matrix = sparse((3, 4, 2), 7, dtype, in_order=False)
        vector = sparse((9,), 4, dtype)
        for given, default in ((matrix, one), (vector, one), (sparse((5,), 0, dtype), one)):
            places, shape = (np.asarray(x, index_type) for x in (given.indices, given.shape))
            batch.op("SparseToDense", batch.feed(places), shape, batch.feed(given.values), default)
            batch.op("SparseToDense", batch.feed(places), shape, batch.feed(one), np.asarray(0, dtype))
        flat = batch.feed(vector.indices[:, 0].astype(index_type))
        batch.op("SparseToDense", flat, np.array([9], index_type), batch.feed(vector.values), one)
        batch.op("SparseToDense", batch.feed(index_type(3)), np.array([5], index_type), batch.feed(one), one)
    batch.check()


def test_the_last_of_repeated_indices_counts() -> None:
    result = run(tf.sparse_to_dense([[1], [0], [1]], [3], [5.0, 6.0, 7.0], -1.0))
    np.testing.assert_array_equal(result, [6, 7, -1])


def test_one_hot_labels_as_scripts_make_them() -> None:
    labels = tf.placeholder(tf.int32, [None])
    column = tf.expand_dims(labels, 1)
    numbers = tf.expand_dims(tf.range(0, tf.size(labels), 1), 1)
    size = tf.pack([tf.size(labels), 4])
    result = run(tf.sparse_to_dense(tf.concat(1, [numbers, column]), size, 1.0, 0.0), {labels: [2, 0, 3]})
    np.testing.assert_array_equal(result, np.eye(4)[[2, 0, 3]])


def test_strings() -> None:
    given = tf.SparseTensor([[0, 1], [1, 0]], ["a", "b"], [2, 2])
    whole, (indices, elements, _) = run([tf.sparse_tensor_to_dense(given, "-"), tf.sparse_reorder(given)])
    assert whole.tolist() == [[b"-", b"a"], [b"b", b"-"]]
    assert elements.tolist() == [b"a", b"b"]
    np.testing.assert_array_equal(indices, [[0, 1], [1, 0]])


INVALID: list[tuple[tuple[Any, ...], str]] = [
    (([1, 3], [5], [[5.0], [3.0]], -1.0), r"sparse_values has incorrect shape \[2,1\], should be \[\] or \[2\]"),
    (([1, 3], [5], [1.0, 2.0, 3.0], -1.0), r"sparse_values has incorrect shape \[3\], should be \[\] or \[2\]"),
    (([1, 3], [5], [1.0, 2.0], [0.0]), "default_value should be a scalar"),
    (([1, 3], [5, 5], [1.0, 2.0], 0.0), "output_shape has incorrect number of elements: 2 should be: 1"),
    (([[[1]]], [5], [1.0], 0.0), "sparse_indices should be a scalar, vector, or matrix"),
    (([1, 5], [5], 1.0, 0.0), "Indices are not valid .out of bounds.: index 1 has 5 in a dimension of size 5"),
    (([[0, 0], [-1, 0]], [5, 2], 1.0, 0.0), "index 1 has -1 in a dimension of size 5"),
]


@pytest.mark.parametrize(("args", "message"), INVALID, ids=range(len(INVALID)))
def test_what_is_not_valid(args: tuple[Any, ...], message: str) -> None:
    indices = tf.placeholder(tf.int32, np.shape(args[0]))
    result = tf.sparse_to_dense(indices, *args[1:])
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        run(result, {indices: args[0]})


def test_mistakes_are_told_when_the_graph_is_built() -> None:
    with pytest.raises(ValueError, match="Input shape should be a vector"):
        tf.sparse_to_dense([1], 5, 1.0)
    for function in (tf.sparse_tensor_to_dense, tf.sparse_reorder):
        with pytest.raises(TypeError, match="Input must be a SparseTensor"):
            function(tf.constant([1.0]))
    with pytest.raises(TypeError, match="int32 or int64"):
        tf.sparse_to_indicator(tensor(sparse((3, 4), 2)), 5)
    with pytest.raises(TypeError, match="of one type"):
        tf.sparse_concat(0, [tensor(sparse((3, 4), 2)), tensor(sparse((3, 4), 2, "int32"))])
    with pytest.raises(ValueError, match="Concat dimension"):
        tf.sparse_concat(2, [tensor(sparse((3, 4), 2)), tensor(sparse((3, 4), 2))])


@pytest.mark.parametrize("known", [True, False])
def test_indicators(known: bool) -> None:
    ids = Value(np.array([[0, 0], [0, 3], [2, 1]]), np.array([4, 0, 4], np.int32), np.array([3, 4]))
    given = tensor(ids)
    if not known:
        parts = tf.placeholder(tf.int64), tf.placeholder(tf.int32), tf.placeholder(tf.int64)
        given = tf.SparseTensor(*parts)
    result = run(tf.sparse_to_indicator(given, 5), None if known else {given: ids})
    np.testing.assert_array_equal(np.argwhere(result), [[0, 0], [0, 4], [2, 4]])
    assert result.shape == (3, 5)
    assert result.dtype == bool


# -- order and joining -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40,), (5, 6, 7), (2**40, 3)])
def test_reorder(shape: tuple[int, ...]) -> None:
    batch = Batch()
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 3, 33):
        for dtype in ("float32", "complex128", "bool", "int8"):
            indices = np.stack([rng.integers(0, size, count) for size in shape], -1)
            elements = batch.feed(values((count,), dtype))
            batch.op("SparseReorder", batch.feed(indices), elements, np.array(shape, np.int64))
    batch.check()


def test_reorder_leaves_what_is_in_order() -> None:
    value = sparse((5, 5), 9)
    result = run(tf.sparse_reorder(tensor(value)))
    np.testing.assert_array_equal(result.indices, value.indices)
    np.testing.assert_array_equal(result.values, value.values)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_concat(dim: int) -> None:
    shapes = [tuple(3 + (axis == dim) * i for axis in range(3)) for i in range(3)]
    parts = [sparse(shape, count, seed=count) for shape, count in zip(shapes, (7, 0, 12), strict=True)]
    fetched = run(tf.sparse_concat(dim, [tensor(part) for part in parts]))
    expected = np.concatenate([dense(part) for part in parts], dim)
    np.testing.assert_array_equal(fetched.shape, expected.shape)
    np.testing.assert_array_equal(dense(fetched), expected)
    assert fetched.indices.tolist() == sorted(fetched.indices.tolist())


def test_concat_against_its_definition() -> None:
    batch = Batch()
    for dtype in ("float32", "int64", "bool"):
        for counts in ((0, 0), (1, 0), (4, 5), (2, 3)):
            parts = [sparse((4, 5), n, dtype, seed=i) for i, n in enumerate(counts)]
            inputs = [batch.feed(np.asarray(p[field])) for field in range(3) for p in parts]
            batch.op("SparseConcat", *inputs, concat_dim=1, N=2, T=parts[0].values.dtype)
    batch.check()


def test_concat_of_one_and_of_shapes_that_differ() -> None:
    one = tensor(sparse((3, 4), 2))
    assert tf.sparse_concat(0, [one]) is one
    other = tensor(sparse((3, 5), 2))
    with pytest.raises(tf.errors.InvalidArgumentError, match="shapes must match"):
        run(tf.sparse_concat(0, [one, other]).indices)


# -- some elements more or less ----------------------------------------------------------------------------------------


def test_retain() -> None:
    value = sparse((4, 5), 6)
    keep = tf.placeholder(tf.bool, [6])
    kept = tf.sparse_retain(tensor(value), keep)
    with tf.Session() as session:
        for mask in (np.array([1, 0, 1, 1, 0, 0], bool), np.zeros(6, bool), np.ones(6, bool)):
            result = session.run(kept, {keep: mask})
            np.testing.assert_array_equal(result.indices, value.indices[mask])
            np.testing.assert_array_equal(result.values, value.values[mask])
            np.testing.assert_array_equal(result.shape, value.shape)
    with pytest.raises(ValueError, match="incompatible"):
        tf.sparse_retain(tensor(value), [True] * 5)


def test_fill_empty_rows() -> None:
    value = Value(
        np.array([[0, 1], [2, 0], [2, 3], [4, 1]]), np.array([1.0, 2.0, 3.0, 4.0], np.float32), np.array([6, 4])
    )
    filled, empty = run(tf.sparse_fill_empty_rows(tensor(value), -1.0))
    np.testing.assert_array_equal(filled.indices, [[0, 1], [1, 0], [2, 0], [2, 3], [3, 0], [4, 1], [5, 0]])
    np.testing.assert_array_equal(filled.values, [1, -1, 2, 3, -1, 4, -1])
    np.testing.assert_array_equal(filled.shape, [6, 4])
    np.testing.assert_array_equal(empty, [False, True, False, True, False, True])


def test_fill_empty_rows_of_strings_and_when_all_is_fed() -> None:
    given = tf.SparseTensor(
        tf.placeholder(tf.int64, [None, 2]), tf.placeholder(tf.string, [None]), tf.placeholder(tf.int64, [2])
    )
    filled, empty = tf.sparse_fill_empty_rows(given, "none")
    result, rows = run([filled, empty], {given: Value([[1, 1]], ["a"], [3, 2])})
    assert result.values.tolist() == [b"none", b"a", b"none"]
    np.testing.assert_array_equal(result.indices, [[0, 0], [1, 1], [2, 0]])
    assert rows.tolist() == [True, False, True]


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_gradients() -> None:
    value = sparse((4, 5), 6, "float64", in_order=False)
    elements, default = tf.constant(value.values), tf.constant(np.float64(0.5))
    weights = np.random.default_rng(1).random((4, 5))
    total = tf.reduce_sum(weights * tf.sparse_to_dense(value.indices, [4, 5], elements, default))
    of_values, of_default = run(tf.gradients(total, [elements, default]))
    chosen = weights[tuple(value.indices.T)]
    np.testing.assert_allclose(of_values, chosen)
    np.testing.assert_allclose(of_default, weights.sum() - chosen.sum())
    ordered = tf.sparse_reorder(tf.SparseTensor(value.indices, elements, [4, 5])).values
    slope = run(tf.gradients(tf.reduce_sum(ordered * np.arange(6.0)), elements)[0])
    order = np.lexsort(value.indices.T[::-1])
    np.testing.assert_allclose(slope, np.argsort(order))


@pytest.mark.parametrize("sizes_known", [True, False])
def test_gradients_are_those_of_differences(sizes_known: bool) -> None:
    matrix, vector = sparse((4, 5), 6, in_order=False), np.array([3, 0, 4], np.int32)
    shape = np.array([4, 5], np.int64)
    cases = [
        case("SparseToDense", matrix.indices, shape, (6,), ()),
        case("SparseToDense", matrix.indices, shape, (), ()),
        case("SparseToDense", vector, np.array([6], np.int32), (3,), ()),
        case("SparseReorder", matrix.indices, (6,), shape),
    ]
    check_gradients(cases, sizes_known)


def test_the_gradient_of_one_value_at_many_places() -> None:
    one = tf.constant(2.0)
    total = tf.reduce_sum(tf.sparse_to_dense([1, 3], [5], one, 0.0) * [1.0, 2.0, 3.0, 4.0, 5.0])
    assert run(tf.gradients(total, one)[0]) == 6


def test_every_type_of_its_outputs() -> None:
    outputs = apply_list("SparseReorder", [np.zeros((2, 1), np.int64), np.zeros(2, np.float16), np.array([3])])
    assert [t.dtype for t in outputs] == [tf.int64, tf.float16]
