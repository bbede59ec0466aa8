"""The greatest elements of rows, and whether a class is among them."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import INTEGER, REAL, Batch, extremes, special, values
from tests.kernels.numeric_gradients import case, check_gradients


@pytest.mark.parametrize("dtype", [*REAL, *INTEGER])
def test_top_k(dtype: str) -> None:
    """Ints of few different values have ties; every k; rows of one element; none."""
    batch = Batch()
    for shape, counts in (((7,), range(8)), ((3, 5), (1, 3, 5)), ((2, 3, 40), (1, 2, 17, 40)), ((4, 1), (1,))):
        x = batch.feed(values(shape, dtype))
        for k in counts:
            batch.op("TopK", x, k=k)
    batch.op("TopK", batch.feed(values((0, 3), dtype)), k=2)
    edges = special(dtype) if dtype in REAL else extremes(dtype)
    for k in (1, 4, len(edges)):
        batch.op("TopK", batch.feed(np.stack([edges, edges[::-1]])), k=k)
    batch.check()


@pytest.mark.parametrize("choices", [[1.0], [0.0, -0.0], [1.0, 2.0], [np.nan, 1.0, np.nan]])
def test_ties_come_in_the_order_of_their_indices(choices: list[float]) -> None:
    x = np.resize(np.array(choices, np.float32), 23)
    with tf.Graph().as_default(), tf.Session() as session:
        values, indices = session.run(tf.nn.top_k(x, 23))
    for value in choices:
        found = indices[np.isnan(values) if np.isnan(value) else values == value]
        assert found.tolist() == sorted(found)


def test_rows_in_any_order() -> None:
    """Rising, falling and random rows against a full sort."""
    rng = np.random.default_rng(0)
    rows = [np.arange(300), -np.arange(300), *(rng.permutation(300) for _ in range(6))]
    x = np.array(rows, np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        for k in (1, 2, 10, 299):
            values, indices = session.run(tf.nn.top_k(x, k))
            np.testing.assert_array_equal(indices, np.argsort(-x, 1, kind="stable")[:, :k])
            np.testing.assert_array_equal(values, np.take_along_axis(x, indices, 1))


@pytest.mark.parametrize("dtype", REAL)
def test_in_top_k(dtype: str) -> None:
    predictions = np.array([[0.1, 0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.1], [np.nan, 1, np.inf, 2]])
    batch = Batch()
    x = batch.feed(predictions.astype(dtype))
    for targets in ([3, 2, 0, 1], [1, 1, 2, 0], [0, 0, 3, 2], [-1, 4, 7, 3]):
        for kind in (np.int32, np.int64):
            for k in (0, 1, 2, 4):
                batch.op("InTopK", x, batch.feed(np.array(targets, kind)), k=k)
    batch.op("InTopK", batch.feed(np.zeros((0, 3), dtype)), batch.feed(np.zeros(0, np.int32)), k=1)
    batch.check()


def test_classes_that_tie_are_all_among_the_k() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        among = session.run(tf.nn.in_top_k([[0.5, 0.5, 0.5, 0.1]] * 4, [0, 1, 2, 3], 1))
    assert among.tolist() == [True, True, True, False]


@pytest.mark.parametrize("sizes_known", [True, False])
def test_gradients(sizes_known: bool) -> None:
    check_gradients([case("TopK", (7,), k=3), case("TopK", (2, 3, 4), k=2), case("TopK", (3, 2), k=2)], sizes_known)


def test_errors_and_types() -> None:
    with tf.Graph().as_default():
        x = [[0.1, 0.2], [0.3, 0.4]]
        top = tf.nn.top_k(x, 2)
        assert (top.values.op.type, top.indices.dtype) == ("TopK", tf.int32)
        with pytest.raises(ValueError, match="must have last dimension >= k = 4"):
            tf.nn.top_k(x, 4)
        with pytest.raises(ValueError, match="Need k >= 0, got -7"):
            tf.nn.top_k(x, -7)
        with pytest.raises(ValueError, match="rank"):
            tf.nn.top_k(1.0, 1)
        with pytest.raises(ValueError, match="not compatible"):
            tf.nn.in_top_k(x, [0, 1, 1], 1)
