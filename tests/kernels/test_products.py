"""Products of matrices by tiles, of all sizes and layouts, against NumPy in float64; and who computes a product."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.cpu.target import host_target
from flowc.codegen.kernels.products import FEW_ROWS, copied_shape, has_few_rows, padded_columns
from flowc.codegen.lower.matmul import added_product
from flowc.framework.dtypes import as_dtype
from tests.kernels.batch import Array, values
from tests.kernels.launching import Runner

TOLERANCE = {"float32": 2e-6, "float64": 4e-15}  # of the sum of the products' magnitudes
ROWS = (1, 7, 33, FEW_ROWS, FEW_ROWS + 9)
TERMS = (1, 5, 257, 600)
COLUMNS = (1, 10, 33, 130)
TURNS = [(False, False), (False, True), (True, False), (True, True)]


class Product:
    """A product by tiles of two arrays, either of which may be read turned, or of stacks of them."""

    def __init__(self, a: Array, b: Array, turn_a: bool = False, turn_b: bool = False) -> None:
        self.runner = Runner()
        p = self.runner.program
        left, right = self._view(a, turn_a), self._view(b, turn_b)
        dtype, shape = as_dtype(a.dtype), (*left.shape[:-1], right.shape[-1])
        if has_few_rows(left.shape[-2], right.shape[-1]):
            left = p.call("matmul_left", [left], copied_shape(left, right), dtype, columns=right.shape[-1])
        else:
            right = p.call("matmul_right", [right], copied_shape(left, right), dtype, rows=left.shape[-2])
        self.call = p.call("matmul", [left, right], shape, dtype)

    def _view(self, x: Array, turn: bool) -> Any:
        if not turn:
            return self.runner.feed(x)
        stored = self.runner.feed(np.ascontiguousarray(np.swapaxes(x, -1, -2)))
        return self.runner.program.transpose(stored, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))

    def value(self) -> Array:
        return self.runner.run(self.call).value


def check(got: Array, a: Array, b: Array) -> None:
    wide = a.astype(np.float64), b.astype(np.float64)
    magnitude = np.abs(wide[0]) @ np.abs(wide[1])
    error = np.abs(got - wide[0] @ wide[1])
    assert (error <= TOLERANCE[got.dtype.name] * magnitude).all(), f"{a.shape} {b.shape}: {error.max()}"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("turn_a", "turn_b"), TURNS)
def test_products(turn_a: bool, turn_b: bool, dtype: str) -> None:
    for m, k, n in itertools.product(ROWS, TERMS, COLUMNS):
        a, b = values((m, k), dtype), values((k, n), dtype, seed=1)
        check(Product(a, b, turn_a, turn_b).value(), a, b)


@pytest.mark.parametrize("rows", [9, FEW_ROWS + 1])
def test_stacks(rows: int) -> None:
    a, b = values((3, rows, 40), "float32"), values((3, 40, 35), "float32", seed=1)
    for turn_a, turn_b in TURNS:
        check(Product(a, b, turn_a, turn_b).value(), a, b)


def test_parts_of_other_matrices() -> None:
    runner = Runner()
    p = runner.program
    source = values((50, 60), "float32")
    node = runner.feed(source)
    a, b = p.slice(node, (3, 5), (40, 31)), p.slice(node, (9, 2), (31, 50))
    left = p.call("matmul_left", [a], copied_shape(a, b), a.dtype, columns=50)
    call = p.call("matmul", [left, b], (40, 50), a.dtype)
    check(runner.run(call).value, source[3:43, 5:36], source[9:40, 2:52])


@pytest.mark.parametrize("rows", [20, FEW_ROWS + 20])
def test_bias_and_relu(rows: int) -> None:
    a, b = values((rows, 300), "float32"), values((300, 45), "float32", seed=1)
    product = Product(a, b)
    bias = values((padded_columns(product.call),), "float32", seed=2)
    runner, call = product.runner, product.call
    args = [*call.args, runner.feed(bias)]
    call = runner.program.call("matmul", args, call.shape, call.dtype, bias=True, relu=True)
    expected = np.maximum(a.astype(np.float64) @ b + bias[:45], 0)
    np.testing.assert_allclose(runner.run(call).value, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", [20, FEW_ROWS + 20])
def test_adding_a_product(rows: int, dtype: str) -> None:
    a, b, base = values((rows, 300), dtype), values((300, 45), dtype, seed=1), values((rows, 45), dtype, seed=2)
    for turn_a in (False, True):
        check_added(Product(a, b, turn_a), a, b, base)


def check_added(product: Product, a: Array, b: Array, base: Array) -> None:
    call = added_product(product.runner.program, product.runner.feed(base), product.call, -0.5)
    expected = base - 0.5 * (a.astype(np.float64) @ b)
    np.testing.assert_allclose(product.runner.run(call).value, expected, rtol=1e-5, atol=1e-4)


# -- who computes a product --------------------------------------------------------------------------------------------


def explained(m: int, k: int, n: int, dtype: Any = tf.float32) -> str:
    with tf.Graph().as_default(), tf.Session() as session:
        a, b = tf.placeholder(dtype, [m, k]), tf.placeholder(dtype, [k, n])
        feeds = {a: np.zeros((m, k), dtype.as_numpy_dtype), b: np.zeros((k, n), dtype.as_numpy_dtype)}
        return session.plan(tf.matmul(a, b), feeds).explain()


def test_the_explanation_says_who_and_why() -> None:
    assert "computes matmul\n" in explained(50, 300, 100)
    assert "computes matmul\n" in explained(400, 300, 100)
    assert "computes matmul\n" in explained(2000, 2000, 2000)
    assert "gemm (BLAS: fewer than 524,288 products)" in explained(50, 3, 100)
    assert "gemm (BLAS: a result of few rows or columns)" in explained(1000, 1000, 10)
    assert "gemv (BLAS: one factor is a vector)" in explained(1, 1000, 1000)
    assert "gemm (BLAS: complex numbers)" in explained(200, 200, 200, tf.complex64)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_products_with_vectors(dtype: str) -> None:
    """Of rows and columns, and of what lies a stride apart."""
    matrix, wide = values((300, 140), dtype), values((300, 4, 140), dtype, seed=1)
    with tf.Graph().as_default(), tf.Session() as session:
        m, w = tf.placeholder(dtype, matrix.shape), tf.placeholder(dtype, wide.shape)
        pairs = [
            (w[:1, 1, :], tf.transpose(m), wide[:1, 1, :], matrix.T),
            (tf.transpose(w[:, 2, 5:6]), m, wide[:, 2, 5:6].T, matrix),
            (m, tf.transpose(w[:1, 3, :]), matrix, wide[:1, 3, :].T),
            (tf.transpose(m), w[:, 0, 7:8], matrix.T, wide[:, 0, 7:8]),
            (m[:, :1], w[:1, 0, :], matrix[:, :1], wide[:1, 0, :]),
        ]
        products = [tf.matmul(a, b) for a, b, *_ in pairs]
        for got, (*_, a, b) in zip(session.run(products, {m: matrix, w: wide}), pairs, strict=True):
            check(got, a, b)


def test_a_layer_is_one_pass_over_its_result() -> None:
    """The bias and relu of a layer are the product's, whatever op adds them."""
    x, w, b = values((50, 300), "float32"), values((300, 100), "float32"), values((100,), "float32")
    for add in (tf.add, tf.nn.bias_add):
        with tf.Graph().as_default(), tf.Session() as session:
            feed = tf.placeholder(tf.float32, x.shape)
            y = tf.nn.relu(add(tf.matmul(feed, tf.constant(w)), tf.constant(b)))
            np.testing.assert_allclose(session.run(y, {feed: x}), np.maximum(x @ w + b, 0), rtol=1e-4, atol=1e-3)
            names = [kernel.name for kernel in session.plan(y, {feed: x}).plan.kernels]
            assert not any(name.startswith(("add", "maximum")) for name in names)


def test_batches_share_kernels() -> None:
    def kernels(rows: int) -> set[str]:
        with tf.Graph().as_default(), tf.Session() as session:
            a, b = tf.placeholder(tf.float32, [rows, 300]), tf.placeholder(tf.float32, [300, 100])
            feeds = {a: np.zeros((rows, 300), "f"), b: np.zeros((300, 100), "f")}
            return {kernel.name for kernel in session.plan(tf.matmul(a, b), feeds).plan.kernels}

    all_kernels = set().union(*(kernels(rows) for rows in (50, 64, 90, 100, 128, 150)))
    assert len(all_kernels) <= 4  # a copy and a product, of tiles of two heights


def test_the_target_s_registers() -> None:
    count, size = host_target().vector_registers
    assert count in (16, 32)
    assert size in (16, 32, 64)
