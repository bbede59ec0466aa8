"""Python functions as operations."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from flowc.framework.building import make_operation
from flowc.framework.convert import convert_to_tensor
from flowc.framework.default_graph import graph_of
from flowc.framework.dtypes import ANY, DType, as_dtype
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.shape_rules import UNKNOWN, Shapes

__all__ = ["py_func"]

Function = Callable[..., Any]


def _output_types(types: Any, attrs: Any) -> list[DType]:
    return list(attrs["Tout"])


def _any_shapes(ctx: ShapeContext) -> Shapes:
    return [UNKNOWN] * len(ctx.attrs["Tout"])


define(
    "PyFunc", shape=_any_shapes, allowed=(ANY,), result=_output_types, stateful=True, inputs="input", type_attrs="*Tin"
)
not_differentiable("PyFunc")


class _Registered:
    """A function that lives as long as the graph that calls it; the operation knows it by its token."""

    def __init__(self, function: Function) -> None:
        self.function = function


_functions: weakref.WeakValueDictionary[str, _Registered] = weakref.WeakValueDictionary()
_numbers = itertools.count()


def registered_function(token: str) -> Function | None:
    """The function that `py_func` registered in this process by that token, or None."""
    found = _functions.get(token)
    return None if found is None else found.function


def py_func(func: Function, inp: Sequence[Any], Tout: Any, name: str | None = None) -> list[Tensor]:
    """The tensors that a Python function makes of tensors, each time that they are run.

    The function gets an array for each tensor of `inp` (a NumPy scalar for a scalar; strings are bytes), and returns
    one array, or a list or tuple of them, of the types `Tout`. It must not write into what it gets. It runs in this
    process only, so a graph with it cannot be run elsewhere; nothing is known of its outputs' shapes, which
    `Tensor.set_shape` may tell; and gradients do not pass through it.

    Args:
        func: the function.
        inp: its arguments, a list of tensors.
        Tout: a list of its results' types; or the type of its result.
        name: the operation's name.

    Returns:
        A list of tensors, one a result.

    Raises:
        When run: UnknownError if the function raises an exception, with its text; InvalidArgumentError if its results
        have other types.
    """
    types = tuple(as_dtype(dtype).base_dtype for dtype in (Tout if isinstance(Tout, (list, tuple)) else [Tout]))
    inputs = [convert_to_tensor(value) for value in inp]
    entry, token = _Registered(func), f"pyfunc_{next(_numbers)}"
    _functions[token] = entry
    graph_of(inputs).add_to_collection("py_funcs", entry)
    return make_operation("PyFunc", inputs, {"token": token, "Tout": types}, name).outputs
