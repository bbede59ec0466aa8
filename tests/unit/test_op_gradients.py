"""Every op's gradient against finite differences, computed by the reference executor in float64.

Each case is differentiated three times: with shapes known, with sizes unknown and with unknown ranks at build.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.reference.interpreter import run_reference
from flowc.framework.building import apply_list

STEP = 1e-6


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 2.0, size=shape)


def complex_normal(*shape: int, seed: int = 0) -> np.ndarray:
    return normal(*shape, seed=seed) + 1j * normal(*shape, seed=seed + 100)


A, B = normal(3, 4, seed=1), normal(3, 4, seed=2)
ROW, COLUMN = normal(4, seed=3), normal(3, 1, seed=4)
Z, W = complex_normal(3, 4, seed=5), complex_normal(3, 4, seed=6)
ZEROS_IN = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 4.0], [5.0, 6.0, 7.0]])
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
LABELS = np.array([[0.2, 0.3, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])


def grad_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The first derivative as a function of the graph, so that a case can check the second."""

    def first(x: Any) -> Any:
        return tf.gradients(tf.square(function(x)), x)[0]

    return first


def gathered(params: Any) -> Any:
    return tf.gather(params, [[2, 0], [2, 2]])


UNARY = {
    "neg": (tf.neg, A),
    "abs": (tf.abs, A),
    "sign": (tf.sign, A),
    "inv": (tf.inv, A),
    "square": (tf.square, A),
    "sqrt": (tf.sqrt, positive(3, 4)),
    "rsqrt": (tf.rsqrt, positive(3, 4)),
    "exp": (tf.exp, A),
    "log": (tf.log, positive(3, 4)),
    "tanh": (tf.tanh, A),
    "sigmoid": (tf.sigmoid, A),
    "erf": (tf.erf, A),
    "sin": (tf.sin, A),
    "cos": (tf.cos, A),
    "identity": (tf.identity, A),
    "cast": (lambda x: tf.cast(tf.cast(x, tf.complex128), tf.float64), A),
    "relu": (tf.nn.relu, A),
    "relu6": (tf.nn.relu6, 4 * A),
    "elu": (tf.nn.elu, A),
    "softplus": (tf.nn.softplus, A),
    "softsign": (tf.nn.softsign, A),
    "softmax": (tf.nn.softmax, A),
    "log_softmax": (tf.nn.log_softmax, A),
    "l2_loss": (tf.nn.l2_loss, A),
    "reshape": (lambda x: tf.reshape(x, [2, -1]), A),
    "transpose": (tf.transpose, A),
    "transpose_perm": (lambda x: tf.transpose(x, [1, 2, 0]), normal(2, 3, 4)),
    "expand_dims": (lambda x: tf.expand_dims(x, 1), A),
    "squeeze": (tf.squeeze, normal(3, 1, 4)),
    "broadcast_to": (lambda x: tf.broadcast_to(x, [2, 3, 4]), COLUMN),
    "slice": (lambda x: tf.slice(x, [1, 0], [2, 3]), A),
    "slice_rest": (lambda x: tf.slice(x, [1, 0], [-1, 3]), A),
    "index": (lambda x: x[1], A),
    "pad": (lambda x: tf.pad(x, [[1, 0], [2, 3]]), A),
    "tile": (lambda x: tf.tile(x, [2, 3]), A),
    "reverse": (lambda x: tf.reverse(x, [True, False]), A),
    "unpack": (lambda x: tf.add_n(tf.unpack(x, 3)), A),
    "unpack_one": (lambda x: tf.unpack(x, 3)[1], A),
    "split": (lambda x: tf.mul(*tf.split(1, 2, x)), A),
    "split_one": (lambda x: tf.split(1, 2, x)[1], A),
    "gather": (gathered, A),
    "gather_vector": (lambda x: tf.gather(x, [1, 1, 0]), A),
    "fill": (lambda x: tf.fill([2, 3], x), np.float64(1.5)),
    "sum": (tf.reduce_sum, A),
    "sum_axis": (lambda x: tf.reduce_sum(x, 0), A),
    "sum_negative_axis": (lambda x: tf.reduce_sum(x, [-1]), A),
    "sum_keep": (lambda x: tf.reduce_sum(x, [1], keep_dims=True), A),
    "mean": (tf.reduce_mean, A),
    "mean_axis": (lambda x: tf.reduce_mean(x, [0, 2]), normal(2, 3, 4)),
    "max": (lambda x: tf.reduce_max(x, 1), A),
    "min": (lambda x: tf.reduce_min(x, 0, keep_dims=True), A),
    "prod": (lambda x: tf.reduce_prod(x, 1), A),
    "prod_zeros": (lambda x: tf.reduce_prod(x, 1), ZEROS_IN),
    "select": (lambda x: tf.select(tf.greater(x, 0), 2 * x, x * x), A),
    "select_rows": (lambda x: tf.select(tf.constant([True, False, True]), 2 * x, x * x), A),
    "dropout_all_kept": (lambda x: tf.nn.dropout(x, 1.0), A),
    "l2_normalize": (lambda x: tf.nn.l2_normalize(x, 1), A),
    "moments": (lambda x: tf.add(*tf.nn.moments(x, [0])), A),
    "round_and_floor": (lambda x: x * tf.floor(x), A),
    "truediv_by_number": (lambda x: 3.0 / x, A),
    "cross_entropy": (lambda x: tf.nn.softmax_cross_entropy_with_logits(x, tf.constant(LABELS)), A),
    "sparse_cross_entropy": (lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits(x, [1, 3, 0]), A),
    "sigmoid_cross_entropy": (lambda x: tf.nn.sigmoid_cross_entropy_with_logits(x, tf.constant(LABELS)), A),
    "embedding_of_one": (lambda x: tf.nn.embedding_lookup(x, [[0, 2]]), A),
    "second_relu": (grad_of(tf.nn.relu), A),
    "second_relu6": (grad_of(tf.nn.relu6), 4 * A),
    "second_elu": (grad_of(tf.nn.elu), A),
    "second_softplus": (grad_of(tf.nn.softplus), A),
    "second_softsign": (grad_of(tf.nn.softsign), A),
    "second_tanh": (grad_of(tf.tanh), A),
    "second_sqrt": (grad_of(tf.sqrt), positive(3, 4)),
    "second_cross_entropy": (
        grad_of(lambda x: tf.nn.softmax_cross_entropy_with_logits(x, tf.constant(LABELS))),
        A,
    ),
    "complex_mul": (lambda z: z * tf.constant(W), Z),
    "complex_div": (lambda z: tf.constant(W) / z, Z),
    "complex_square": (tf.square, Z),
    "complex_exp": (tf.exp, Z),
    "complex_log": (tf.log, Z),
    "complex_sqrt": (tf.sqrt, Z),
    "complex_tanh": (tf.tanh, 0.3 * Z),
    "complex_sigmoid": (tf.sigmoid, 0.3 * Z),
    "complex_sin": (tf.sin, Z),
    "complex_abs": (tf.complex_abs, Z),
    "complex_real": (tf.real, Z),
    "complex_imag": (tf.imag, Z),
    "complex_conj": (tf.conj, Z),
    "complex_prod": (lambda z: tf.reduce_prod(z, 1), Z),
    "complex_pow": (lambda z: tf.pow(z, tf.constant(W)), Z),
}

