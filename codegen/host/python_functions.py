"""Users' Python functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.convert import as_array
from flowc.framework.dtypes import DType, string
from flowc.framework.errors import InvalidArgumentError, OpError, UnknownError
from flowc.ops.script_ops import registered_function


@host("PyFunc")
def _py_func(op: HostOp, *inputs: Array) -> list[Array]:
    token = op.attrs["token"]
    function = registered_function(token)
    if function is None:
        message = f"callback {token} is not found: the function of {op.name!r} is one of another process"
        raise InvalidArgumentError(None, None, message)
    try:
        result = function(*(x[()] if x.ndim == 0 else x for x in inputs))
    except OpError:
        raise
    except Exception as error:
        raise UnknownError(None, None, f"{type(error).__name__}: {error}") from error
    results = list(result) if isinstance(result, list | tuple) else [] if result is None else [result]
    if len(op.dtypes) == 1 and len(results) != 1 and isinstance(result, list):
        results = [result]  # the list is the array
    if len(results) != len(op.dtypes):
        message = f"{token} returned {len(results)} values, but {len(op.dtypes)} were announced"
        raise InvalidArgumentError(None, None, message)
    return [_converted(token, i, value, dtype) for i, (value, dtype) in enumerate(zip(results, op.dtypes, strict=True))]


def _converted(token: str, index: int, value: Any, dtype: DType) -> Array:
    """A result as an array of its type. Python numbers take it on; arrays must have it."""
    try:
        if isinstance(value, np.ndarray | np.generic) and dtype is not string:
            array = np.asarray(value)
            if array.dtype != dtype.as_numpy_dtype:
                raise TypeError(f"it is {array.dtype}")
            return array.copy()  # the function may keep what it returned, and change it
        return as_array(value, dtype)
    except (TypeError, ValueError) as error:
        message = f"The {index}-th value returned by {token} is not {dtype.name}, as announced: {error}"
        raise InvalidArgumentError(None, None, message) from None
