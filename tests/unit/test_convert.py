"""Values to tensors: what types register, in which order they are asked, and what is packed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import flowc as tf
from flowc.framework import convert


class Celsius:
    """A value with a type of its own."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees


class Pair(NamedTuple):
    left: Any
    right: Any


def to_kelvin(value: Any, dtype: Any, name: str | None, as_ref: bool) -> tf.Tensor:
    return tf.constant(value.degrees + 273, name=name or "kelvin")


def declines(value: Any, dtype: Any, name: str | None, as_ref: bool) -> Any:
    return NotImplemented


@pytest.fixture(autouse=True)
def _forget_conversions_of_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(convert, "_conversions", list(convert._conversions))
    with tf.Graph().as_default():
        yield


def value_of(tensor: tf.Tensor) -> Any:
    return tensor.op.get_attr("value")


def test_a_registered_type_is_converted() -> None:
    tf.register_tensor_conversion_function(Celsius, to_kelvin)
    assert value_of(tf.convert_to_tensor(Celsius(10.0))) == 283
    assert tf.add(Celsius(10.0), 1.0).op.inputs[0].op.type == "Const"


def test_a_function_may_decline() -> None:
    tf.register_tensor_conversion_function(Celsius, declines, priority=1)
    with pytest.raises(TypeError, match="Cannot convert"):
        tf.convert_to_tensor(Celsius(10.0))
    tf.register_tensor_conversion_function(Celsius, to_kelvin)
    assert value_of(tf.convert_to_tensor(Celsius(10.0))) == 283


def test_smaller_priorities_are_asked_first() -> None:
    tf.register_tensor_conversion_function(Celsius, to_kelvin)
    tf.register_tensor_conversion_function(Celsius, lambda *_: tf.constant(-1.0), priority=99)
    assert value_of(tf.convert_to_tensor(Celsius(10.0))) == -1


def test_lists_with_tensors_are_packed() -> None:
    x = tf.placeholder(tf.float32, [])
    rows = tf.convert_to_tensor([[x, 1.0], [2.0, 3.0]], name="rows")
    assert (rows.op.type, rows.op.name, rows.get_shape().as_list()) == ("Pack", "rows", [2, 2])
    np.testing.assert_array_equal(value_of(tf.convert_to_tensor([[1.0], [2.0]])), [[1], [2]])


def test_a_registered_kind_of_tuple_goes_before_packing() -> None:
    x = tf.placeholder(tf.float32, [])
    assert tf.convert_to_tensor(Pair(x, x)).op.type == "Pack"
    tf.register_tensor_conversion_function(Pair, lambda value, *_: value.left)
    assert tf.convert_to_tensor(Pair(x, x)) is x


def test_dtypes_are_interned() -> None:
    assert tf.DType(1) is tf.float32
    with pytest.raises(TypeError, match="not a valid DType"):
        tf.DType(99)
