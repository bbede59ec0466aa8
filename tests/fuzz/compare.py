"""How far a compiled run's values may lie from the reference's.

A fixed tolerance is too strict where a graph amplifies rounding (a difference of nearly equal sums) and too lax where
it does not. So the reference runs several times more, with each operation's result disturbed by a few units in the last
place: what these runs differ by is what rounding can do to each element. Where they disagree about NaN, infinity, an
integer or a truth value, any value is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowc.codegen.reference import evaluate
from flowc.codegen.reference.interpreter import run_reference
from flowc.framework.dtypes import as_dtype
from flowc.framework.graph import Operation, Tensor

Array = np.ndarray[Any, Any]

DISTURBED_RUNS = 4
CONFIRMING_RUNS = 24  # where these few find a difference: of a million elements, all may have pushed some one way
ULPS = 4.0  # by which each operation's result is disturbed: what vector math may be off by
SPREADS = 4.0  # how many times the spread of the disturbed runs a value may be off
_EXACT = """
Const Placeholder Variable Identity StopGradient Reshape Transpose Slice Reverse ExpandDims Squeeze Split Concat Pack
Unpack Tile Pad Gather BroadcastTo Fill ZerosLike Neg Abs Sign Relu Relu6 ReluGrad Relu6Grad Max Min Maximum
Minimum Select Floor Ceil Conj Real Imag Complex Assign ScatterUpdate MaxPool MaxPoolWithArgmax TopK
Diag DiagPart SegmentMin SegmentMax Where Unique ListDiff DynamicPartition DynamicStitch ReverseSequence
"""
EXACT = frozenset(_EXACT.split())  # their results are moved, chosen or rounded elements
_SUMS = """
Sum Mean MatMul BatchMatMul AddN UnsortedSegmentSum ScatterAdd ScatterSub L2Loss Conv2D Conv2DBackpropInput
Conv2DBackpropFilter DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput DepthwiseConv2dNativeBackpropFilter
SparseMatMul SegmentSum SegmentMean SparseSegmentSum SparseSegmentMean SparseSegmentMeanGrad
"""
SUMS = frozenset(_SUMS.split())  # they add many terms: rounding is relative to the sum of the terms' magnitudes
ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Square", "Prod"})
# They add or subtract on their way: rounding is relative to terms about as large as their arguments, about 1.
_COMPOSED = """
AvgPool AvgPoolGrad MaxPoolGrad MaxPoolGradWithArgmax LRNGrad BatchNormWithGlobalNormalization
BatchNormWithGlobalNormalizationGrad ResizeBilinear ResizeBilinearGrad
"""
COMPOSED = frozenset(_COMPOSED.split())
# Their arguments are differences, whose rounding exp makes relative.
FROM_LOGITS = frozenset(
    {"Softmax", "LogSoftmax", "SparseSoftmaxCrossEntropyWithLogits", "SoftmaxCrossEntropyWithLogits"}
)


class UndefinedError(Exception):
    """A program does what no rule defines, such as converting NaN to an int: there is nothing to compare."""


@dataclass
class Expected:
    """What the reference says of one fetch: its value, and that of each disturbed run."""

    value: Array
    disturbed: list[Array]


class Reference:
    """The reference's side of a session: the variables, of the exact run and of each disturbed one."""

    def __init__(self, seed: int = 0, disturbed_runs: int = DISTURBED_RUNS) -> None:
        self._variables: list[dict[str, Array]] = [{} for _ in range(1 + disturbed_runs)]
        self._rng = np.random.default_rng(seed)
        self._unclear_is_nan = False  # what a run takes for a value that no rule decides: disturbed runs must differ

    @property
    def variables(self) -> dict[str, Array]:
        """The variables' values by the exact run."""
        return self._variables[0]

    def run(self, fetches: Sequence[Tensor | Operation], feeds: Mapping[Tensor, Any]) -> list[Expected | None]:
        """What a run should give: one Expected a tensor, None an operation.

        Raises what the reference raises; UndefinedError if a disturbed run fails where the exact one does not.
        """
        values, after = run_reference(fetches, feeds, self._variables[0], adjust=_refuse_undefined)
        runs = []
        for number, variables in enumerate(self._variables[1:]):
            self._unclear_is_nan = number % 2 == 0
            try:
                runs.append(run_reference(fetches, feeds, variables, adjust=self._disturb))
            except Exception as error:
                raise UndefinedError from error
        self._variables = [after, *(state for _, state in runs)]
        return [
            None if value is None else Expected(value, [np.asarray(run[0][i]) for run in runs])
            for i, value in enumerate(values)
        ]

    def _disturb(self, op: Operation, inputs: list[Array], outputs: list[Array]) -> list[Array]:
        _refuse_undefined(op, inputs, outputs)
        if op._type in EXACT:
            return outputs
        return [self._noisy(op, inputs, y) if y.dtype.kind in "fc" else y for y in outputs]

    def _noisy(self, op: Operation, inputs: list[Array], y: Array) -> Array:
        magnitude = _magnitude(op, inputs, y)
        step = np.asarray(ULPS * unit(y.dtype) * magnitude)
        push = self._rng.uniform(0.5, 1, y.shape) * self._rng.choice((-1.0, 1.0), y.shape)
        with np.errstate(all="ignore"):
            noisy = np.asarray(y + push * np.where(np.isfinite(step), step, 0), y.dtype)
            unclear = _order_matters(op, inputs) | _overflows_in_float16(inputs, y)
            other = np.asarray(np.nan if self._unclear_is_nan else float(np.finfo(y.dtype).max), y.dtype)
            return np.where(unclear, other, noisy)


