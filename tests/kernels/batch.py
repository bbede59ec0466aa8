"""Many small computations in one graph and one run, so that they share kernels; each compared with the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import flowc as tf
from flowc.framework import registry
from flowc.framework.building import apply_list
from flowc.framework.dtypes import DType, as_dtype
from tests.fuzz.compare import Reference, difference

Array = np.ndarray[Any, Any]

TYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool",
    "complex64", "complex128",
)  # fmt: skip
REAL = ("float16", "float32", "float64")
INTEGER = ("int8", "int16", "int32", "int64", "uint8", "uint16")


class Batch:
    """Collects labelled tensors of a graph, then runs and checks them all."""

    def __init__(self) -> None:
        self.graph = tf.Graph()
        self.feeds: dict[tf.Tensor, Array] = {}
        self._wanted: list[tuple[str, tf.Tensor]] = []

    def feed(self, value: Any) -> tf.Tensor:
        """A placeholder that is fed `value`."""
        array = np.asarray(value)
        with self.graph.as_default():
            tensor = tf.placeholder(as_dtype(array.dtype), array.shape)
        self.feeds[tensor] = value
        return tensor

    def op(self, op_type: str, *inputs: Any, **attrs: Any) -> Any:
        """The outputs of an operation, which are all checked; the first is returned."""
        with self.graph.as_default():
            outputs = apply_list(op_type, inputs, attrs)
        shapes = ", ".join(f"{t.dtype.base_dtype.name}{t.get_shape()}" for t in outputs[0].op.inputs)
        self._wanted += [(f"{op_type}({shapes}) {attrs or ''}", t) for t in outputs]
        return outputs[0]

    def check(self, exact_zeros: bool = False) -> None:
        """Runs everything; AssertionError lists what differs. `exact_zeros`: zeros must have the reference's sign."""
        fetches = [t for _, t in self._wanted]
        expected = Reference().run(fetches, {t: np.asarray(v) for t, v in self.feeds.items()})
        with tf.Session(graph=self.graph) as session:
            actual = session.run(fetches, self.feeds)
        wrong = []
        for (label, _), got, want in zip(self._wanted, actual, expected, strict=True):
            message = difference(got, want) if want is not None else None
            if message is None and exact_zeros and want is not None:
                message = _wrong_zeros(np.asarray(got), want.value)
            if message is not None:
                wrong.append(f"{label}: {message}")
        assert not wrong, f"{len(wrong)} of {len(fetches)} outputs differ:\n" + "\n".join(wrong)


def _wrong_zeros(got: Array, want: Array) -> str | None:
    if want.dtype.kind != "f":
        return None
    zero = want == 0
    differ = np.argwhere(zero & (np.signbit(got) != np.signbit(want)))
    return None if not differ.size else f"the zero at {differ[0].tolist()} is {got[tuple(differ[0])]}"


def takes(op_type: str, dtype: str, index: int = 0) -> bool:
    """Whether input `index` of an op may be of this type."""
    definition = registry.lookup(op_type)
    assert definition is not None, op_type
    allowed = definition.allowed
    if isinstance(allowed, tuple):
        allowed = allowed[min(index, len(allowed) - 1)]
    return as_dtype(dtype) in allowed


def values(shape: Sequence[int], dtype: str | DType, seed: int = 0) -> Array:
    """Random values of a type: about normal for floats, -5 … 5 for ints (0 … 5 for unsigned ones)."""
    kind = np.dtype(as_dtype(dtype).as_numpy_dtype)
    rng = np.random.default_rng(seed + sum(shape))
    if kind.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if kind.kind in "iu":
        return np.asarray(rng.integers(0 if kind.kind == "u" else -5, 6, shape), kind)
    x = 1.5 * rng.standard_normal(shape)
    return np.asarray(x + 1j * rng.standard_normal(shape) if kind.kind == "c" else x, kind)


def special(dtype: str) -> Array:
    """The values that float arithmetic has rules for, and those at the ends of its range."""
    info = np.finfo(dtype)
    edges = [info.max, info.tiny, info.smallest_subnormal, info.eps]
    signed = [0.0, 1.0, np.inf, 0.5, 2.5, 100.0, *map(float, edges)]
    return np.array([np.nan, *signed, *(-v for v in signed)], dtype)


def extremes(dtype: str) -> Array:
    """The ends of an integer type's range, and small values."""
    info = np.iinfo(dtype)
    negative = {info.min, info.min + 1, -1, -2} if info.min else set()
    return np.array(sorted(negative | {0, 1, 2, 3, info.max // 2, info.max - 1, info.max}), dtype)
