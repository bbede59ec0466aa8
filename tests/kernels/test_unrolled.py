"""What unrolled networks compile to: each step's terms of a gradient joined, weights laid out once for all steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import Array, values

Fetches = list[tf.Tensor]


def run(fetches: Fetches, feeds: dict[tf.Tensor, Array]) -> tuple[list[Array], Counter[str]]:
    """The fetched arrays, and how often each kernel is launched."""
    with tf.Session() as session:
        names = re.findall(r"^  launch \d+: (\w+):", session.plan(fetches, feeds).explain(), re.MULTILINE)
        return session.run(fetches, feeds), Counter(names)


def launches(names: Counter[str], start: str) -> int:
    return sum(count for name, count in names.items() if name.startswith(start))


# -- products that share a matrix --------------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("m", "k", "n"), [(20, 300, 170), (8, 257, 512), (33, 400, 98)])
def test_products_by_one_matrix_lay_it_out_once(graph: tf.Graph, m: int, k: int, n: int, turned: bool) -> None:
    xs = [values((m, k), "float32", seed=i) for i in range(4)]
    w, b = values((n, k) if turned else (k, n), "float32", seed=8), values((n,), "float32", seed=9)
    places = [tf.placeholder(tf.float32, (m, k)) for _ in xs]
    matrix = tf.placeholder(tf.float32, w.shape)
    products = [tf.matmul(x, matrix, transpose_b=turned) for x in places]
    products[1:3] = products[1] + tf.constant(b), tf.nn.relu(products[2] + tf.constant(b))
    got, names = run(products, {matrix: w, **dict(zip(places, xs, strict=True))})
    wide = w.T.astype(np.float64) if turned else w.astype(np.float64)
    expected = [x @ wide for x in xs]
    expected[1:3] = expected[1] + b, np.maximum(expected[2] + b, 0)
    for one, right in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, right, rtol=1e-5, atol=1e-4)
    assert launches(names, "matmul_right") == 1
    assert launches(names, "matmul_few") == 4
    assert all("panels" in name for name in names if name.startswith("matmul_few"))


def test_two_products_copy_what_they_need(graph: tf.Graph) -> None:
    xs = [tf.placeholder(tf.float32, (20, 300)) for _ in range(2)]
    w = tf.placeholder(tf.float32, (300, 170))
    arrays = {x: values((20, 300), "float32", seed=i) for i, x in enumerate((*xs,))} | {
        w: values((300, 170), "float32")
    }
    _, names = run([tf.matmul(x, w) for x in xs], arrays)
    assert launches(names, "matmul_right") == 0


def test_a_matrix_that_others_than_products_read_is_not_laid_out(graph: tf.Graph) -> None:
    x, w = tf.placeholder(tf.float32, (20, 300)), tf.placeholder(tf.float32, (300, 170))
    arrays = {x: values((20, 300), "float32"), w: values((300, 170), "float32", seed=1)}
    (got, *_), names = run([tf.matmul(x, w), tf.square(w), tf.reduce_sum(w), tf.transpose(w)], arrays)
    np.testing.assert_allclose(got, arrays[x] @ arrays[w].astype(np.float64), rtol=1e-5, atol=1e-4)
    assert launches(names, "matmul_right") == 0


def test_a_shared_matrix_may_change_in_the_run(graph: tf.Graph) -> None:
    """A step of gradient descent: products of few rows are added to the matrix that others of them read."""
    start = values((300, 170), "float32", seed=3)
    w = tf.Variable(start)
    xs = [values((20, 300), "float32", seed=i) for i in range(3)]
    y = tf.add_n([tf.matmul(tf.constant(x), w) for x in xs])
    train = tf.train.GradientDescentOptimizer(0.5).minimize(tf.reduce_sum(y))
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        got, _ = session.run([y, train])
        np.testing.assert_allclose(got, sum(x.astype(np.float64) @ start for x in xs), rtol=1e-4, atol=1e-4)
        gradient = sum(x.sum(0, dtype=np.float64) for x in xs)[:, None]
        np.testing.assert_allclose(session.run(w), start - 0.5 * gradient, rtol=1e-4, atol=1e-4)


# -- sums of like terms ------------------------------------------------------------------------------------------------


def joined_products(transposed: bool) -> tuple[tf.Tensor, Callable[..., Any], list[tuple[int, ...]]]:
    shapes = [(3, 40), (3, 50), (2, 40), (2, 50)] if transposed else [(40, 3), (3, 50), (40, 2), (2, 50)]
    a, b, c, d = places = [tf.placeholder(tf.float64, shape) for shape in shapes]
    first, second = tf.matmul(a, b, transpose_a=transposed), tf.matmul(c, d, transpose_a=transposed)

    def expected(a: Array, b: Array, c: Array, d: Array) -> Any:
        return (a.T @ b + c.T @ d if transposed else a @ b + c @ d) + 2 * np.cos(1.0)

    total = tf.add_n([first, tf.fill([40, 50], np.cos(1.0)), second, tf.fill([40, 50], np.cos(1.0))])
    assert len(places) == 4
    return total, expected, shapes


@pytest.mark.parametrize("transposed", [False, True])
def test_products_in_a_sum_become_one(graph: tf.Graph, transposed: bool) -> None:
    total, expected, shapes = joined_products(transposed)
    places = [op.outputs[0] for op in graph.get_operations() if op.type == "Placeholder"]
    arrays = [values(shape, "float64", seed=i) for i, shape in enumerate(shapes)]
    (got,), names = run([total], dict(zip(places, arrays, strict=True)))
    np.testing.assert_allclose(got, expected(*arrays), rtol=1e-12)
    assert launches(names, "gemm") + launches(names, "matmul_") == 1


def test_products_of_long_rows_stay_apart(graph: tf.Graph) -> None:
    """Where copying the factors costs more than the sum."""
    a, b = tf.placeholder(tf.float32, [4, 600]), tf.placeholder(tf.float32, [600, 5])
    arrays = {a: values((4, 600), "float32"), b: values((600, 5), "float32", seed=1)}
    (got,), names = run([tf.add_n([tf.matmul(a, b), tf.matmul(2.0 * a, b)])], arrays)
    np.testing.assert_allclose(got, 3 * (arrays[a].astype(np.float64) @ arrays[b]), rtol=1e-4, atol=1e-4)
    assert launches(names, "gemm") + launches(names, "matmul_") == 2


def test_sums_over_rows_in_a_sum_become_one(graph: tf.Graph) -> None:
    shapes = [(2, 7), (1, 7), (5, 7), (3, 7)]
    places = [tf.placeholder(tf.float32, shape) for shape in shapes]
    arrays = [values(shape, "float32", seed=i) for i, shape in enumerate(shapes)]
    base = tf.constant(np.arange(7, dtype=np.float32))
    total = tf.add_n([base, *(tf.reduce_sum(x, 0) for x in places)])
    (got,), names = run([total], dict(zip(places, arrays, strict=True)))
    np.testing.assert_allclose(
        got, np.arange(7) + np.concatenate(arrays).sum(0, dtype=np.float64), rtol=1e-5, atol=1e-5
    )
    assert launches(names, "sum") == 1


@pytest.mark.parametrize(("axis", "sizes"), [(0, [2, 3, 1]), (1, [1, 1, 4]), (-1, [2, 2])])
def test_parts_that_are_put_together_again_are_not_copied(graph: tf.Graph, axis: int, sizes: list[int]) -> None:
    """A slice of joined arrays is one of them; the gradients of an array's parts lie side by side."""
    shapes = [tuple(size if a == axis % 3 else 3 for a in range(3)) for size in sizes]
    places = [tf.placeholder(tf.float32, shape) for shape in shapes]
    arrays = [values(shape, "float32", seed=i) for i, shape in enumerate(shapes)]
    whole = tf.concat(axis % 3, places)
    starts = np.cumsum([0, *sizes[:-1]])
    parts = [tf.slice(whole, [int(s) if a == axis % 3 else 0 for a in range(3)], p.get_shape().as_list())
             for s, p in zip(starts, places, strict=True)]  # fmt: skip
    outputs = [tf.sin(part) * (i + 1) for i, part in enumerate(parts)]
    got, names = run([*outputs, *tf.gradients(outputs, places)], dict(zip(places, arrays, strict=True)))
    for i, array in enumerate(arrays):
        np.testing.assert_allclose(got[i], np.sin(array) * (i + 1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got[len(arrays) + i], np.cos(array) * (i + 1), rtol=1e-5, atol=1e-6)
    assert not [name for name in names if name.startswith(("copy_", "pad"))]


def test_parts_that_overlap_or_leave_gaps_are_added(graph: tf.Graph) -> None:
    x = tf.placeholder(tf.float32, [7, 2])
    array = values((7, 2), "float32")
    for spans in ([(0, 3), (2, 5)], [(0, 2), (5, 2)], [(1, 6), (0, 2), (0, 2)]):
        parts = [tf.slice(x, [start, 0], [size, 2]) for start, size in spans]
        (got,), _ = run(tf.gradients([tf.square(part) for part in parts], [x]), {x: array})
        counts = sum(((np.arange(7) >= s) & (np.arange(7) < s + n)).astype(float) for s, n in spans)
        np.testing.assert_allclose(got, 2 * array * counts[:, None], rtol=1e-6)


def test_slices_across_joined_arrays(graph: tf.Graph) -> None:
    x, y = tf.placeholder(tf.float32, [2, 3]), tf.placeholder(tf.float32, [2, 4])
    a, b = values((2, 3), "float32"), values((2, 4), "float32", seed=1)
    whole = tf.concat(1, [x, tf.concat(1, [y, x])])
    blocks = [
        ((0, 1), (2, 2)),
        ((1, 4), (1, 3)),
        ((0, 8), (2, 2)),
        ((0, 2), (2, 5)),
        ((1, 3), (1, 0)),
        ((0, 10), (2, 0)),
    ]
    got, _ = run([tf.slice(whole, begin, size) for begin, size in blocks], {x: a, y: b})
    joined = np.concatenate([a, b, a], 1)
    for one, ((top, left), (rows, columns)) in zip(got, blocks, strict=True):
        np.testing.assert_array_equal(one, joined[top : top + rows, left : left + columns])


# -- gradients scaled where they are made ------------------------------------------------------------------------------


def test_a_weighted_cross_entropy_makes_its_gradient_in_one_pass(graph: tf.Graph) -> None:
    """Though the loss is used before the weight of the gradient is there."""
    logits, labels = values((40, 300), "float32"), np.arange(40, dtype=np.int32) * 7
    x, weights = tf.placeholder(tf.float32, logits.shape), tf.placeholder(tf.float32, [40])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(x, tf.constant(labels)) * weights
    fetches = [tf.reduce_sum(losses) / 3.0, *tf.gradients(tf.reduce_sum(losses / 3.0 * weights), [x])]
    scale = values((40,), "float32", seed=1)
    (loss, gradient), names = run(fetches, {x: logits, weights: scale})
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(1, keepdims=True))
    softmax = powers / powers.sum(1, keepdims=True)
    rows = np.arange(40)
    np.testing.assert_allclose(loss, -(np.log(softmax[rows, labels]) * scale).sum() / 3, rtol=1e-5)
    softmax[rows, labels] -= 1
    np.testing.assert_allclose(gradient, softmax * (scale * scale / 3)[:, None], rtol=1e-4, atol=1e-6)
    assert sum(1 for name in names if "max_sub" in name or "max_and" in name or "exp" in name) == 1, names
