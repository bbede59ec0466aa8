"""Every op type, compiled, against its NumPy definition: all types, and shapes and values where kernels go wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import flowc as tf
from flowc.framework.dtypes import as_dtype
from tests.kernels.batch import INTEGER, REAL, TYPES, Batch, extremes, special, takes, values

SHAPES = [(), (0,), (1,), (7,), (3, 0, 2), (4, 5)]
UNARY = [
    "Identity", "StopGradient", "ZerosLike", "Neg", "Abs", "Sign", "Inv", "Square", "Sqrt", "Rsqrt", "Exp", "Log",
    "Tanh", "Sigmoid", "Erf", "Sin", "Cos", "Floor", "Ceil", "IsNan", "IsInf", "IsFinite", "Relu", "Relu6", "Elu",
    "Softplus", "Softsign", "LogicalNot", "Real", "Imag", "Conj", "ComplexAbs", "Shape", "Size", "Rank", "L2Loss",
]  # fmt: skip
BINARY = [
    "Add", "Sub", "Mul", "Maximum", "Minimum", "Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual",
    "LogicalAnd", "LogicalOr", "Complex",
]  # fmt: skip
GRADS = ["ReluGrad", "Relu6Grad", "EluGrad", "SoftplusGrad", "SoftsignGrad"]
BROADCASTS = [((3, 1), (1, 4)), ((), (5,)), ((2, 3), (2, 3)), ((0, 1), (1, 3)), ((2, 1, 3), (4, 1)), ((1,), (1, 1, 1))]
SIGNED_ZEROS = ["Identity", "Neg", "Abs", "Ceil", "Floor", "Sqrt", "Sin", "Tanh", "Square"]


# -- elementwise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_unary(dtype: str) -> None:
    batch = Batch()
    for shape in SHAPES:
        x = batch.feed(values(shape, dtype))
        for op_type in UNARY:
            if takes(op_type, dtype) and not (op_type == "Inv" and dtype in INTEGER):
                batch.op(op_type, x)
    batch.check()


@pytest.mark.parametrize("dtype", REAL)
def test_unary_special_values(dtype: str) -> None:
    batch = Batch()
    x = batch.feed(special(dtype))
    for op_type in UNARY:
        if takes(op_type, dtype):
            batch.op(op_type, x)
    batch.check()


@pytest.mark.parametrize("dtype", REAL)
def test_signed_zeros(dtype: str) -> None:
    batch = Batch()
    x = batch.feed(np.array([0.0, -0.0, 1.0, -1.0, 0.25, -0.25], dtype))
    for op_type in SIGNED_ZEROS:
        batch.op(op_type, x)
    y = batch.feed(np.array([[0.0], [-0.0]], dtype))
    for op_type in ("Mul", "Add", "Sub", "Div"):
        batch.op(op_type, x, y)
    batch.check(exact_zeros=True)


@pytest.mark.parametrize("dtype", TYPES)
def test_binary(dtype: str) -> None:
    batch = Batch()
    for left, right in BROADCASTS:
        x, y = batch.feed(values(left, dtype)), batch.feed(values(right, dtype, seed=1))
        for op_type in BINARY:
            if takes(op_type, dtype):
                batch.op(op_type, x, y)
    batch.check()


@pytest.mark.parametrize("dtype", [t for t in TYPES if t != "bool"])
def test_division_and_powers(dtype: str) -> None:
    batch = Batch()
    for left, right in BROADCASTS:
        x, y = values(left, dtype), values(right, dtype, seed=1)
        divisor = batch.feed(np.where(y == 0, np.ones_like(y), y))
        dividend = batch.feed(x)
        for op_type in ("Div", "Mod"):
            if takes(op_type, dtype):
                batch.op(op_type, dividend, divisor)
        batch.op("Pow", dividend if dtype in INTEGER else batch.feed(np.abs(x).astype(dtype)), batch.feed(y))
    batch.check()


@pytest.mark.parametrize("dtype", REAL)
def test_binary_special_values(dtype: str) -> None:
    batch = Batch()
    x = batch.feed(special(dtype))
    y = batch.feed(special(dtype)[:, None])
    for op_type in [*BINARY, "Div", "Mod", "Pow"]:
        if takes(op_type, dtype):
            batch.op(op_type, x, y)
    batch.check()


@pytest.mark.parametrize("dtype", INTEGER)
def test_int_overflow_wraps_around(dtype: str) -> None:
    batch = Batch()
    x, y = batch.feed(extremes(dtype)), batch.feed(extremes(dtype)[:, None])
    divisor = batch.feed(extremes(dtype)[extremes(dtype) != 0][:, None])
    for op_type in BINARY:
        if takes(op_type, dtype):
            batch.op(op_type, x, y)
    for op_type in ("Div", "Mod", "Pow"):
        batch.op(op_type, x, divisor)
    if takes("Inv", dtype):
        batch.op("Inv", divisor)
    for op_type in ("Neg", "Abs", "Square", "Sign", "Relu", "Relu6"):
        if takes(op_type, dtype):
            batch.op(op_type, x)
    batch.op("Sum", x, [0], keep_dims=False)
    batch.op("Prod", x, [0], keep_dims=False)
    batch.check()


@pytest.mark.parametrize("op_type", ["Div", "Mod"])
@pytest.mark.parametrize("dtype", INTEGER)
def test_int_division_by_zero_fails(op_type: str, dtype: str) -> None:
    batch = Batch()
    quotient = batch.op(op_type, batch.feed(np.array([1, 2], dtype)), batch.feed(np.array([1, 0], dtype)))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught, tf.Session(graph=batch.graph) as session:
        session.run(quotient, batch.feeds)
    assert caught.value.op is quotient.op


def test_cast() -> None:
    batch = Batch()
    for source, target in itertools.product(TYPES, TYPES):
        x = np.abs(values((9,), source)) if source != "bool" else values((9,), source)
        batch.op("Cast", batch.feed(x), SrcT=as_dtype(source), DstT=as_dtype(target))
    for source in ("float32", "float64"):
        batch.op("Cast", batch.feed(special(source)), SrcT=as_dtype(source), DstT=as_dtype("bool"))
        batch.op("Cast", batch.feed(special(source)), SrcT=as_dtype(source), DstT=as_dtype("float16"))
    for source, target in itertools.product(INTEGER, INTEGER):
        batch.op("Cast", batch.feed(extremes(source)), SrcT=as_dtype(source), DstT=as_dtype(target))
    batch.check()


@pytest.mark.parametrize("dtype", TYPES)
def test_select(dtype: str) -> None:
    batch = Batch()
    for shape in [(), (0,), (3,), (3, 4), (2, 0, 3)]:
        x, y = batch.feed(values(shape, dtype)), batch.feed(values(shape, dtype, seed=1))
        batch.op("Select", batch.feed(values(shape, "bool")), x, y)
        batch.op("Select", batch.feed(np.array(False)), x, y)
        if len(shape) > 1:
            batch.op("Select", batch.feed(values(shape[:1], "bool")), x, y)
    batch.check()


@pytest.mark.parametrize("dtype", [t for t in TYPES if t != "bool"])
def test_add_n(dtype: str) -> None:
    batch = Batch()
    for shape, count in itertools.product([(), (3, 4), (0, 2)], [1, 2, 5]):
        batch.op("AddN", *(batch.feed(values(shape, dtype, seed=i)) for i in range(count)))
    batch.check()


@pytest.mark.parametrize("dtype", REAL)
def test_activation_gradients(dtype: str) -> None:
    batch = Batch()
    for x in [*(values(s, dtype) for s in SHAPES), special(dtype)]:
        grad = values(x.shape, dtype, seed=1)
        for op_type in GRADS:
            batch.op(op_type, batch.feed(grad), batch.feed(x))
    batch.check()


# -- reductions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_reductions(dtype: str) -> None:
    batch = Batch()
    kinds = ["Sum", "Mean", "Prod", "Max", "Min", "All", "Any"]
    for shape in [(), (5,), (3, 4), (2, 3, 4), (0, 3), (3, 0)]:
        x = batch.feed(values(shape, dtype))
        for count in range(len(shape) + 1):
            for axes in itertools.combinations(range(len(shape)), count):
                for op_type in kinds:
                    if takes(op_type, dtype) and not (op_type == "Mean" and dtype in INTEGER and 0 in shape):
                        batch.op(op_type, x, np.array(axes, np.int32), keep_dims=count % 2 == 1)
    batch.check()


def test_reduction_axes_may_be_negative_or_scalar() -> None:
    batch = Batch()
    x = batch.feed(values((2, 3, 4), "float32"))
    for axes in (np.int32(-1), np.array([-1, 0], np.int64)):
        batch.op("Sum", x, axes, keep_dims=False)
        batch.op("Max", x, axes, keep_dims=True)
    batch.check()


@pytest.mark.parametrize("dtype", [t for t in TYPES if takes("ArgMax", t)])
def test_arg_reductions(dtype: str) -> None:
    batch = Batch()
    for shape in [(5,), (3, 4), (2, 3, 4), (0, 3), (1, 1)]:
        x = batch.feed(values(shape, dtype))  # few different ints: ties
        for axis, op_type in itertools.product(range(len(shape)), ("ArgMax", "ArgMin")):
            if shape[axis]:
                batch.op(op_type, x, np.int32(axis))
    batch.check()


@pytest.mark.parametrize("dtype", REAL)
def test_reductions_of_special_values(dtype: str) -> None:
    batch = Batch()
    inf, nan = np.inf, np.nan
    rows = [[1, nan, 3], [inf, 1, -inf], [-inf, -inf, -inf], [inf, inf, 0], [-0.0, 0.0, -0.0], [nan, nan, nan]]
    x = batch.feed(np.array(rows, dtype))
    for op_type, axis in itertools.product(("Sum", "Mean", "Prod", "Max", "Min"), (0, 1)):
        batch.op(op_type, x, np.array([axis], np.int32), keep_dims=False)
    batch.op("ArgMax", x, np.int32(1))
    batch.op("ArgMin", x, np.int32(1))
    batch.check()


# -- arrays ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_shaping(dtype: str) -> None:
    batch = Batch()
    x = batch.feed(values((2, 3, 4), dtype))
    for shape in ([24], [4, 6], [1, 24, 1], [-1, 2], [2, 2, 2, 3]):
        batch.op("Reshape", x, np.array(shape, np.int32))
        batch.op("Reshape", batch.op("Transpose", x, [2, 0, 1]), np.array(shape, np.int32))
    for perm in itertools.permutations(range(3)):
        batch.op("Transpose", x, np.array(perm, np.int32))
    for dim in (0, 1, 3, -1):
        batch.op("ExpandDims", x, np.int32(dim))
    one = batch.feed(values((1, 3, 1), dtype))
    for dims in ([], [0], [-1], [0, 2]):
        batch.op("Squeeze", one, squeeze_dims=dims)
    for target in ([2, 3, 4], [1, 3, 5], [2, 4, 3, 5], [0, 3, 1]):
        batch.op("BroadcastTo", one, np.array(target, np.int32))
    batch.check()


@pytest.mark.parametrize("dtype", TYPES)
def test_slicing(dtype: str) -> None:
    batch = Batch()
    x = batch.feed(values((4, 5), dtype))
    for begin, size in [((0, 0), (4, 5)), ((1, 2), (2, -1)), ((4, 0), (0, 5)), ((3, 4), (1, 1))]:
        batch.op("Slice", x, np.array(begin, np.int32), np.array(size, np.int32))
    for dims in itertools.product([False, True], repeat=2):
        batch.op("Reverse", x, np.array(dims))
    for multiples in ((1, 1), (2, 3), (0, 1)):
        batch.op("Tile", x, np.array(multiples, np.int32))
    for paddings in (((0, 0), (0, 0)), ((1, 2), (0, 3)), ((0, 1), (1, 0))):
        batch.op("Pad", x, np.array(paddings, np.int32))
    batch.op("Split", np.int32(0), x, num_split=2)
    batch.op("Split", np.int32(1), x, num_split=5)
    batch.op("Unpack", x, num=4)
    batch.op("Unpack", batch.feed(values((3,), dtype)), num=3)
    for indices in (np.int32(2), np.array([3, 0, 3], np.int64), np.zeros((2, 0), np.int32)):
        batch.op("Gather", x, batch.feed(indices))
    batch.check()


@pytest.mark.parametrize("dtype", TYPES)
def test_joining(dtype: str) -> None:
    batch = Batch()
    x, y, empty = (batch.feed(values(s, dtype)) for s in ((2, 3), (2, 3), (0, 3)))
    batch.op("Concat", np.int32(0), x, y)
    batch.op("Concat", np.int32(1), x, y, x)
    batch.op("Concat", np.int32(0), empty, x)
    batch.op("Concat", np.int32(1), empty, empty)
    batch.op("Concat", np.int32(0), empty, empty)
    batch.op("Pack", x, y, N=2)
    batch.op("Pack", empty, N=1)
    batch.op("Pack", *(batch.feed(values((), dtype, seed=i)) for i in range(3)), N=3)
    if dtype != "bool":
        ids = batch.feed(np.array([1, 0, 1, 3], np.int32))
        batch.op("UnsortedSegmentSum", batch.feed(values((4, 2), dtype)), ids, np.int32(5))
    batch.check()


def test_sequences() -> None:
    batch = Batch()
    for start, limit, delta in ((0, 5, 1), (7, 0, -2), (3, 3, 1), (0, -4, 1)):
        for dtype in ("int32", "int64", "float32"):
            batch.op("Range", *(np.array(v, dtype) for v in (start, limit, delta)))
    batch.op("LinSpace", np.float32(1), np.float32(2), np.int32(5))
    batch.op("LinSpace", batch.feed(np.float64(-1)), batch.feed(np.float64(3)), np.int32(1))
    batch.op("InvertPermutation", batch.feed(np.array([2, 0, 3, 1], np.int32)))
    for dtype in TYPES:
        batch.op("Fill", np.array([2, 3], np.int32), batch.feed(values((), dtype)))
        batch.op("Fill", np.array([0], np.int32), batch.feed(values((), dtype)))
        batch.op("Const", value=values((3,), dtype), dtype=as_dtype(dtype))
    batch.op("BroadcastGradientAxes", batch.feed(values((2, 1, 3), "float32")), batch.feed(values((4, 1), "float32")))
    batch.check()


@pytest.mark.parametrize("index", [-1, 4])
def test_gather_out_of_range_fails(index: int) -> None:
    batch = Batch()
    rows = batch.op("Gather", batch.feed(values((4, 2), "float32")), batch.feed(np.array([0, index], np.int32)))
    with pytest.raises(tf.errors.InvalidArgumentError), tf.Session(graph=batch.graph) as session:
        session.run(rows, batch.feeds)


# -- products and networks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [t for t in TYPES if takes("MatMul", t)])
def test_matmul(dtype: str) -> None:
    batch = Batch()
    for m, k, n in ((2, 3, 4), (1, 1, 1), (3, 0, 2), (0, 2, 3), (17, 33, 9), (1, 64, 5), (5, 64, 1)):
        for a, b in itertools.product((False, True), repeat=2):
            x = batch.feed(values((k, m) if a else (m, k), dtype))
            y = batch.feed(values((n, k) if b else (k, n), dtype))
            batch.op("MatMul", x, y, transpose_a=a, transpose_b=b)
            stacked = [
                batch.feed(values((2, *s), dtype)) for s in (((k, m) if a else (m, k)), ((n, k) if b else (k, n)))
            ]
            batch.op("BatchMatMul", *stacked, adj_x=a, adj_y=b)
    batch.check()


@pytest.mark.parametrize("dtype", REAL)
def test_networks(dtype: str) -> None:
    batch = Batch()
    for shape in ((3, 5), (1, 1), (0, 4), (2, 3, 4), (7,)):
        x = batch.feed(values(shape, dtype))
        batch.op("Softmax", x)
        batch.op("LogSoftmax", x)
        if len(shape) > 1:
            batch.op("BiasAdd", x, batch.feed(values(shape[-1:], dtype)))
    for rows, classes in ((3, 5), (1, 1), (0, 4)):
        logits = batch.feed(values((rows, classes), dtype))
        labels = np.abs(values((rows, classes), dtype, seed=1))
        batch.op("SoftmaxCrossEntropyWithLogits", logits, batch.feed(labels))
        numbers = batch.feed(np.arange(rows, dtype=np.int64) % classes)
        batch.op("SparseSoftmaxCrossEntropyWithLogits", logits, numbers)
    large = batch.feed(np.array([[1000, -1000, 0], [-500, -500, -500]], dtype))
    batch.op("Softmax", large)
    batch.op("SoftmaxCrossEntropyWithLogits", large, batch.feed(np.array([[1, 0, 0], [0.5, 0.5, 0]], dtype)))
    batch.check()


# -- sizes and layouts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "complex64"])
def test_large_arrays(dtype: str) -> None:
    """Sizes at which work is split among threads and reductions into blocks, and that fill no vector."""
    batch = Batch()
    x, y = batch.feed(values((100_003,), dtype)), batch.feed(values((100_003,), dtype, seed=1))
    for op_type in ("Add", "Mul", "Maximum", "Less"):
        if takes(op_type, dtype):
            batch.op(op_type, x, y)
    for op_type in ("Tanh", "Exp", "Square"):
        if takes(op_type, dtype) and not (op_type == "Tanh" and dtype == "complex64"):  # which has poles
            batch.op(op_type, x)
    matrix = batch.feed(values((317, 331), dtype))
    for op_type, source, axes in itertools.product(("Sum", "Mean", "Max"), (x, matrix), ([0], [1], [0, 1])):
        if takes(op_type, dtype) and len(source.get_shape()) > max(axes):
            batch.op(op_type, source, np.array(axes, np.int32), keep_dims=False)
    for perm, dims in (([1, 0], [True, False]),):
        batch.op("Transpose", matrix, perm)
        batch.op("Reverse", matrix, dims)
    batch.check()


def test_feeds_of_any_layout() -> None:
    batch = Batch()
    base = values((6, 8), "float32")
    read_only = values((3,), "float32")
    read_only.setflags(write=False)
    swapped = base.astype(">f4")
    offset = np.frombuffer(b"\0" + base.tobytes(), np.uint8)[1:].view(np.float32)  # not aligned
    for feed in (base.T, base[::2, ::-1], np.asfortranarray(base), base[1:1], read_only, swapped, offset):
        x = batch.feed(feed)
        batch.op("Tanh", x)
        batch.op("Sum", x, np.array([0], np.int32), keep_dims=False)
    batch.check()


# -- random numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", REAL)
def test_random_numbers_have_their_distribution(dtype: str) -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        kind, size = as_dtype(dtype), 50_000
        uniform, normal, truncated = session.run(
            [f([size], dtype=kind, seed=7) for f in (tf.random_uniform, tf.random_normal, tf.truncated_normal)]
        )
        rows = session.run(tf.random_shuffle(np.arange(100), seed=3))
    uniform, normal, truncated = (np.asarray(a, np.float64) for a in (uniform, normal, truncated))
    error = 5 / np.sqrt(size)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 1 / 2) < error
    assert abs(uniform.var() - 1 / 12) < error
    assert abs(normal.mean()) < error
    assert abs(normal.var() - 1) < 2 * error
    assert np.abs(truncated).max() <= 2
    assert abs(truncated.var() - 0.7737) < 2 * error  # 1 - 4·pdf(2) / (cdf(2) - cdf(-2))
    assert sorted(rows) == list(range(100))
    assert list(rows) != list(range(100))
    assert abs(np.corrcoef(uniform[:-1], uniform[1:])[0, 1]) < error


# -- strings -----------------------------------------------------------------------------------------------------------


def test_strings_pass_through() -> None:
    with tf.Graph().as_default(), tf.Session() as session:
        words = tf.constant(["a", "bc"])
        fed = tf.placeholder(tf.string, [2])
        assert session.run(words).tolist() == [b"a", b"bc"]
        assert session.run(tf.identity(words)).tolist() == [b"a", b"bc"]
        assert session.run(tf.identity(fed), {fed: ["x", "y"]}).tolist() == [b"x", b"y"]
