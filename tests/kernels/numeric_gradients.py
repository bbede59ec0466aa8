"""Gradients against central finite differences, in float64 on small shapes.

Each case is a function of tensors. What is differentiated is the sum of its outputs, weighted at random; the difference
quotients are of the reference's values, the gradients are run compiled, all cases of a test in one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import flowc as tf
from flowc.codegen.reference import run_reference
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
        outputs = [y for y in (result if isinstance(result, list) else [result]) if not y.dtype.is_integer]
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


def check_gradients(cases: Sequence[Case], sizes_known: bool = True) -> None:
    """AssertionError lists the gradients that differ. `sizes_known`: when the graph is built, not only when it runs."""
    with tf.Graph().as_default() as graph:
        problems = [Problem(case, sizes_known) for case in cases]
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
