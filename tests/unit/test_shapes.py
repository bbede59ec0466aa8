"""Static shapes: their algebra, and the shapes that ops infer from what is known when they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flowc as tf
from flowc.framework.shapes import broadcast_shapes, unknown_shape


def f(*sizes: int | None) -> tf.Tensor:
    return tf.placeholder(tf.float32, list(sizes))


def ints(*sizes: int | None) -> tf.Tensor:
    return tf.placeholder(tf.int32, list(sizes))


def anything() -> tf.Tensor:
    return tf.placeholder(tf.float32)


def sizes(tensor: tf.Tensor) -> Any:
    shape = tensor.get_shape()
    return None if shape.ndims is None else shape.as_list()


# -- dimensions and shapes ---------------------------------------------------------------------------------------------


def test_a_dimension_is_a_size_or_unknown() -> None:
    assert tf.Dimension(3).value == 3
    assert int(tf.Dimension(3)) == 3
    assert tf.Dimension(None).value is None
    assert str(tf.Dimension(None)) == "?"
    with pytest.raises(ValueError, match=">= 0"):
        tf.Dimension(-1)


def test_dimensions_compare_three_valued() -> None:
    assert tf.Dimension(3) == 3
    assert (tf.Dimension(3) == tf.Dimension(None)) is None
    assert (tf.Dimension(3) < tf.Dimension(4)) is True


def test_dimension_arithmetic_keeps_the_unknown() -> None:
    assert (tf.Dimension(3) + 4).value == 7
    assert (tf.Dimension(7) // 2).value == 3
    assert (tf.Dimension(None) * 2).value is None


def test_dimensions_merge() -> None:
    assert tf.Dimension(None).merge_with(3).value == 3
    with pytest.raises(ValueError, match="not compatible"):
        tf.Dimension(2).merge_with(3)


def test_a_shape_tells_what_it_knows() -> None:
    shape = tf.TensorShape([None, 3])
    assert shape.ndims == 2
    assert shape.as_list() == [None, 3]
    assert not shape.is_fully_defined()
    assert shape.num_elements() is None
    assert str(shape) == "(?, 3)"
    assert str(tf.TensorShape(None)) == "<unknown>"
    assert tf.TensorShape([2, 3]).num_elements() == 6


def test_shapes_merge_and_concatenate() -> None:
    assert tf.TensorShape([None, 3]).merge_with([2, None]).as_list() == [2, 3]
    assert tf.TensorShape(None).merge_with([2]).as_list() == [2]
    assert tf.TensorShape([2]).concatenate([None]).as_list() == [2, None]
    with pytest.raises(ValueError, match="not compatible"):
        tf.TensorShape([2]).merge_with([2, 3])


def test_shapes_with_a_rank() -> None:
    assert tf.TensorShape(None).with_rank(2).as_list() == [None, None]
    with pytest.raises(ValueError, match="must have rank 3"):
        tf.TensorShape([1, 2]).with_rank(3)
    with pytest.raises(ValueError, match="at least 3"):
        tf.TensorShape([1, 2]).with_rank_at_least(3)


def test_parts_of_a_shape() -> None:
    shape = tf.TensorShape([1, None, 3])
    assert shape[2].value == 3
    assert shape[1:].as_list() == [None, 3]
    assert tf.TensorShape(None)[1:].ndims is None


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ([2, 3], [3], [2, 3]),
        ([2, 1], [1, 4], [2, 4]),
        ([], [5], [5]),
        ([None, 3], [1, 3], [None, 3]),
        ([None], [4], [4]),
        ([None], [None], [None]),
        ([0], [1], [0]),
    ],
)
def test_broadcasting(a: list[int | None], b: list[int | None], result: list[int | None]) -> None:
    assert broadcast_shapes(tf.TensorShape(a), tf.TensorShape(b)).as_list() == result
    assert broadcast_shapes(tf.TensorShape(b), tf.TensorShape(a)).as_list() == result


def test_what_does_not_broadcast() -> None:
    with pytest.raises(ValueError, match="Incompatible shapes"):
        broadcast_shapes(tf.TensorShape([2, 3]), tf.TensorShape([2]))
    assert broadcast_shapes(tf.TensorShape([2]), unknown_shape()).ndims is None


# -- what ops infer ----------------------------------------------------------------------------------------------------

INFERRED: dict[str, tuple[Callable[[], tf.Tensor], Any]] = {
    "add": (lambda: f(None, 3) + f(2, 1), [2, 3]),
    "add_unknown": (lambda: anything() + f(2), None),
    "matmul": (lambda: tf.matmul(f(None, 4), f(4, 5)), [None, 5]),
    "matmul_turned": (lambda: tf.matmul(f(4, None), f(5, 4), True, True), [None, 5]),
    "matmul_unknown": (lambda: tf.matmul(anything(), f(4, 5)), [None, 5]),
    "batch_matmul": (lambda: tf.batch_matmul(f(7, 2, 3), f(None, 3, 4)), [7, 2, 4]),
    "sum": (lambda: tf.reduce_sum(f(2, None, 4), [0, -1]), [None]),
    "sum_all": (lambda: tf.reduce_sum(f(2, 3)), []),
    "sum_keep": (lambda: tf.reduce_sum(f(2, 3), 1, keep_dims=True), [2, 1]),
    "sum_of_unknown": (lambda: tf.reduce_sum(anything(), 0), None),
    "sum_over_unknown": (lambda: tf.reduce_sum(f(2, 3), ints(1)), None),
    "sum_over_unknown_keep": (lambda: tf.reduce_sum(f(2, 3), ints(1), keep_dims=True), [None, None]),
    "sum_over_nothing": (lambda: tf.reduce_sum(f(2, 3), []), [2, 3]),
    "argmax": (lambda: tf.argmax(f(2, 3), 1), [2]),
    "reshape": (lambda: tf.reshape(f(2, 6), [3, -1]), [3, 4]),
    "reshape_partial": (lambda: tf.reshape(f(None, 6), [-1, 3]), [None, 3]),
    "reshape_unknown": (lambda: tf.reshape(f(2, 6), ints(3)), [None, None, None]),
    "reshape_computed": (lambda: tf.reshape(f(2, 6), tf.pack([tf.shape(f(3, 5))[0], 4])), [3, 4]),
    "squeeze": (lambda: tf.squeeze(f(1, 2, 1)), [2]),
    "squeeze_some": (lambda: tf.squeeze(f(1, 2, 1), [-1]), [1, 2]),
    "squeeze_unknown": (lambda: tf.squeeze(f(None, 2)), None),
    "expand_dims": (lambda: tf.expand_dims(f(2, 3), -1), [2, 3, 1]),
    "transpose": (lambda: tf.transpose(f(2, None, 4)), [4, None, 2]),
    "transpose_perm": (lambda: tf.transpose(f(2, 3, 4), [0, 2, 1]), [2, 4, 3]),
    "slice": (lambda: tf.slice(f(5, None), [1, 0], [2, -1]), [2, None]),
    "slice_rest": (lambda: tf.slice(f(5, 6), [1, 2], [-1, -1]), [4, 4]),
    "concat": (lambda: tf.concat(1, [f(2, 3), f(None, 4)]), [2, 7]),
    "concat_partial": (lambda: tf.concat(0, [f(2, 3), f(None, 3)]), [None, 3]),
    "split": (lambda: tf.split(1, 3, f(2, 6))[2], [2, 2]),
    "pack": (lambda: tf.pack([f(None, 3), f(2, None)]), [2, 2, 3]),
    "stack": (lambda: tf.stack([f(2, 3), f(2, 3)], 2), [2, 3, 2]),
    "unpack": (lambda: tf.unpack(f(2, 3))[1], [3]),
    "unstack": (lambda: tf.unstack(f(2, 3), axis=1)[2], [2]),
    "pad": (lambda: tf.pad(f(2, None), [[1, 1], [0, 3]]), [4, None]),
    "tile": (lambda: tf.tile(f(2, 3), [2, 1]), [4, 3]),
    "gather": (lambda: tf.gather(f(9, 4), ints(None, 2)), [None, 2, 4]),
    "reverse": (lambda: tf.reverse(f(2, 3), [True, False]), [2, 3]),
    "fill": (lambda: tf.fill([2, 3], 1.0), [2, 3]),
    "fill_unknown": (lambda: tf.fill(ints(2), 1.0), [None, None]),
    "range": (lambda: tf.range(2, 11, 3), [3]),
    "range_down": (lambda: tf.range(5, 0, -2), [3]),
    "range_of_floats": (lambda: tf.range(0, 1, 0.25), [4]),
    "linspace": (lambda: tf.linspace(0.0, 1.0, 5), [5]),
    "shape": (lambda: tf.shape(f(2, None, 3)), [3]),
    "size": (lambda: tf.size(f(2)), []),
    "zeros": (lambda: tf.zeros([300, 20]), [300, 20]),
    "zeros_like": (lambda: tf.zeros_like(f(None, 2)), [None, 2]),
    "ones_like": (lambda: tf.ones_like(f(3, 2), tf.int32), [3, 2]),
    "random": (lambda: tf.random_normal([2, 3]), [2, 3]),
    "random_of_tensors": (lambda: tf.random_uniform([tf.shape(f(7))[0], 3]), [7, 3]),
    "shuffle": (lambda: tf.random_shuffle(f(None, 3)), [None, 3]),
    "select": (lambda: tf.select(tf.placeholder(tf.bool, [2]), f(2, 3), f(None, 3)), [2, 3]),
    "softmax": (lambda: tf.nn.softmax(f(None, 3)), [None, 3]),
    "cross_entropy": (lambda: tf.nn.softmax_cross_entropy_with_logits(f(None, 3), f(5, 3)), [5]),
    "sparse": (lambda: tf.nn.sparse_softmax_cross_entropy_with_logits(f(5, 3), ints(None)), [5]),
    "bias_add": (lambda: tf.nn.bias_add(f(None, None), f(3)), [None, 3]),
    "dropout": (lambda: tf.nn.dropout(f(None, 3), 0.5), [None, 3]),
    "moments": (lambda: tf.nn.moments(f(4, 3), [0])[1], [3]),
    "l2_loss": (lambda: tf.nn.l2_loss(f(4, 3)), []),
    "one_of_rows": (lambda: f(4, 3)[1], [3]),
    "part": (lambda: f(4, 3)[1:3, -1], [2]),
}


@pytest.mark.parametrize("case", INFERRED)
def test_inferred_shape(case: str) -> None:
    make, expected = INFERRED[case]
    assert sizes(make()) == expected


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "add": (lambda: f(2, 3) + f(2), r"Incompatible shapes.*\(2, 3\) and \(2,\)"),
    "add_n": (lambda: tf.add_n([f(2), f(3)]), "not compatible"),
    "matmul": (lambda: tf.matmul(f(2, 3), f(2, 3)), "Dimensions 3 and 2 are not compatible"),
    "matmul_of_vector": (lambda: tf.matmul(f(2, 3), f(3)), "must have rank 2"),
    "sum": (lambda: tf.reduce_sum(f(2, 3), 2), "Invalid reduction dimension 2 for input with 2 dimensions"),
    "argmax": (lambda: tf.argmax(f(2, 3), 3), "out of range"),
    "reshape": (lambda: tf.reshape(f(2, 3), [4, -1]), "input has 6 elements"),
    "squeeze": (lambda: tf.squeeze(f(2, 1), [0]), "expected a dimension of 1, got 2"),
    "expand_dims": (lambda: tf.expand_dims(f(2), 3), "out of range"),
    "slice_rank": (lambda: tf.slice(f(2, 3), [0], [1]), "rank"),
    "concat": (lambda: tf.concat(0, [f(2, 3), f(2, 4)]), "Dimensions of inputs should match"),
    "concat_dim": (lambda: tf.concat(2, [f(2, 3), f(2, 3)]), "Expected concat_dim in range"),
    "split": (lambda: tf.split(1, 2, f(2, 3)), "Number of ways to split should evenly divide"),
    "pack": (lambda: tf.pack([f(2), f(3)]), "not compatible"),
    "unpack": (lambda: tf.unpack(f(None, 2)), "Cannot infer num"),
    "unpack_num": (lambda: tf.unpack(f(3, 2), 2), "Cannot unpack 3 rows"),
    "pad": (lambda: tf.pad(f(2), [[-1, 0]]), "paddings must be non-negative"),
    "pad_rank": (lambda: tf.pad(f(2), [[1, 0], [0, 0]]), "rank"),
    "fill": (lambda: tf.fill([2], f(2)), "must have rank 0"),
    "range": (lambda: tf.range(0, 3, 0), "delta != 0"),
    "linspace": (lambda: tf.linspace(0.0, 1.0, 0), "num > 0"),
    "select": (lambda: tf.select(tf.placeholder(tf.bool, [3]), f(2, 3), f(2, 3)), "not compatible"),
    "bias_add": (lambda: tf.nn.bias_add(f(2, 3), f(2)), "not compatible"),
    "cross_entropy": (lambda: tf.nn.softmax_cross_entropy_with_logits(f(2, 3), f(2, 4)), "not compatible"),
    "sparse": (lambda: tf.nn.sparse_softmax_cross_entropy_with_logits(f(2, 3), ints(2, 3)), "not compatible"),
    "zeros": (lambda: tf.zeros([2, None]), "not fully defined"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_shape(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as error:
        make()
    if "op:" in str(error.value):
        assert __file__ in str(error.value), "the error names the line that made the op"


def test_set_shape_adds_what_the_caller_knows() -> None:
    x = f(None, 3)
    x.set_shape([2, None])
    assert sizes(x) == [2, 3]
    with pytest.raises(ValueError, match="not compatible"):
        x.set_shape([4, 3])


def test_long_shape_arithmetic_ends() -> None:
    n = tf.shape(f(3))[0]
    for _ in range(40):
        n = n + n - n  # each step doubles the ways to the start
    assert sizes(tf.zeros([n])) in ([3], [None])
