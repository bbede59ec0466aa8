"""Making convolutions: names, types and attributes, shapes as far as they are known, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import flowc as tf

ONES = [1, 1, 1, 1]


def f(*sizes: int | None, dtype: Any = tf.float32) -> tf.Tensor:
    return tf.placeholder(dtype, list(sizes))


def test_the_operation(graph: tf.Graph) -> None:
    y = tf.nn.conv2d(f(1, 4, 4, 3), f(2, 2, 3, 8), [1, 2, 1, 1], "SAME")
    assert (y.op.type, y.op.name) == ("Conv2D", "Conv2D")
    assert y.op.get_attr("strides") == [1, 2, 1, 1]
    assert y.op.get_attr("padding") in ("SAME", b"SAME")
    assert y.op.get_attr("use_cudnn_on_gpu") is True
    assert (
        tf.nn.conv2d(f(1, 4, 4, 3), f(2, 2, 3, 8), ONES, "SAME", False, "mine").op.get_attr("use_cudnn_on_gpu") is False
    )
    assert tf.nn.conv2d_transpose(f(1, 4, 4, 8), f(2, 2, 3, 8), [1, 4, 4, 3], ONES).op.type == "Conv2DBackpropInput"


@pytest.mark.parametrize(
    ("image", "filter", "strides", "padding", "result"),
    [
        ((2, 7, 8, 3), (3, 3, 3, 5), [1, 1, 1, 1], "SAME", [2, 7, 8, 5]),
        ((2, 7, 8, 3), (3, 3, 3, 5), [1, 2, 3, 1], "SAME", [2, 4, 3, 5]),
        ((2, 7, 8, 3), (3, 3, 3, 5), [1, 2, 3, 1], "VALID", [2, 3, 2, 5]),
        ((2, 4, 4, 3), (6, 5, 3, 5), [1, 1, 1, 1], "SAME", [2, 4, 4, 5]),
        ((None, None, 8, 3), (3, 3, 3, None), [1, 1, 1, 1], "VALID", [None, None, 6, None]),
        ((2, 7, 8, None), (None, 3, None, 5), [1, 1, 1, 1], "VALID", [2, None, 6, 5]),
        ((2, 7, 8, None), (None, 3, None, 5), [1, 1, 1, 1], "SAME", [2, 7, 8, 5]),
    ],
)
def test_shapes(image: Any, filter: Any, strides: list[int], padding: str, result: list[int | None]) -> None:
    assert tf.nn.conv2d(f(*image), f(*filter), strides, padding).get_shape().as_list() == result


def test_shapes_of_the_other_functions() -> None:
    assert tf.nn.depthwise_conv2d(f(2, 7, 8, 3), f(3, 3, 3, 2), ONES, "VALID").get_shape().as_list() == [2, 5, 6, 6]
    separable = tf.nn.separable_conv2d(f(2, 7, 8, 3), f(3, 3, 3, 2), f(1, 1, 6, 9), ONES, "SAME")
    assert separable.get_shape().as_list() == [2, 7, 8, 9]
    transposed = tf.nn.conv2d_transpose(f(2, 4, 4, 8), f(3, 3, 5, 8), [2, 8, 7, 5], [1, 2, 2, 1])
    assert transposed.get_shape().as_list() == [2, 8, 7, 5]
    assert tf.nn.conv2d(tf.placeholder(tf.float32), f(3, 3, 3, 5), ONES, "SAME").get_shape().ndims == 4


@pytest.mark.parametrize(
    ("image", "filter", "strides", "padding", "message"),
    [
        ((4, 4, 3), (2, 2, 3, 5), ONES, "SAME", "rank"),
        ((1, 4, 4, 3), (2, 3, 5), ONES, "SAME", "rank"),
        ((1, 4, 4, 3), (2, 2, 4, 5), ONES, "SAME", "not compatible"),
        ((1, 4, 4, 3), (5, 2, 3, 5), ONES, "VALID", "must not be larger than the input"),
        ((1, 4, 4, 3), (2, 2, 3, 5), [2, 1, 1, 1], "SAME", "strides in the batch and depth dimensions"),
        ((1, 4, 4, 3), (2, 2, 3, 5), [1, 1, 1, 2], "SAME", "strides in the batch and depth dimensions"),
        ((1, 4, 4, 3), (2, 2, 3, 5), [1, 1, 1], "SAME", "4 elements"),
        ((1, 4, 4, 3), (2, 2, 3, 5), [1, 0, 1, 1], "SAME", "positive"),
        ((1, 4, 4, 3), (2, 2, 3, 5), ONES, "HALF", "padding"),
    ],
)
def test_what_does_not_fit(image: Any, filter: Any, strides: list[int], padding: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tf.nn.conv2d(f(*image), f(*filter), strides, padding)


def test_types_that_do_not_fit() -> None:
    with pytest.raises(TypeError):
        tf.nn.conv2d(f(1, 4, 4, 3, dtype=tf.int32), f(2, 2, 3, 5, dtype=tf.int32), ONES, "SAME")
    with pytest.raises((TypeError, ValueError)):
        tf.nn.conv2d(f(1, 4, 4, 3), f(2, 2, 3, 5, dtype=tf.float64), ONES, "SAME")


def test_separable_convolutions_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="overparameterized"):
        tf.nn.separable_conv2d(f(1, 4, 4, 3), f(2, 2, 3, 4), f(1, 1, 12, 8), ONES, "SAME")
    with pytest.raises(ValueError, match="1×1"):
        tf.nn.separable_conv2d(f(1, 4, 4, 3), f(2, 2, 3, 1), f(2, 1, 3, 8), ONES, "SAME")
    with pytest.raises(ValueError, match="gets"):
        tf.nn.separable_conv2d(f(1, 4, 4, 3), f(2, 2, 3, 1), f(1, 1, 4, 8), ONES, "SAME")


def test_a_transpose_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="are not compatible"):
        tf.nn.conv2d_transpose(f(2, 4, 4, 8), f(3, 3, 5, 8), [2, 20, 7, 5], [1, 2, 2, 1])