def _magnitude(op: Operation, inputs: list[Array], y: Array) -> Array:
    """What the rounding of a result is relative to: itself, or larger terms that it comes from."""
    if op._type in FROM_LOGITS and inputs[0].size:
        extent = 1 + float(np.max(np.abs(inputs[0]), where=np.isfinite(inputs[0]), initial=0))
        return np.asarray(extent * (np.abs(y) if op._type == "Softmax" else np.abs(y) + 1))
    if op._type not in SUMS:
        composed = "Apply" in op._type or op._type in COMPOSED or (y.dtype.kind == "c" and op._type not in ARITHMETIC)
        return np.asarray(np.abs(y) + composed)  # of steps that may cancel
    positive = [np.abs(x).astype(x.real.dtype) if x.dtype.kind in "fc" else x for x in inputs]
    op_type = op._type.replace("Sub", "Add")
    total = evaluate(op_type, op._attrs, [as_dtype(np.abs(y).dtype)], positive)[0]
    terms = max(x.size for x in inputs) / max(y.size, 1)
    return np.asarray(total * (1 + np.sqrt(terms) / 8))  # one accumulator errs by about the root of the terms


def _order_matters(op: Operation, inputs: list[Array]) -> Array | bool:
    """Where a product may overflow on its way, or not, by the order of its factors."""
    if op._type not in ("Prod", "SegmentProd") or inputs[0].dtype.kind not in "fc":
        return False
    size = np.abs(np.where(np.isfinite(inputs[0]), inputs[0], 1))
    dtype = as_dtype(size.dtype)
    greatest, least = (evaluate(op._type, op._attrs, [dtype], [f(size, 1), inputs[1]])[0] for f in (np.fmax, np.fmin))
    return np.asarray(np.isinf(greatest) & (least < 1))


def _overflows_in_float16(inputs: list[Array], y: Array) -> Array | bool:
    """Where finite float16 numbers leave the type's range, which kernels need not see: they compute in float32."""
    if y.dtype != np.float16 or any(x.dtype == np.float16 and np.isinf(x).any() for x in inputs):
        return False
    return np.isinf(y)


def _refuse_undefined(op: Operation, inputs: list[Array], outputs: list[Array]) -> list[Array]:
    """Refuses what is left undefined: floats that fit no integer, and weighted means with infinities."""
    if op._type == "ResizeBilinear" and not np.isfinite(inputs[0]).all():
        raise UndefinedError
    to_integer = op._type == "Cast" and op._outputs[0]._dtype.is_integer
    if to_integer and inputs[0].dtype.kind in "fc":
        x, limits = np.asarray(inputs[0].real, np.float64), np.iinfo(outputs[0].dtype)
        if not np.all((x > limits.min - 1.0) & (x < limits.max)):
            raise UndefinedError
    return outputs


def unit(dtype: np.dtype[Any]) -> float:
    """The relative spacing of a floating type."""
    return float(np.finfo(dtype).eps)


def difference(actual: Any, expected: Expected) -> str | None:
    """What is wrong with a value, in words; None if it is as expected."""
    value = expected.value
    actual = np.asarray(actual)
    if value.dtype == object:
        return None if actual.tolist() == value.tolist() else f"got {actual.tolist()}, expected {value.tolist()}"
    if any(run.shape != value.shape for run in expected.disturbed):  # rounding decides the size
        return None
    if actual.dtype != value.dtype or actual.shape != value.shape:
        return f"got {actual.dtype}{list(actual.shape)}, expected {value.dtype}{list(value.shape)}"
    with np.errstate(all="ignore"):
        wrong = _wrong_floats(actual, expected) if value.dtype.kind in "fc" else _wrong_exact(actual, expected)
    if not wrong.any():
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {value.size} elements differ; at {list(at)}: got {actual[at]}, expected {value[at]}"


def _wrong_exact(actual: Array, expected: Expected) -> Array:
    certain = np.ones(actual.shape, bool)
    for run in expected.disturbed:
        certain &= run == expected.value
    return np.asarray(certain & (actual != expected.value))


def _wrong_floats(actual: Array, expected: Expected) -> Array:
    value = expected.value
    certain, spread = np.ones(value.shape, bool), np.zeros(value.shape)
    for run in expected.disturbed:
        certain &= _class_of(run) == _class_of(value)
        spread = np.maximum(spread, np.nan_to_num(np.abs(run.astype(_wide(run)) - value)))
    info = np.finfo(value.dtype)
    tolerance = SPREADS * spread + ULPS * info.eps * np.abs(value) + 4 * info.tiny
    close = np.abs(actual.astype(_wide(actual)) - value) <= tolerance
    same_class = _class_of(actual) == _class_of(value)
    return np.asarray(certain & ~(same_class & (close | ~np.isfinite(value))))


def _wide(x: Array) -> type[Any]:
    return np.complex128 if x.dtype.kind == "c" else np.float64


def _class_of(x: Array) -> Array:
    """0 for finite numbers, 1 for NaN, 2 and 3 for the infinities; complex numbers are finite (0) or not (1)."""
    if x.dtype.kind == "c":
        return np.asarray(~np.isfinite(x), int)
    return np.asarray(np.isnan(x) + 2 * np.isposinf(x) + 3 * np.isneginf(x))
