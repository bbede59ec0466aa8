"""Print and Assert: values as text."""

from __future__ import annotations

import sys
from itertools import count

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.errors import InvalidArgumentError


@host("Print")
def print_(op: HostOp, x: Array, *data: Array) -> Array:
    """Writes one line to standard error, the first `first_n` times in a session."""
    first_n = int(op.attrs["first_n"])
    times = op.resources.get(f"times that {op.name} wrote", count)
    if first_n < 0 or next(times) < first_n:
        shown = "".join(f"[{summary(value, int(op.attrs['summarize']))}]" for value in data)
        print(f"{op.attrs['message']}{shown}", file=sys.stderr, flush=True)
    return x


@host("Assert")
def assert_(op: HostOp, condition: Array, *data: Array) -> list[Array]:
    """Nothing, if the condition holds."""
    if condition.size != 1:
        raise InvalidArgumentError(None, None, f"Assert takes a scalar condition, not a shape {list(condition.shape)}")
    if not condition.item():
        shown = " ".join(f"[{summary(value, int(op.attrs['summarize']))}]" for value in data)
        raise InvalidArgumentError(None, None, f"assertion failed: {shown}")
    return []


def summary(value: Array, most: int) -> str:
    """The first `most` elements, all for a negative number, and "..." if there are more."""
    shown = value.size if most < 0 else min(most, value.size)
    text = " ".join(_text(element) for element in value.reshape(-1)[:shown])
    return text + "..." * (shown < value.size)


def _text(element: object) -> str:
    if isinstance(element, bytes):
        return element.decode("utf-8", "backslashreplace")
    if isinstance(element, bool | np.bool_):
        return str(int(element))
    if isinstance(element, np.floating):
        return _shortest(element)
    if isinstance(element, np.complexfloating):
        return f"({_shortest(element.real)},{_shortest(element.imag)})"
    return str(element)


def _shortest(number: np.floating) -> str:
    """As C's %g prints it, with more digits only where the number would not be the same again."""
    few, enough = (15, 17) if number.dtype == np.float64 else (6, 8)
    text = f"{number:.{few}g}"
    return text if number.dtype.type(text) == number or np.isnan(number) else f"{number:.{enough}g}"