BINARY = {
    "add": (tf.add, A, B),
    "add_row": (tf.add, A, ROW),
    "sub_column": (tf.sub, COLUMN, A),
    "mul_outer": (tf.mul, COLUMN, ROW),
    "mul_scalar": (tf.mul, np.float64(2.5), A),
    "div": (tf.div, A, positive(3, 4)),
    "truediv": (tf.truediv, ROW, positive(3, 4)),
    "mod": (tf.mod, 7 * A, positive(3, 4)),
    "pow": (tf.pow, positive(3, 4), B),
    "pow_row": (tf.pow, positive(3, 1), ROW),
    "maximum": (tf.maximum, A, B),
    "maximum_row": (tf.maximum, A, ROW),
    "minimum_column": (tf.minimum, COLUMN, B),
    "squared_difference": (tf.squared_difference, A, ROW),
    "add_n": (lambda x, y: tf.add_n([x, y, x]), A, B),
    "concat": (lambda x, y: tf.concat(0, [x, y]), A, normal(2, 4)),
    "concat_last": (lambda x, y: tf.concat(-1, [x, y]), A, COLUMN),
    "pack": (lambda x, y: tf.pack([x, y]), A, B),
    "stack": (lambda x, y: tf.stack([x, y], 1), ROW, normal(4)),
    "bias_add": (tf.nn.bias_add, A, ROW),
    "complex": (tf.complex, A, ROW),
    "matmul": (tf.matmul, A, normal(4, 2)),
    "matmul_ta": (lambda x, y: tf.matmul(x, y, transpose_a=True), normal(4, 3), normal(4, 2)),
    "matmul_tb": (lambda x, y: tf.matmul(x, y, transpose_b=True), A, normal(2, 4)),
    "matmul_tt": (lambda x, y: tf.matmul(x, y, True, True), normal(4, 3), normal(2, 4)),
    "matmul_complex": (lambda x, y: tf.matmul(x, y, True), complex_normal(4, 3), complex_normal(4, 2)),
    "batch_matmul": (tf.batch_matmul, normal(2, 3, 4), normal(2, 4, 5)),
    "batch_matmul_tt": (
        lambda x, y: tf.batch_matmul(x, y, True, True),
        complex_normal(2, 4, 3),
        complex_normal(2, 5, 4),
    ),
    "batch_matmul_ta": (lambda x, y: tf.batch_matmul(x, y, True), complex_normal(2, 4, 3), complex_normal(2, 4, 5)),
    "batch_matmul_tb": (
        lambda x, y: tf.batch_matmul(x, y, False, True),
        complex_normal(2, 3, 4),
        complex_normal(2, 5, 4),
    ),
    "xw_plus_b": (lambda x, w: tf.nn.xw_plus_b(x, w, tf.constant(normal(2))), A, normal(4, 2)),
    "embedding": (lambda x, y: tf.nn.embedding_lookup([x, y], [0, 1, 4, 5]), A, B),
}

