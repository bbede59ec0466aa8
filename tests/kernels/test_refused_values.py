"""Values that the API refuses when an operation runs, not when it is made: the error is one of tf.errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowc as tf

X = np.arange(6, dtype=np.float32).reshape(2, 3)

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "slice_size": (lambda: tf.slice(X, [0, 0], [3, 1]), r"Expected size\[0\] in \[0, 2\], but got 3"),
    "slice_begin": (lambda: tf.slice(X, [-1, 0], [1, 1]), r"Expected begin\[0\] in \[0, 2\], but got -1"),
    "slice_begin_after_end": (lambda: tf.slice(X, [0, 4], [1, 1]), r"Expected begin\[1\] in \[0, 3\], but got 4"),
    "reshape": (lambda: tf.reshape(X, [-1, -1]), "Only one input size may be -1, not both 0 and 1"),
    "tile": (lambda: tf.tile(X, [1, -1]), r"Expected multiples\[1\] >= 0, but got -1"),
    "transpose": (lambda: tf.transpose(X, [0, 0]), r"1 is missing from \{0,0\}"),
    "sum": (lambda: tf.reduce_sum(X, [1, -1]), "Axes contains duplicate dimension: 1"),
    "argmax": (lambda: tf.argmax(1.0, 0), r"Expected dimension in the range \[0, 0\), but got 0"),
    "argmin_of_none": (lambda: tf.argmin(np.zeros((0, 3)), 0), "Reduction axis 0 is empty in shape"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_when_run(case: str) -> None:
    make, message = REFUSED[case]
    with tf.Graph().as_default(), tf.Session() as session:
        tensor = make()
        with pytest.raises(tf.errors.InvalidArgumentError, match=message) as error:
            session.run(tensor)
        assert error.value.op is tensor.op


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [([1, 2], tf.string, "Cast int32 to string"), (["a"], tf.float32, "Cast string to float32")],
)
@pytest.mark.parametrize("is_fed", [False, True])
def test_cast_of_strings(value: Any, dtype: tf.DType, message: str, is_fed: bool) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        source: Any = tf.constant(value)
        tensor = tf.cast(tf.placeholder(source.dtype, [None]) if is_fed else source, dtype)
        with pytest.raises(tf.errors.UnimplementedError, match=message):
            session.run(tensor, {tensor.op.inputs[0]: value})
