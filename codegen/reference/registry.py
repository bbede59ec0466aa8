"""The reference's registry: one NumPy function an op type, the living definition of what every op means.

    @reference("Tanh")
    def _tanh(op, x):
        return np.tanh(wide(x))

A function gets the operation (`ReferenceOp`) and one array an input; it returns one array, or a list of one an output.
`evaluate` casts results to the operation's types, so that a function may compute in wider ones (`wide`).
An `@reference_update` gets the present values of the variables it changes and returns their new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from flowc.codegen.host.registry import HostOp, host_function, host_types
from flowc.framework.dtypes import DType
from flowc.framework.errors import InvalidArgumentError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ReferenceOp:
    """An operation as its reference function sees it."""

    type: str
    attrs: Mapping[str, Any]
    dtypes: Sequence[DType]  # of the outputs, base types
    rng: np.random.Generator | None = field(default=None, compare=False)

    @property
    def dtype(self) -> Any:
        """The NumPy type of the first output."""
        return np.dtype(self.dtypes[0].as_numpy_dtype)

    @property
    def generator(self) -> np.random.Generator:
        """The source of random numbers, which a random op must be given."""
        if self.rng is None:
            raise ValueError(f"{self.type} is random: give a numpy.random.Generator to evaluate it")
        return self.rng


Reference = Callable[..., Any]


@dataclass(frozen=True)
class UpdateRule:
    """How an op changes variables: its first `variables` inputs. `reads`: their present values must exist."""

    function: Callable[..., Any]
    variables: int
    reads: bool
    returns_old: bool  # the output is the value from before this op, as of CountUpTo


_references: dict[str, Reference] = {}
_updates: dict[str, UpdateRule] = {}
_random: set[str] = set()


def reference(*op_types: str, random: bool = False) -> Callable[[Reference], Reference]:
    """Decorator: the function defines these op types. `random`: its values differ from a compiled run's."""

    def register(function: Reference) -> Reference:
        for op_type in op_types:
            if op_type in _references:
                raise KeyError(f"op type {op_type!r} has two reference functions")
            _references[op_type] = function
        if random:
            _random.update(op_types)
        return function

    return register


def reference_update(
    *op_types: str, variables: int = 1, reads: bool = True, returns_old: bool = False
) -> Callable[[Reference], Reference]:
    """Decorator: the function (op, *inputs) gives the new values of the op's first `variables` inputs, as a list."""

    def register(function: Reference) -> Reference:
        for op_type in op_types:
            if op_type in _updates:
                raise KeyError(f"op type {op_type!r} has two reference functions")
            _updates[op_type] = UpdateRule(function, variables, reads, returns_old)
        return function

    return register


def has_reference(op_type: str) -> bool:
    """Whether the op type has a reference function, as an op that changes variables or as any other."""
    return op_type in _references or op_type in _updates or host_function(op_type) is not None


def update_rule(op_type: str) -> UpdateRule | None:
    """How the op type changes variables, or None if it does not."""
    return _updates.get(op_type)


def is_random(op_type: str) -> bool:
    """Whether only the statistics of the op's values are defined, and not the values."""
    return op_type in _random


def reference_types() -> frozenset[str]:
    """All op types with a reference function."""
    return frozenset(_references) | frozenset(_updates) | host_types()


def evaluate(
    op_type: str,
    attrs: Mapping[str, Any],
    output_dtypes: Sequence[DType],
    inputs: Sequence[Array],
    rng: np.random.Generator | None = None,
) -> list[Array]:
    """The outputs of an operation on `inputs`, by definition.

    For an op that changes variables, `output_dtypes` are their types and the result their new values.
    Raises KeyError for an op type without a reference function; InvalidArgumentError for values it cannot work on.
    """
    op = ReferenceOp(op_type, attrs, output_dtypes, rng)
    rule = _updates.get(op_type)
    on_host = host_function(op_type)
    if on_host is not None:
        return _host_results(on_host(HostOp("", op_type, attrs, output_dtypes, rng=rng), *inputs))
    function = _references[op_type] if rule is None else rule.function
    with np.errstate(all="ignore"):
        result = function(op, *inputs)
        results = result if isinstance(result, list) else [result]
        if rule is not None:
            return [cast(r, d) for r, d in zip(results, output_dtypes[: rule.variables], strict=True)]
        return [cast(r, d) for r, d in zip(results, output_dtypes, strict=True)]


def _host_results(result: Any) -> list[Array]:
    return [np.asarray(r) for r in result] if isinstance(result, list | tuple) else [np.asarray(result)]


def cast(value: Any, dtype: DType) -> Array:
    """`value` as an array of `dtype`; complex numbers lose their imaginary part, strings stay objects."""
    array = np.asarray(value)
    target = np.dtype(dtype.as_numpy_dtype)
    if array.dtype.kind == "c" and target.kind not in "cb":
        array = array.real
    return array.astype(target, copy=False)


def wide(x: Array) -> Array:
    """`x` in float64 or complex128 if it has a narrower floating type, else `x`."""
    if x.dtype.kind == "f":
        return x.astype(np.float64)
    return x.astype(np.complex128) if x.dtype.kind == "c" else x


def invalid(message: str) -> NoReturn:
    """Raises InvalidArgumentError; the interpreter adds the operation."""
    raise InvalidArgumentError(None, None, message)