CASES = {**UNARY, **BINARY}
NEED_RANK = {"index", "stack", "add_n", "l2_normalize", "moments"}


def run(fetches: list[Any], feeds: dict[Any, Any]) -> list[Any]:
    values, _ = run_reference(fetches, feeds, {})
    return values


def shapes_of(case: str, known: str, values: tuple[np.ndarray, ...]) -> list[Any]:
    if known == "all":
        return [v.shape for v in values]
    if known == "rank" or case in NEED_RANK:
        return [[None] * v.ndim for v in values]
    return [None] * len(values)


def numeric_gradient(loss: Callable[[list[np.ndarray]], float], values: list[np.ndarray], index: int) -> np.ndarray:
    """dL/dx by central differences; of a complex input dL/dx + i dL/dy."""
    result = np.zeros_like(values[index])
    for at in np.ndindex(result.shape):
        for unit in (1.0, 1j) if np.iscomplexobj(result) else (1.0,):
            ends = []
            for step in (STEP, -STEP):
                moved = [v.copy() for v in values]
                moved[index][at] += step * unit
                ends.append(loss(moved))
            result[at] += unit * (ends[0] - ends[1]) / (2 * STEP)
    return result


@pytest.mark.parametrize("known", ["all", "rank", "nothing"])
@pytest.mark.parametrize("case", CASES)
def test_gradient_agrees_with_finite_differences(case: str, known: str) -> None:
    function, *arrays = CASES[case]
    values = [np.array(v) for v in arrays]
    with tf.Graph().as_default():
        inputs = [
            tf.placeholder(v.dtype, s) for v, s in zip(values, shapes_of(case, known, tuple(values)), strict=True)
        ]
        y = function(*inputs)
        (value,) = run([y], dict(zip(inputs, values, strict=True)))
        rng = np.random.default_rng(9)
        seed = rng.normal(size=value.shape) + (1j * rng.normal(size=value.shape) if y.dtype.is_complex else 0)
        gradients = [tf.convert_to_tensor(g) for g in tf.gradients(y, inputs, grad_ys=tf.constant(seed))]
        found = run(gradients, dict(zip(inputs, values, strict=True)))

        def loss(moved: list[np.ndarray]) -> float:
            (out,) = run([y], dict(zip(inputs, moved, strict=True)))
            return float(np.sum(np.conj(seed) * out).real)

        for i, gradient in enumerate(found):
            assert gradient.shape == values[i].shape
            np.testing.assert_allclose(gradient, numeric_gradient(loss, values, i), rtol=1e-5, atol=1e-7)


