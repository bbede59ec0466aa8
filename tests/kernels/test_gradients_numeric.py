"""The gradient of every differentiable op against central finite differences, in float64 on small shapes.

Each case is a function of tensors. What is differentiated is the sum of its outputs, weighted at random; the difference
quotients are of the reference's values, the gradients are run compiled, all cases of a test in one graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.reference import run_reference
from flowc.framework import registry
from flowc.framework.building import apply_list
from tests.kernels.batch import Array

STEP = 1e-5
TOLERANCE = 2e-7


@dataclass
class Case:
    """A function of float64 or complex128 tensors of the given values, and the inputs that get no gradient."""

    op_type: str
    inputs: tuple[Array, ...]
    function: Callable[..., Any]
    fixed: frozenset[int] = field(default_factory=frozenset)


def smooth(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Values between 0.3 and 2 of either sign: away from 0 and, for other seeds, from each other: no kink is near."""
    return np.asarray(positive(shape, seed) * np.random.default_rng(seed).choice((-1.0, 1.0), shape))


def positive(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Distinct values between 0.3 and 2."""
    size = int(np.prod(shape))
    grid = np.linspace(0.3, 1.9, size) + 0.017 * (seed + 1)
    return np.asarray(np.random.default_rng(seed).permutation(grid).reshape(shape))


def case(op_type: str, *inputs: Any, fixed: tuple[int, ...] = (), **attrs: Any) -> Case:
    """The op itself; an input that is a shape is given values."""
    arrays = tuple(smooth(x, seed=i) if isinstance(x, tuple) else np.asarray(x) for i, x in enumerate(inputs))
    held = frozenset(fixed) | {i for i, x in enumerate(arrays) if x.dtype.kind not in "fc"}
    return Case(op_type, arrays, lambda *tensors: apply_list(op_type, tensors, attrs), held)


def complex_values(shape: tuple[int, ...], seed: int = 0) -> Array:
    return smooth(shape, seed) + 1j * smooth(shape, seed + 1)


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


class Problem:
    """A case in a graph: the weighted sum, a real scalar, and its gradients."""

    def __init__(self, case: Case, sizes_known: bool) -> None:
        self.case = case
        self.free = [i for i in range(len(case.inputs)) if i not in case.fixed]
        self.tensors = [tf.constant(x) for x in case.inputs]
        for i in self.free:
            x = case.inputs[i]
            self.tensors[i] = tf.placeholder(x.dtype, x.shape if sizes_known else [None] * x.ndim)
        self.feeds = {self.tensors[i]: case.inputs[i] for i in self.free}
        result = case.function(*self.tensors)
        outputs = result if isinstance(result, list) else [result]
        values, _ = run_reference(outputs, self.feeds, {})
        shapes = [np.asarray(value).shape for value in values]
        self.total = tf.add_n([self._weighted(y, s, i) for i, (y, s) in enumerate(zip(outputs, shapes, strict=True))])
        self.gradients = tf.gradients(self.total, [self.tensors[i] for i in self.free])

    @staticmethod
    def _weighted(y: Any, shape: tuple[int, ...], seed: int) -> Any:
        if not y.dtype.is_complex:
            return tf.reduce_sum(y * smooth(shape, seed + 10))
        return tf.reduce_sum(tf.real(y * complex_values(shape, seed + 10)))

    def quotients(self, index: int) -> Array:
        """The derivative by an input, from differences; that of a complex one is ∂/∂re + i·∂/∂im."""
        x = np.array(self.case.inputs[index])
        result = np.zeros_like(x)
        for at in np.ndindex(x.shape):
            result[at] = self._quotient(index, x, at, STEP)
            if x.dtype.kind == "c":
                result[at] += 1j * self._quotient(index, x, at, 1j * STEP)
        return result

    def _quotient(self, index: int, x: Array, at: tuple[int, ...], step: complex) -> float:
        totals = []
        for sign in (1, -1):
            moved = x.copy()
            moved[at] += sign * step
            values, _ = run_reference([self.total], {**self.feeds, self.tensors[index]: moved}, {})
            totals.append(float(np.asarray(values[0]).real))
        return (totals[0] - totals[1]) / (2 * STEP)


@pytest.mark.parametrize("sizes_known", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients(family: str, sizes_known: bool) -> None:
    with tf.Graph().as_default() as graph:
        problems = [Problem(case, sizes_known) for case in FAMILIES[family]]
    feeds = {tensor: value for p in problems for tensor, value in p.feeds.items()}
    dense = [tf.convert_to_tensor(g) for p in problems for g in p.gradients if g is not None]
    with tf.Session(graph=graph) as session:
        values = iter(session.run(dense, feeds))
    wrong = []
    for problem in problems:
        for index, gradient in zip(problem.free, problem.gradients, strict=True):
            expected = problem.quotients(index)
            actual = np.zeros_like(expected) if gradient is None else next(values)
            scale = 1 + np.abs(expected).max(initial=0)
            if actual.shape != expected.shape or np.abs(actual - expected).max(initial=0) > TOLERANCE * scale:
                shapes = [x.shape for x in problem.case.inputs]
                wrong.append(f"{problem.case.op_type} {shapes} by input {index}: got {actual}, expected {expected}")
    assert not wrong, "\n".join(wrong)


def test_every_differentiable_op_is_tested() -> None:
    tested = {case.op_type for cases in FAMILIES.values() for case in cases}
    not_smooth = {t for t in registry.op_types() if registry._gradients.get(t) is None}
    gradients_of_gradients = {"Relu6Grad", "EluGrad", "SoftplusGrad", "SoftsignGrad"}
    assert set(registry.op_types()) - not_smooth - gradients_of_gradients <= tested
