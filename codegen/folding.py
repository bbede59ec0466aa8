"""Operations whose values are known before the run are computed while compiling, by definition."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

from flowc.codegen.ir import Array, Shape
from flowc.framework import registry
from flowc.framework.errors import OpError
from flowc.framework.graph import Operation

FOLD_LIMIT: Final = 1024  # elements up to which integers, which may be shapes, are computed while compiling


def folded(op: Operation, shapes: Sequence[Shape], values: Sequence[Array | None]) -> Sequence[Array] | None:
    """The outputs, of these shapes, for the inputs' values; None if some are not known, or it is not worth it."""
    definition = registry.lookup(op._type)
    if not values or definition is None or definition.stateful:
        return None
    known = [value for value in values if value is not None]
    return _evaluated(op, known) if len(known) == len(values) and _is_worth_it(op, shapes, known) else None


def _is_worth_it(op: Operation, shapes: Sequence[Shape], values: Sequence[Array]) -> bool:
    """Whether the result may be stored as a constant: if it is no larger than what it comes from, or may be a shape.

    A constant that grows with a batch (ones to start a gradient from) is rather filled in where it is used: stored, it
    would make other kernels of one batch size than of the next.
    """
    size = sum(prod(s) for s in shapes)
    if op._outputs and op._outputs[0]._dtype.is_integer and size <= FOLD_LIMIT:
        return True
    return size <= sum(v.size for v in values)


def _evaluated(op: Operation, values: Sequence[Array]) -> list[Array]:
    from flowc.codegen.reference import evaluate

    try:
        return evaluate(op._type, op._attrs, [t._dtype._base for t in op._outputs], values)
    except OpError as error:
        raise type(error)(None, op, error.message) from None  # type: ignore[call-arg]
