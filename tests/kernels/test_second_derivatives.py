"""Gradients of gradients, against finite differences of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.framework.building import apply_list
from tests.kernels.batch import Array
from tests.kernels.numeric_gradients import Case, check_gradients, positive, smooth

I32 = np.int32


def twice(op_type: str, *inputs: Any, fixed: tuple[int, ...] = (), **attrs: Any) -> Case:
    """The gradients of a weighted sum of the op's squared outputs, by its inputs."""
    arrays = tuple(smooth(x, seed=i) if isinstance(x, tuple) else np.asarray(x) for i, x in enumerate(inputs))
    held = frozenset(fixed) | {i for i, x in enumerate(arrays) if x.dtype.kind not in "fc"}

    def gradients(*tensors: Any) -> list[Any]:
        outputs = [y for y in apply_list(op_type, tensors, attrs) if y.dtype.is_floating]
        total = tf.add_n([tf.reduce_sum(tf.square(y)) for y in outputs])
        found = tf.gradients(total, [t for i, t in enumerate(tensors) if i not in held])
        return [tf.convert_to_tensor(g) for g in found if g is not None]

    return Case(op_type, arrays, gradients, held)


def matrix(size: int) -> Array:
    return np.eye(size) * 2 + smooth((size, size)) / 4


FAMILIES: dict[str, list[Case]] = {
    "elementwise": [
        *(twice(t, (2, 3)) for t in ("Tanh", "Sigmoid", "Exp", "Square", "Sin", "Cos", "Inv", "Neg", "Abs", "Erf")),
        *(twice(t, positive((2, 3))) for t in ("Sqrt", "Rsqrt", "Log")),
        *(twice(t, (2, 3), (3,)) for t in ("Add", "Sub", "Mul", "Div", "Maximum", "Minimum")),
        twice("Pow", positive((2, 3)), (2, 3)),
        *(twice(t, (2, 3)) for t in ("Relu", "Relu6", "Elu", "Softplus", "Softsign", "L2Loss")),
        twice("Select", np.array([True, False]), (2, 3), (2, 3)),
        twice("AddN", (2, 2), (2, 2)),
        twice("BiasAdd", (2, 3), (3,)),
    ],
    "arrays": [
        *(twice(t, (2, 3), np.array([1], I32), keep_dims=False) for t in ("Sum", "Mean", "Prod", "Max", "Min")),
        twice("Reshape", (2, 3), np.array([3, 2], I32)),
        twice("Transpose", (2, 3), np.array([1, 0], I32)),
        twice("Slice", (3, 4), np.array([1, 0], I32), np.array([2, -1], I32)),
        twice("Pad", (2, 3), np.array([[1, 0], [0, 2]], I32)),
        twice("Tile", (2, 3), np.array([2, 1], I32)),
        twice("Gather", (4, 2), np.array([3, 0, 3], I32)),
        twice("Concat", I32(1), (2, 3), (2, 1)),
        twice("Split", I32(1), (2, 4), num_split=2),
        twice("Pack", (2,), (2,), N=2),
        twice("Unpack", (3, 2), num=3),
        twice("Reverse", (2, 3), np.array([True, False])),
        twice("ReverseSequence", (2, 3), np.array([2, 3]), seq_dim=1, batch_dim=0),
        twice("Diag", (3,)),
        twice("DynamicPartition", (4, 2), np.array([1, 0, 1, 0], I32), num_partitions=2),
    ],
    "segments": [
        *(twice(f"Segment{kind}", (4, 2), np.array([0, 0, 1, 2], I32)) for kind in ("Sum", "Mean", "Prod", "Max")),
        twice("UnsortedSegmentSum", (4, 2), np.array([1, 0, 1, 3], I32), I32(4)),
        *(
            twice(f"SparseSegment{kind}", (4, 2), np.array([3, 1, 3], I32), np.array([0, 0, 1], I32))
            for kind in ("Sum", "Mean")
        ),
    ],
    "matrices": [
        twice("MatMul", (2, 3), (3, 2), transpose_a=False, transpose_b=False),
        twice("MatMul", (3, 2), (2, 3), transpose_a=True, transpose_b=True),
        twice("BatchMatMul", (2, 2, 3), (2, 3, 2), adj_x=False, adj_y=False),
        twice("BatchMatMul", (2, 3, 2), (2, 2, 3), adj_x=True, adj_y=True),
        twice("MatrixInverse", matrix(3)),
        twice("MatrixDeterminant", matrix(3)),
    ],
    "networks": [
        twice("Softmax", (2, 3)),
        twice("LogSoftmax", (2, 3)),
        twice("SoftmaxCrossEntropyWithLogits", (2, 3), np.array([[0.2, 0.5, 0.3], [1, 0, 0]]), fixed=(1,)),
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_second_derivatives(family: str) -> None:
    check_gradients(FAMILIES[family])