def test_ties_share_the_gradient_of_an_extreme() -> None:
    with tf.Graph().as_default():
        x = tf.constant(TIES)
        (high,) = tf.gradients(tf.reduce_max(x, 1), x)
        (low,) = tf.gradients(tf.reduce_min(x, 1), x)
        found = run([high, low], {})
    np.testing.assert_allclose(found[0], [[0, 0.5, 0.5], [1 / 3] * 3])
    np.testing.assert_allclose(found[1], [[1, 0, 0], [1 / 3] * 3])


def test_squares_of_negative_numbers_have_a_gradient() -> None:
    with tf.Graph().as_default():
        x = tf.constant([-3.0, 0.0, 2.0])
        (gradient,) = tf.gradients(x**2, x)
        np.testing.assert_allclose(run([gradient], {})[0], [-6, 0, 4])


def test_a_modulus_of_zero_has_gradient_zero() -> None:
    with tf.Graph().as_default():
        z = tf.constant(np.array([0, 3 + 4j]))
        np.testing.assert_allclose(run(tf.gradients(tf.complex_abs(z), z), {})[0], [0, 0.6 + 0.8j])


def test_a_bias_of_known_rank_needs_no_reshape() -> None:
    with tf.Graph().as_default() as graph:
        x, b = tf.placeholder(tf.float32, [None, 4]), tf.placeholder(tf.float32, [4])
        before = len(graph.get_operations())
        (gradient,) = tf.gradients(x + b, b, grad_ys=tf.placeholder(tf.float32, [None, 4]))
        made = {op.type for op in graph.get_operations()[before:]}
    assert gradient.get_shape().as_list() == [4]
    assert "Reshape" not in made


def test_axes_of_broadcasting_come_from_partial_shapes() -> None:
    from flowc.framework.constant_value import values_from_shapes

    def axes(x: Any, y: Any) -> list[Any]:
        found = values_from_shapes("BroadcastGradientAxes", {}, [x, y])
        assert found is not None
        return [None if a is None else a.tolist() for a in found]

    assert axes((None, 10), (10,)) == [[], [0]]
    assert axes((3, 1), (1, 4)) == [[1], [0]]
    assert axes((None,), (4,)) == [None, []]
    assert axes((), (2, 3)) == [[0, 1], []]
    assert axes(None, (2,)) == [None, None]
    assert values_from_shapes("Add", {}, [(), ()]) is None
    with tf.Graph().as_default():
        axes_of_x, axes_of_y = apply_list("BroadcastGradientAxes", [tf.zeros([2, 3]), tf.zeros([3])])
    assert [axes_of_x.get_shape(), axes_of_y.get_shape()] == [tf.TensorShape([0]), tf.TensorShape([1])]
