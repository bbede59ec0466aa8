"""Every op type, for every element type that it takes: compiled runs against the reference executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.reference.interpreter import run_reference
from flowc.framework.building import apply_list
from flowc.framework.dtypes import BOOL, COMPLEX, FLOATING, INDEX, INTEGER, NUMERIC, ORDERED, REAL, DType
from flowc.train.training_ops import update

Array = np.ndarray[Any, Any]
NUMBERS_AND_BOOL = NUMERIC | BOOL
RTOL = {"float16": 4e-3, "float32": 2e-5, "float64": 1e-11, "complex64": 1e-4, "complex128": 1e-10}


def sample(shape: Sequence[int], dtype: DType, seed: int = 0, least: float = -4, most: float = 4) -> Array:
    """Random values: floats between the bounds, whole numbers between them (not negative if unsigned), bools."""
    rng = np.random.default_rng([seed, *shape])
    kind = np.dtype(dtype.as_numpy_dtype)
    if kind.kind == "b":
        return np.asarray(rng.random(tuple(shape)) < 0.5)
    if kind.kind in "iu":
        return rng.integers(max(least, 0) if kind.kind == "u" else least, most + 1, tuple(shape)).astype(kind)
    values = rng.uniform(least, most, tuple(shape))
    if kind.kind == "c":
        return np.asarray(values + 1j * rng.uniform(least, most, tuple(shape)), kind)
    return values.astype(kind)


def check(
    op_type: str, inputs: Sequence[Array], attrs: dict[str, Any] | None = None, known: Sequence[int] = ()
) -> None:
    """Runs an op on fed arrays (`known`: those that are constants) by the session and by the reference."""
    check_each(op_type, inputs, [attrs], known)


def check_each(
    op_type: str, inputs: Sequence[Array], many_attrs: Sequence[dict[str, Any] | None], known: Sequence[int] = ()
) -> None:
    """The same for several sets of attributes, in one run."""
    with tf.Graph().as_default(), tf.Session() as sess:
        tensors = [tf.constant(x) if i in known else tf.placeholder(x.dtype, x.shape) for i, x in enumerate(inputs)]
        feeds = {t: x for i, (t, x) in enumerate(zip(tensors, inputs, strict=True)) if i not in known}
        outputs = [y for attrs in many_attrs for y in apply_list(op_type, tensors, attrs)]
        got = sess.run(outputs, feeds)
        wanted, _ = run_reference(outputs, feeds, {})
    for mine, right in zip(got, wanted, strict=True):
        assert right is not None
        assert np.asarray(mine).dtype == right.dtype
        rtol = RTOL.get(right.dtype.name, 0)
        name = f"{op_type} {[x.dtype.name for x in inputs]} -> {right.dtype.name}"
        np.testing.assert_allclose(mine, right, rtol=rtol, atol=rtol * 4, err_msg=name)


def each(*cases: tuple[str, frozenset[DType]]) -> list[Any]:
    """One parameter set an op type and element type. `op/op`: several op types."""
    return [
        pytest.param(op_type, dtype, id=f"{op_type}-{dtype.name}")
        for op_types, dtypes in cases
        for op_type in op_types.split("/")
        for dtype in sorted(dtypes, key=lambda d: d.name)
    ]


UNARY = (
    ("Neg/Square/Identity/StopGradient", NUMERIC),
    ("Abs/Sign/Relu/Relu6", ORDERED),
    ("Exp/Sin/Cos/Tanh/Sigmoid", FLOATING),
    ("Erf/Floor/Ceil/Elu/Softplus/Softsign/IsNan/IsInf/IsFinite", REAL),
    ("Conj/Real/Imag/ComplexAbs", COMPLEX),
    ("LogicalNot", BOOL),
    ("ZerosLike", NUMBERS_AND_BOOL),
    ("Softmax/LogSoftmax/L2Loss", REAL),
)


@pytest.mark.parametrize(("op_type", "dtype"), each(*UNARY))
def test_unary(op_type: str, dtype: DType) -> None:
    check(op_type, [sample((3, 37), dtype)])


@pytest.mark.parametrize(("op_type", "dtype"), each(("Sqrt/Rsqrt/Log/Inv", FLOATING)))
def test_roots_and_logarithms(op_type: str, dtype: DType) -> None:
    check(op_type, [sample((40,), dtype, least=0.1)])
    if dtype.is_complex:
        check(op_type, [sample((40,), dtype)])


@pytest.mark.parametrize("dtype", sorted(REAL, key=lambda d: d.name), ids=lambda d: d.name)
@pytest.mark.parametrize(
    "op_type",
    [
        "Neg",
        "Abs",
        "Sign",
        "Exp",
        "Log",
        "Sqrt",
        "Tanh",
        "Sigmoid",
        "Floor",
        "Ceil",
        "Relu",
        "Softplus",
        "IsNan",
        "IsInf",
        "IsFinite",
    ],
)
def test_special_values(op_type: str, dtype: DType) -> None:
    check(op_type, [np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0], dtype.as_numpy_dtype)])


BINARY = (
    ("Add/Sub/Mul", NUMERIC),
    ("Maximum/Minimum/Less/LessEqual/Greater/GreaterEqual", ORDERED),
    ("Equal/NotEqual", NUMBERS_AND_BOOL),
    ("LogicalAnd/LogicalOr", BOOL),
    ("Complex", frozenset((tf.float32, tf.float64))),
)


@pytest.mark.parametrize(("op_type", "dtype"), each(*BINARY))
def test_binary(op_type: str, dtype: DType) -> None:
    check(op_type, [sample((3, 7), dtype), sample((3, 7), dtype, 1)])
    check(op_type, [sample((4, 1, 5), dtype), sample((3, 1), dtype, 1)])


@pytest.mark.parametrize(("op_type", "dtype"), each(("Div", NUMERIC), ("Mod", ORDERED)))
def test_division(op_type: str, dtype: DType) -> None:
    x, y = sample((5, 8), dtype, most=60), sample((8,), dtype, 1)
    y[y == 0] = 3
    check(op_type, [x, y])
    check(op_type, [x, y], known=[1])


@pytest.mark.parametrize("dtype", sorted(INTEGER, key=lambda d: d.name), ids=lambda d: d.name)
@pytest.mark.parametrize("op_type", ["Div", "Mod"])
def test_division_of_integers_by_zero(op_type: str, dtype: DType) -> None:
    for known in ([], [1], [0, 1]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="by zero"):
            check(op_type, [sample((3,), dtype), np.array([1, 0, 2], dtype.as_numpy_dtype)], known=known)


@pytest.mark.parametrize("dtype", sorted(NUMERIC, key=lambda d: d.name), ids=lambda d: d.name)
def test_pow(dtype: DType) -> None:
    base = sample((6, 5), dtype, least=-3 if dtype.is_integer or dtype.is_complex else 0.1, most=3)
    check("Pow", [base, sample((6, 5), dtype, 1, -2, 3)])
    check("Pow", [base, np.array(2, dtype.as_numpy_dtype)], known=[1])
    check("Pow", [np.array([0, 0, 1, 2], dtype.as_numpy_dtype), np.array([0, 2, 0, 1], dtype.as_numpy_dtype)])


@pytest.mark.parametrize("source", sorted(NUMBERS_AND_BOOL, key=lambda d: d.name), ids=lambda d: d.name)
def test_cast_to_all_types(source: DType) -> None:
    targets = sorted(NUMBERS_AND_BOOL - {source}, key=lambda d: d.is_unsigned)
    for least, chosen in ((-4, [t for t in targets if not t.is_unsigned]), (0, [t for t in targets if t.is_unsigned])):
        check_each("Cast", [sample((9,), source, least=least)], [{"SrcT": source, "DstT": t} for t in chosen])


@pytest.mark.parametrize("dtype", sorted(NUMBERS_AND_BOOL, key=lambda d: d.name), ids=lambda d: d.name)
def test_select_and_sums_of_many(dtype: DType) -> None:
    x, y = sample((4, 3), dtype), sample((4, 3), dtype, 1)
    for condition in (sample((4, 3), tf.bool, 2), sample((4,), tf.bool, 2), np.array(True)):
        check("Select", [condition, x, y])
    if dtype in NUMERIC:
        check("AddN", [x, y, x, sample((4, 3), dtype, 2)])
        check("AddN", [x])
        check("BiasAdd", [x, sample((3,), dtype, 1)])


@pytest.mark.parametrize(
    ("op_type", "dtype"),
    each(("ReluGrad/Relu6Grad", ORDERED), ("EluGrad/SoftplusGrad/SoftsignGrad", REAL)),
)
def test_activation_gradients(op_type: str, dtype: DType) -> None:
    check(op_type, [sample((20,), dtype), sample((20,), dtype, 1, most=9)])


# -- reductions --------------------------------------------------------------------------------------------------------

REDUCTIONS = (("Sum/Mean/Prod", NUMERIC), ("Max/Min", ORDERED), ("All/Any", BOOL))
AXES = [((5, 6, 7), a) for a in ([], [0], [1], [2], [0, 2], [1, 2], [-1], [0, 1, 2])] + [((4, 0, 3), [0]), ((), [])]


@pytest.mark.parametrize(("op_type", "dtype"), each(*REDUCTIONS))
def test_reductions(op_type: str, dtype: DType) -> None:
    for number, (shape, axes) in enumerate(AXES):
        x = sample(shape, dtype, least=-1, most=1) if op_type == "Prod" else sample(shape, dtype)
        check(op_type, [x, np.array(axes, np.int32)], {"keep_dims": number % 2 == 1}, known=[1])


@pytest.mark.parametrize(("op_type", "dtype"), each(("Sum/Max/Min/Prod", REAL)))
def test_reductions_of_nothing(op_type: str, dtype: DType) -> None:
    check(op_type, [sample((0, 3), dtype), np.array([0], np.int32)], {"keep_dims": False}, known=[1])


@pytest.mark.parametrize(
    ("op_type", "dtype"), each(("Sum/Mean/Max", frozenset((tf.float32, tf.int32, tf.complex64)) & ORDERED))
)
def test_large_reductions(op_type: str, dtype: DType) -> None:
    for shape, axes in (
        ((200_000,), [0]),
        ((3, 70_000), [1]),
        ((70_000, 3), [0]),
        ((300, 500), [0]),
        ((300, 500), [0, 1]),
    ):
        check(op_type, [sample(shape, dtype), np.array(axes, np.int32)], {"keep_dims": False}, known=[1])


@pytest.mark.parametrize(("op_type", "dtype"), each(("ArgMax/ArgMin", ORDERED)))
def test_arg_reductions(op_type: str, dtype: DType) -> None:
    for axis in (0, 1, 2, -1):
        check(op_type, [sample((5, 4, 6), dtype), np.array(axis, np.int32)], known=[1])


# -- arrays ------------------------------------------------------------------------------------------------------------


def vector(*values: int) -> Array:
    return np.array(values, np.int32)


MOVES: list[tuple[str, tuple[int, ...], list[Array], dict[str, Any]]] = [
    ("Reshape", (4, 6), [vector(3, -1)], {}),
    ("ExpandDims", (4, 6), [np.array(-1, np.int32)], {}),
    ("Squeeze", (4, 1, 6, 1), [], {"squeeze_dims": [1]}),
    ("Transpose", (2, 3, 4), [vector(2, 0, 1)], {}),
    ("BroadcastTo", (3, 1), [vector(2, 3, 4)], {}),
    ("Slice", (5, 6), [vector(1, 2), vector(3, -1)], {}),
    ("Slice", (5, 6), [vector(1, 2), vector(0, 2)], {}),
    ("Tile", (2, 3), [vector(3, 2)], {}),
    ("Tile", (2, 3), [vector(1, 0)], {}),
    ("Reverse", (3, 4, 2), [np.array([True, False, True])], {}),
    ("Unpack", (3, 4), [], {"num": 3}),
    ("Pad", (2, 3), [np.array([[1, 0], [2, 3]], np.int32)], {}),
    ("Pad", (0, 3), [np.array([[1, 1], [0, 0]], np.int32)], {}),
    ("Shape", (2, 3), [], {}),
    ("Size", (2, 3), [], {}),
    ("Rank", (2, 3), [], {}),
]


@pytest.mark.parametrize("dtype", sorted(NUMBERS_AND_BOOL, key=lambda d: d.name), ids=lambda d: d.name)
def test_moves(dtype: DType) -> None:
    for op_type, shape, rest, attrs in MOVES:
        check(op_type, [sample(shape, dtype), *rest], attrs, known=range(1, 1 + len(rest)))
    x, y, z = (sample((2, n, 3), dtype, n) for n in (4, 1, 0))
    check("Concat", [np.array(1, np.int32), x, y, z], known=[0])
    check("Concat", [np.array(-2, np.int32), z, z], known=[0])
    check("Split", [np.array(1, np.int32), x], {"num_split": 2}, known=[0])
    check("Pack", [x, x + x if dtype in NUMERIC else ~x, x], {"N": 3})
    check("Fill", [vector(3, 2), sample((), dtype)], known=[0])
    for index_type in (np.int32, np.int64):
        check("Gather", [sample((5, 2, 3), dtype), np.array([[0, 4], [2, 2]], index_type)])
    if dtype in NUMERIC:
        ids = np.array([0, 3, 0, 1], np.int32)
        check("UnsortedSegmentSum", [sample((4, 3), dtype), ids, np.array(5, np.int32)], known=[2])


@pytest.mark.parametrize("dtype", sorted(INDEX, key=lambda d: d.name), ids=lambda d: d.name)
def test_integer_vectors(dtype: DType) -> None:
    kind = dtype.as_numpy_dtype
    check("InvertPermutation", [np.array([2, 0, 3, 1], kind)])
    check("Range", [np.array(n, kind) for n in (3, 20, 4)], known=[0, 1, 2])
    check("Range", [np.array(n, kind) for n in (9, 0, -2)], known=[0, 1, 2])
    check("Slice", [sample((4, 5), tf.float32), np.array([1, 2], kind), np.array([2, 3], kind)], known=[2])


@pytest.mark.parametrize("dtype", sorted(REAL, key=lambda d: d.name), ids=lambda d: d.name)
def test_ranges_of_floats(dtype: DType) -> None:
    kind = dtype.as_numpy_dtype
    check("Range", [np.array(n, kind) for n in (0.5, 3.25, 0.25)], known=[0, 1, 2])
    for count in (1, 2, 9, 3000):
        check("LinSpace", [np.array(-1, kind), np.array(2, kind), np.array(count, np.int32)], known=[2])


def test_broadcast_gradient_axes() -> None:
    check("BroadcastGradientAxes", [sample((3, 1, 4), tf.float32), sample((5, 4), tf.float32)])


# -- matrices and classes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", sorted(FLOATING | INDEX, key=lambda d: d.name), ids=lambda d: d.name)
def test_products(dtype: DType) -> None:
    for turn_a in (False, True):
        for turn_b in (False, True):
            a = sample((7, 5) if turn_a else (5, 7), dtype)
            b = sample((6, 7) if turn_b else (7, 6), dtype, 1)
            check("MatMul", [a, b], {"transpose_a": turn_a, "transpose_b": turn_b})
            stacks = [np.stack([x, x[::-1]]) for x in (a, b)]
            check("BatchMatMul", stacks, {"adj_x": turn_a, "adj_y": turn_b})
    check("MatMul", [sample((3, 0), dtype), sample((0, 4), dtype)], {"transpose_a": False, "transpose_b": False})
    check("MatMul", [sample((0, 3), dtype), sample((3, 4), dtype)], {"transpose_a": False, "transpose_b": False})
    check(
        "BatchMatMul", [sample((2, 3, 4, 5), dtype), sample((2, 3, 5, 2), dtype, 1)], {"adj_x": False, "adj_y": False}
    )


@pytest.mark.parametrize("dtype", sorted(REAL, key=lambda d: d.name), ids=lambda d: d.name)
def test_cross_entropies(dtype: DType) -> None:
    logits = sample((6, 9), dtype, least=-20, most=20)
    labels = np.eye(9, dtype=dtype.as_numpy_dtype)[[0, 3, 3, 8, 1, 2]]
    check("SoftmaxCrossEntropyWithLogits", [logits, labels])
    check("SparseSoftmaxCrossEntropyWithLogits", [logits, np.array([0, 3, 3, 8, 1, 2], np.int64)])
    logits[0, 4] = -np.inf
    check("SoftmaxCrossEntropyWithLogits", [logits, labels])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels\[1\] = 9 is not in \[0, 9\)"):
        check("SparseSoftmaxCrossEntropyWithLogits", [logits[:2], np.array([0, 9], np.int32)])


# -- sparse updates of optimizers --------------------------------------------------------------------------------------

SPARSE: list[tuple[str, int, list[float], str]] = [
    ("SparseApplyMomentum", 2, [0.1, 0.9], "rate grad indices momentum"),
    ("SparseApplyAdagrad", 2, [0.1], "rate grad indices"),
    ("SparseApplyFtrl", 3, [0.1, 0.5, 0.2, -0.5], "grad indices rate l1 l2 power"),
]


@pytest.mark.parametrize("dtype", sorted(REAL, key=lambda d: d.name), ids=lambda d: d.name)
@pytest.mark.parametrize(("op_type", "count", "scalars", "order"), SPARSE, ids=[case[0] for case in SPARSE])
def test_sparse_updates(op_type: str, count: int, scalars: list[float], order: str, dtype: DType) -> None:
    """Of repeated rows, and of an index out of range, which leaves all as it was."""
    before = [sample((5, 3), dtype, seed, 0.1, 1) for seed in range(count)]
    grad = sample((4, 3), dtype, 7, -1, 1)
    with tf.Graph().as_default(), tf.Session() as sess:
        variables = [tf.Variable(x) for x in before]
        indices = tf.placeholder(tf.int64, [4])
        numbers = iter(scalars)
        known = {"grad": grad, "indices": indices}
        rest = [known[name] if name in known else next(numbers) for name in order.split()]
        op = update(op_type, *(v.ref() for v in variables), *rest)
        sess.run(tf.initialize_all_variables())
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"indices\[3\] = 5 is not in \[0, 5\)"):
            sess.run(op, {indices: [1, 1, 2, 5]})
        for variable, value in zip(variables, before, strict=True):
            np.testing.assert_array_equal(sess.run(variable), value)
        sess.run(op, {indices: [3, 0, 3, 3]})
        after = [sess.run(v) for v in variables]
        state = {v.op.name: x for v, x in zip(variables, before, strict=True)}
        _, wanted = run_reference([op], {indices: np.array([3, 0, 3, 3])}, state)
        for variable, value in zip(variables, after, strict=True):
            np.testing.assert_allclose(
                value, wanted[variable.op.name], rtol=4 * RTOL[dtype.name], atol=RTOL[dtype.name]
            )
