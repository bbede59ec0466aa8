"""Functions that later versions of the API added: against NumPy, and their gradients against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import Batch, values
from tests.kernels.numeric_gradients import case, check_gradients, complex_values, smooth

RNG = np.random.default_rng(5)
TRANSFORMS = {"FFT": 1, "FFT2D": 2, "FFT3D": 3, "IFFT": 1, "IFFT2D": 2, "IFFT3D": 3}  # over how many dimensions


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.Session() as session:
        yield session


def complexes(*shape: int) -> Any:
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).astype(np.complex64)


def test_fourier_transforms(session: tf.Session) -> None:
    fetches, expected = [], []
    for count, suffix in ((1, ""), (2, "2d"), (3, "3d")):
        for inverse, function in (("", np.fft.fftn), ("i", np.fft.ifftn)):
            axes = tuple(range(-count, 0))
            one, stack = complexes(*(3, 4, 2)[-count:]), complexes(2, 3, 4, 2)
            fetches += [getattr(tf, f"{inverse}fft{suffix}")(one), getattr(tf, f"batch_{inverse}fft{suffix}")(stack)]
            expected += [function(one, axes=axes), function(stack, axes=axes)]
    for got, want in zip(session.run(fetches), expected, strict=True):
        assert got.dtype == np.complex64
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    assert session.run(tf.fft(np.zeros(0, np.complex64))).shape == (0,)
    with pytest.raises(ValueError, match="rank 1"):
        tf.fft(complexes(2, 2))


@pytest.mark.parametrize("sizes_known", [True, False])
def test_gradients(sizes_known: bool) -> None:
    spread = np.eye(3) * 2 + smooth((3, 3)) / 4
    two, rhs = np.stack([spread, spread.T + 0.1]), smooth((2, 3, 2))
    cases = [case(op_type, complex_values((2, 3, 2)[-count:])) for op_type, count in TRANSFORMS.items()]
    cases += [
        case(f"Batch{op_type}", complex_values((2, 2, 1, 3)[-count - 1 :])) for op_type, count in TRANSFORMS.items()
    ]
    for adjoint in (False, True):
        cases += [case("MatrixSolve", spread, rhs[0], adjoint=adjoint)]
        cases += [case("BatchMatrixSolve", two, rhs, adjoint=adjoint)]
        cases += [case("MatrixTriangularSolve", spread, rhs[0], adjoint=adjoint, lower=adjoint)]
        cases += [case("BatchMatrixTriangularSolve", two, rhs, adjoint=adjoint, lower=True)]
        for axis in (0, 1):
            cases += [case("Cumsum", (3, 2), np.int32(axis), exclusive=adjoint, reverse=not adjoint)]
    check_gradients(cases, sizes_known)


@pytest.mark.parametrize("adjoint", [False, True])
def test_linear_equations(session: tf.Session, adjoint: bool) -> None:
    matrices = 0.3 * RNG.normal(size=(2, 3, 3)) + 3 * np.eye(3)
    rhs = RNG.normal(size=(2, 3, 2))
    turned = np.swapaxes if adjoint else lambda m, *_: m
    cases = [(tf.matrix_solve, tf.batch_matrix_solve, {}, matrices)]
    for lower in (True, False):
        part = np.tril(matrices) if lower else np.triu(matrices)
        cases.append((tf.matrix_triangular_solve, tf.batch_matrix_triangular_solve, {"lower": lower}, part))
    for one, stack, attrs, read in cases:
        want = np.linalg.solve(turned(read, -1, -2), rhs)
        got = session.run(
            [one(matrices[0], rhs[0], adjoint=adjoint, **attrs), stack(matrices, rhs, adjoint=adjoint, **attrs)]
        )
        np.testing.assert_allclose(got[0], want[0], rtol=1e-10)
        np.testing.assert_allclose(got[1], want, rtol=1e-10)


def test_a_singular_system(session: tf.Session) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="not invertible"):
        session.run(tf.matrix_solve(np.zeros((2, 2)), np.ones((2, 1))))
    with pytest.raises(ValueError, match=r"not compatible|incompatible"):
        tf.matrix_solve(np.zeros((2, 3)), np.ones((2, 1)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_cumulative_sums(dtype: str) -> None:
    batch = Batch()
    for shape, axis in (((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 4), -2), ((0, 3), 0), ((2, 0), 1)):
        x = batch.feed(np.abs(values(shape, dtype)))  # of one sign: nothing cancels
        for exclusive in (False, True):
            for reverse in (False, True):
                batch.op("Cumsum", x, np.int32(axis), exclusive=exclusive, reverse=reverse)
    batch.check()


def test_what_cumulative_sums_are(session: tf.Session) -> None:
    sums = [tf.cumsum([1, 2, 3], exclusive=e, reverse=r) for e in (False, True) for r in (False, True)]
    np.testing.assert_array_equal(session.run(sums), [[1, 3, 6], [6, 5, 3], [0, 1, 3], [5, 3, 0]])
    with pytest.raises(ValueError, match="out of range"):
        tf.cumsum([1], 1)


def test_cross_and_blocks(session: tf.Session) -> None:
    a, b = RNG.normal(size=(2, 4, 3)), RNG.normal(size=(2, 4, 3))
    np.testing.assert_allclose(session.run(tf.cross(a, b)), np.cross(a, b), rtol=1e-12)
    image = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    fed = tf.placeholder(tf.int64, [None, None, 6, 3])
    blocks = tf.space_to_depth(fed, 2)
    got, back = session.run([blocks, tf.depth_to_space(blocks, 2)], {fed: image})
    assert blocks.get_shape().as_list() == [None, None, 3, 12]
    np.testing.assert_array_equal(got[1, 1, 2], image[1, 2:4, 4:6].reshape(-1))
    np.testing.assert_array_equal(back, image)
    with pytest.raises(ValueError, match="must divide"):
        tf.space_to_depth(np.zeros((1, 3, 4, 1)), 2)


@pytest.mark.parametrize("adjoint_a", [False, True])
@pytest.mark.parametrize("adjoint_b", [False, True])
def test_sparse_by_dense(session: tf.Session, adjoint_a: bool, adjoint_b: bool) -> None:
    dense = np.array([[0, 2.0, 0], [3, 0, 4]])
    a = dense.T if adjoint_a else dense
    b = RNG.normal(size=(4, a.shape[1]) if adjoint_b else (a.shape[1], 4))
    want = a @ (b.T if adjoint_b else b)
    fed = tf.sparse_placeholder(tf.float64)
    known = tf.SparseTensor([[0, 1], [1, 0], [1, 2]], np.array([2.0, 3, 4]), [2, 3])
    value = tf.SparseTensorValue(np.argwhere(dense), dense[dense != 0], [2, 3])
    for sparse in (fed, known):
        got = tf.sparse_tensor_dense_matmul(sparse, b, adjoint_a, adjoint_b)
        np.testing.assert_allclose(session.run(got, {fed: value}), want)


def test_networks(session: tf.Session) -> None:
    x = RNG.normal(size=(4, 3))
    mean, variance, scale, offset = x.mean(0), x.var(0), np.array([1.0, 2, 3]), np.array([0.0, 1, 2])
    want = (x - mean) / np.sqrt(variance + 0.1)
    got = session.run([
        tf.nn.crelu(x),
        tf.nn.batch_normalization(x, mean, variance, None, None, 0.1),
        tf.nn.batch_normalization(x, mean, variance, offset, scale, 0.1),
    ])  # fmt: skip
    np.testing.assert_array_equal(got[0], np.maximum(np.concatenate([x, -x], 1), 0))
    np.testing.assert_allclose(got[1], want, rtol=1e-10)
    np.testing.assert_allclose(got[2], want * scale + offset, rtol=1e-10)


def test_local_variables(session: tf.Session) -> None:
    local = tf.Variable(3.0, trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES])
    known = tf.is_variable_initialized(local)
    assert tf.local_variables() == [local]
    assert tf.all_variables() == []
    assert not session.run(known)
    session.run(tf.local_variables_initializer())
    assert session.run(known)
    assert session.run(local) == 3


def test_logging(caplog: pytest.LogCaptureFixture) -> None:
    level = tf.logging.get_verbosity()
    try:
        tf.logging.set_verbosity(tf.logging.INFO)
        tf.logging.info("step %d", 3)
        tf.logging.debug("hidden")
    finally:
        tf.logging.set_verbosity(level)
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [("flowc", "INFO", "step 3")]


def test_the_tutorials_import() -> None:
    from flowc.examples.tutorials.mnist import input_data
    from flowc.models.image.mnist.input_data import read_data_sets

    assert input_data.read_data_sets is read_data_sets
