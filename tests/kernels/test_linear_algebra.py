"""Diagonals and LAPACK's ops: against NumPy and what they must satisfy; bad matrices; gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import TYPES, Array, Batch, takes, values
from tests.kernels.numeric_gradients import Case, case, check_gradients, smooth

SHAPES = [(3, 3), (1, 1), (0, 0), (2, 4, 4), (0, 2, 2), (2, 3, 2, 2)]


def positive_definite(shape: tuple[int, ...], dtype: str) -> Array:
    x = values(shape, "float64")
    return np.asarray(x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1]), dtype)


@pytest.mark.parametrize("dtype", [t for t in TYPES if takes("Diag", t)])
def test_diagonals(dtype: str) -> None:
    batch = Batch()
    for shape in [(4,), (2, 3), (), (0,), (2, 2, 2)]:
        x = batch.op("Diag", batch.feed(values(shape, dtype)))
        batch.op("DiagPart", x)
        batch.op("DiagPart", batch.feed(values(shape + shape, dtype)))
    batch.op("DiagPart", batch.op("Transpose", batch.feed(values((3, 3), dtype)), [1, 0]))
    batch.check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_decompositions(dtype: str) -> None:
    batch = Batch()
    for shape in SHAPES:
        x = batch.feed(positive_definite(shape, dtype))
        for op_type in ("Determinant", "Inverse"):
            batch.op(f"BatchMatrix{op_type}", x)
            if len(shape) == 2:
                batch.op(f"Matrix{op_type}", x)
        for op_type in ("Cholesky", "SelfAdjointEig"):
            batch.op(f"Batch{op_type}", x)
            if len(shape) == 2:
                batch.op(op_type, x)
    batch.check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_decompositions_are_what_they_say(dtype: str) -> None:
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    with tf.Graph().as_default(), tf.Session() as session:
        x = positive_definite((2, 3, 4, 4), dtype)
        inverse, lower, eigen = session.run(
            [tf.batch_matrix_inverse(x), tf.batch_cholesky(x), tf.batch_self_adjoint_eig(x)]
        )
        np.testing.assert_allclose(x @ inverse, np.broadcast_to(np.eye(4), x.shape), atol=tolerance * 100)
        np.testing.assert_allclose(lower @ np.swapaxes(lower, -1, -2), x, rtol=tolerance, atol=tolerance)
        assert not np.triu(lower, 1).any()
        eigenvalues, vectors = eigen[..., :1, :], eigen[..., 1:, :]
        np.testing.assert_allclose(x @ vectors, vectors * eigenvalues, atol=tolerance * 10)
        assert (np.diff(eigenvalues) >= 0).all()


def test_only_the_lower_triangle_is_read() -> None:
    x = positive_definite((3, 3), "float64")
    with tf.Graph().as_default(), tf.Session() as session:
        for make in (tf.cholesky, tf.self_adjoint_eig):
            whole, lower = session.run([make(x), make(np.tril(x))])
            np.testing.assert_array_equal(whole, lower)


BAD = [
    (tf.matrix_inverse, np.ones((2, 2)), "Input is not invertible."),
    (tf.matrix_inverse, np.zeros((3, 3)), "Input is not invertible."),
    (tf.cholesky, -np.eye(2), "LLT decomposition was not successful. The input might not be valid."),
]


@pytest.mark.parametrize(("make", "matrix", "message"), BAD)
def test_bad_matrices_fail(make: Any, matrix: Array, message: str) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        result = make(tf.constant(matrix))
        with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
            session.run(result)
        assert caught.value.op is result.op


ONE = [tf.matrix_inverse, tf.matrix_determinant, tf.cholesky, tf.self_adjoint_eig]
MANY = [tf.batch_matrix_inverse, tf.batch_matrix_determinant, tf.batch_cholesky, tf.batch_self_adjoint_eig]


def test_shapes() -> None:
    with tf.Graph().as_default():
        matrix, stack = tf.placeholder(tf.float32, [3, None]), tf.placeholder(tf.float32, [None, 3, 3])
        assert [f(matrix).get_shape().as_list() for f in ONE] == [[3, 3], [], [3, 3], [4, 3]]
        assert [f(stack).get_shape().as_list() for f in MANY] == [[None, 3, 3], [None], [None, 3, 3], [None, 4, 3]]
        assert all(f(tf.placeholder(tf.float32)).get_shape().ndims is None for f in MANY)
        assert [f(tf.placeholder(tf.float32)).get_shape().ndims for f in ONE] == [2, 0, 2, 2]
        assert tf.diag(tf.placeholder(tf.float32, [2, None])).get_shape().as_list() == [2, None, 2, None]
        for make in ONE + MANY:
            with pytest.raises(ValueError, match="square"):
                make(tf.zeros([2, 3]))
            with pytest.raises(ValueError, match="rank"):
                make(tf.zeros([3]))
        for make in ONE:
            with pytest.raises(ValueError, match="rank"):
                make(tf.zeros([1, 3, 3]))


def test_a_product_of_sparse_matrices_is_a_product() -> None:
    """A "SparseMatMul", of float32 matrices with hints."""
    batch = Batch()
    x, y = values((3, 4), "float32"), values((5, 4), "float32")
    attrs = {"transpose_a": False, "transpose_b": True, "a_is_sparse": True, "b_is_sparse": False}
    batch.op("SparseMatMul", batch.feed(x), batch.feed(y), **attrs)
    batch.check()
    with batch.graph.as_default():
        assert tf.matmul(x, y, transpose_b=True, b_is_sparse=True).op.type == "SparseMatMul"
        assert tf.matmul(x.astype(float), y.astype(float), transpose_b=True, b_is_sparse=True).op.type == "MatMul"


def of_spread_matrix(op_type: str, function: Any, shape: tuple[int, ...]) -> Case:
    """The op, of a symmetric positive definite matrix made from what is differentiated."""
    shift = np.diag(np.arange(1.0, shape[-1] + 1))
    return Case(op_type, (smooth(shape),), lambda x: function(tf.batch_matmul(x, x, adj_y=True) + shift))


@pytest.mark.parametrize("sizes_known", [True, False])
def test_gradients(sizes_known: bool) -> None:
    spread = np.eye(3) * 2 + smooth((3, 3)) / 4
    two = np.stack([spread, spread.T + 0.1])
    cases = [
        case("Diag", (3,)),
        case("Diag", (2, 2)),
        case("DiagPart", (2, 3, 2, 3)),
        case("MatrixDeterminant", spread),
        case("BatchMatrixDeterminant", two),
        case("MatrixInverse", spread),
        case("BatchMatrixInverse", two),
        of_spread_matrix("Cholesky", tf.cholesky, (3, 3)),
        of_spread_matrix("BatchCholesky", tf.batch_cholesky, (2, 3, 3)),
        of_spread_matrix("SelfAdjointEig", tf.self_adjoint_eig, (3, 3)),
        of_spread_matrix("BatchSelfAdjointEig", tf.batch_self_adjoint_eig, (2, 3, 3)),
    ]
    check_gradients(cases, sizes_known)


def test_the_gradient_of_a_product_of_sparse_matrices() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        x, y = tf.constant(values((2, 3), "float32")), tf.constant(values((3, 2), "float32"))
        sparse, dense = (tf.gradients(tf.matmul(x, y, a_is_sparse=hint), [x, y]) for hint in (True, False))
        for got, wanted in zip(*session.run([sparse, dense]), strict=True):
            np.testing.assert_array_equal(got, wanted)
