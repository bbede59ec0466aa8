"""The gradient of every differentiable op against central finite differences (see `numeric_gradients`)."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf
from tests.kernels.numeric_gradients import Case, case, check_gradients, complex_values, positive

UNARY = ["Identity", "Neg", "Abs", "Square", "Exp", "Tanh", "Sigmoid", "Erf", "Sin", "Cos", "Inv"]
ACTIVATIONS = ["Relu", "Relu6", "Elu", "Softplus", "Softsign", "L2Loss"]
STEPS = ["Sign", "Floor", "Ceil"]
POSITIVE = ["Sqrt", "Rsqrt", "Log"]
BINARY = ["Add", "Sub", "Mul", "Div", "Maximum", "Minimum", "Mod"]
BROADCASTS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((2, 3), (2, 3)), ((2, 1), (1, 3)), ((2, 3), ()), ((), (2, 3)), ((3,), (2, 3)), ((1, 1), ()), ((2, 1, 2), (3, 1)),
]  # fmt: skip
REDUCTIONS = [((2, 3), [0], False), ((2, 3), [1], True), ((2, 3), [0, 1], False), ((3,), [-1], False)]
COMPLEX = ["Identity", "Neg", "Square", "Exp", "Tanh", "Sigmoid", "Sin", "Cos", "Inv", "Sqrt", "Rsqrt", "Log", "Conj"]
TO_REAL = ["Real", "Imag", "ComplexAbs"]
I32 = np.int32

FAMILIES: dict[str, list[Case]] = {
    "unary": [
        *(case(t, (2, 3)) for t in UNARY + STEPS + ACTIVATIONS),
        *(case(t, positive((2, 3))) for t in POSITIVE),
        case("Cast", (3,), SrcT=tf.float64, DstT=tf.float64),
    ],
    "binary": [
        *(case(t, a, b) for t in BINARY for a, b in BROADCASTS),
        *(case("Pow", positive(a), b) for a, b in BROADCASTS),
        case("Pow", (3,), np.array(2.0), fixed=(1,)),
        case("Pow", (3,), np.array(3.0), fixed=(1,)),
        case("AddN", (2, 2), (2, 2), (2, 2)),
        case("Select", np.array([[True, False, True]]), (1, 3), (1, 3)),
        case("Select", np.array([True, False]), (2, 3), (2, 3)),
        case("BiasAdd", (2, 3), (3,)),
        case("BiasAdd", (2, 1, 3), (3,)),
    ],
    "reductions": [
        *(
            case(t, shape, np.array(axes, I32), keep_dims=keep)
            for t in ("Sum", "Mean", "Max", "Min", "Prod")
            for shape, axes, keep in REDUCTIONS
        ),
        case("Prod", np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 1.0]]), np.array([1], I32), keep_dims=False),
        case("Sum", (2, 3), np.zeros(0, I32), keep_dims=False),
        case("Sum", (0, 3), np.array([0], I32), keep_dims=False),
    ],
    "arrays": [
        case("Reshape", (2, 3), np.array([3, -1], I32)),
        case("ExpandDims", (2, 3), I32(1)),
        case("Squeeze", (2, 1, 3), squeeze_dims=[]),
        case("Transpose", (2, 3, 2), np.array([2, 0, 1], I32)),
        case("BroadcastTo", (2, 1), np.array([4, 2, 3], I32)),
        case("Slice", (3, 4), np.array([1, 0], I32), np.array([2, -1], I32)),
        case("Pad", (2, 3), np.array([[1, 0], [0, 2]], I32)),
        case("Tile", (2, 3), np.array([2, 3], I32)),
        case("Tile", (2, 1), np.array([1, 2], I32)),
        case("Reverse", (2, 3), np.array([True, False])),
        case("Gather", (4, 2), np.array([[3, 0], [3, 1]], I32)),
        case("Concat", I32(1), (2, 3), (2, 1), (2, 2)),
        case("Split", I32(1), (2, 4), num_split=2),
        case("Pack", (2, 3), (2, 3), N=2),
        case("Unpack", (3, 2), num=3),
        case("Fill", np.array([2, 3], I32), ()),
        case("UnsortedSegmentSum", (4, 2), np.array([1, 0, 1, 3], I32), I32(4)),
    ],
    "products": [
        *(
            case("MatMul", (3, 2) if a else (2, 3), (4, 3) if b else (3, 4), transpose_a=a, transpose_b=b)
            for a in (False, True)
            for b in (False, True)
        ),
        *(
            case("BatchMatMul", (2, 3, 2) if a else (2, 2, 3), (2, 4, 3) if b else (2, 3, 4), adj_x=a, adj_y=b)
            for a in (False, True)
            for b in (False, True)
        ),
    ],
    "networks": [
        case("Softmax", (2, 3)),
        case("LogSoftmax", (2, 3)),
        case("SoftmaxCrossEntropyWithLogits", (2, 3), np.array([[0.2, 0.5, 0.3], [1, 0, 0]]), fixed=(1,)),
        case("SparseSoftmaxCrossEntropyWithLogits", (2, 3), np.array([2, 0], I32)),
        case("ReluGrad", (2, 3), (2, 3), fixed=(1,)),
    ],
    "complex": [
        *(case(t, complex_values((2, 2))) for t in COMPLEX + TO_REAL),
        case("Complex", (2, 1), (1, 2)),
        *(case(t, complex_values((2, 1)), complex_values((1, 2), 5)) for t in ("Add", "Sub", "Mul", "Div")),
        case("Sum", complex_values((2, 2)), np.array([0], I32), keep_dims=False),
        case("Mean", complex_values((2, 2)), np.array([0], I32), keep_dims=False),
        case("MatMul", complex_values((2, 3)), complex_values((3, 2), 5), transpose_a=False, transpose_b=False),
    ],
}  # fmt: skip


@pytest.mark.parametrize("sizes_known", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients(family: str, sizes_known: bool) -> None:
    check_gradients(FAMILIES[family], sizes_known)
