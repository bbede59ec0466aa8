"""Random ops: integers, and what the graph's and the op's seeds make repeat, as the API's `set_random_seed` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import Array


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_integers(dtype: Any) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        few = session.run(tf.random_uniform([60_000], -2, 4, dtype, seed=3))
        assert few.dtype == dtype.as_numpy_dtype
        counts = np.bincount(few + 2, minlength=6)
        assert counts.size == 6
        assert np.abs(counts - 10_000).max() < 500
        one = tf.random_uniform([], 7, 8, dtype)
        assert one.op.type == "RandomUniformInt"
        assert session.run(one) == 7
        assert session.run(tf.random_uniform([0], 0, 5, dtype)).shape == (0,)
        wide = session.run(tf.random_uniform([1000], dtype.min, dtype.max, dtype))
        assert (wide < 0).any()
        assert (wide > 0).any()


def test_bounds_that_a_run_computes() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        low, shape = tf.placeholder(tf.int32, []), tf.placeholder(tf.int32, [None])
        numbers = tf.random_uniform(shape, low, 10, tf.int32)
        assert session.run(numbers, {low: 9, shape: [2, 3]}).tolist() == [[9] * 3] * 2
        for bad in (10, 12):
            with pytest.raises(tf.errors.InvalidArgumentError, match=f"Need minval < maxval, got {bad} >= 10"):
                session.run(numbers, {low: bad, shape: [2]})


def test_what_random_ops_refuse() -> None:
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match="Must specify maxval"):
            tf.random_uniform([2], 0, dtype=tf.int32)
        with pytest.raises(ValueError, match="Need minval < maxval, got 3 >= 3"):
            tf.random_uniform([2], 3, 3, tf.int64)
        for make in (tf.random_normal, tf.truncated_normal):
            with pytest.raises(TypeError, match="int32"):
                make([2], dtype=tf.int32)
        for make in (tf.random_normal, tf.truncated_normal, tf.random_uniform):
            with pytest.raises(ValueError, match="negative"):
                make([2, -1])
            assert make(tf.placeholder(tf.int32, [2])).get_shape().as_list() == [None, None]
            assert make([3, 4], dtype=tf.float64).dtype == tf.float64


MAKERS: dict[str, Callable[..., Any]] = {
    "uniform": lambda **seed: tf.random_uniform([20], **seed),
    "ints": lambda **seed: tf.random_uniform([20], 0, 1 << 30, tf.int32, **seed),
    "normal": lambda **seed: tf.random_normal([20], **seed),
    "truncated": lambda **seed: tf.truncated_normal([20], **seed),
    "shuffle": lambda **seed: tf.random_shuffle(np.arange(20), **seed),
}


def draws(make: Callable[..., Any], graph_seed: int | None, **seed: int) -> tuple[Array, Array, Array]:
    """What one op gives in two runs, and another op of the same graph in the first one."""
    with tf.Graph().as_default():
        if graph_seed is not None:
            tf.set_random_seed(graph_seed)
        first, second = make(**seed), make(**seed)
        with tf.Session() as session:
            a, b = session.run([first, second])
            return a, session.run(first), b


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_seeds(make: Callable[..., Any]) -> None:
    def repeats(graph_seed: int | None, **seed: int) -> bool:
        once, again = draws(make, graph_seed, **seed), draws(make, graph_seed, **seed)
        assert not np.array_equal(once[0], once[1]), "the next run of a session gives other numbers"
        return all(np.array_equal(x, y) for x, y in zip(once, again, strict=True))

    assert not repeats(None)
    assert repeats(17)
    assert repeats(None, seed=5)
    assert repeats(17, seed=5)
    same_graph_seed = draws(make, 17)
    assert not np.array_equal(same_graph_seed[0], same_graph_seed[2]), "each op has its own numbers"
    with_op_seeds = draws(make, 17, seed=5)
    assert np.array_equal(with_op_seeds[0], with_op_seeds[2]), "equal seeds, equal numbers"
    assert not np.array_equal(draws(make, 17, seed=5)[0], draws(make, 18, seed=5)[0])
    assert not np.array_equal(draws(make, None, seed=0)[0], draws(make, None, seed=1)[0])


def test_a_shuffle_moves_rows() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        rows = np.arange(12).reshape(6, 2)
        shuffled = session.run(tf.random_shuffle(rows, seed=1))
        assert sorted(map(tuple, shuffled)) == sorted(map(tuple, rows))
        assert sorted(session.run(tf.random_shuffle(["a", "b", "c"])).tolist()) == [b"a", b"b", b"c"]
        assert session.run(tf.random_shuffle(7)) == 7
