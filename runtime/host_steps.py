"""Ops of the host as steps of a run: arrays in, arrays out, with the user's operation in every error."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flowc.codegen.host.registry import HostOp, Resources, host_function, reads_in_place, runs_once
from flowc.codegen.segments import Crossing, Seen, variable_of
from flowc.framework.dtypes import string
from flowc.framework.errors import FailedPreconditionError, InternalError, OpError, UnimplementedError
from flowc.framework.graph import Operation, Tensor
from flowc.runtime import run_errors
from flowc.runtime.trace import HostTime
from flowc.runtime.variables_store import VariableStore

Array = npt.NDArray[Any]
Values = MutableMapping[Crossing, Array]
Source = Callable[[Mapping[Crossing, Array]], Array | None]  # where an input comes from


class HostStep:
    """One op of the host in one session."""

    def __init__(self, op: Operation, store: VariableStore, resources: Resources, seen: Collection[Crossing]) -> None:
        """`seen`: what is fed, and what native segments give."""
        self.op = op
        self._function = _function_of(op, store)
        dtypes = [t._dtype._base for t in op._outputs]
        self._outputs = [(t, np.dtype(t._dtype.as_numpy_dtype), t._shape.tuple) for t in op._outputs]
        self._view = HostOp(op._name, op._type, op._attrs, dtypes, resources)
        self._inputs = [source_of(tensor, op, store, seen) for tensor in op._inputs]
        self._store = store
        self._in_place = _read_in_place(op, seen)
        self._once = runs_once(op._type)
        self._known: dict[Crossing, Array] | None = None  # the outputs, if they are the same in all runs

    def run(self, values: Values) -> None:
        """Takes its inputs from `values`, and puts its outputs there. Raises the public errors."""
        if self._known is not None:
            values.update(self._known)
            return
        try:
            results = self._called_in_place(values) if self._in_place else self._called(values)
        except OpError as error:
            if error.op is None:
                kind: Any = type(error)
                raise kind(None, self.op, error.message) from error.__cause__  # a user's function's, say
            raise
        if results is None:
            return
        arrays = results if isinstance(results, list | tuple) else (results,)
        for (tensor, dtype, shape), array in zip(self._outputs, arrays, strict=True):
            is_exact = type(array) is np.ndarray and array.dtype is dtype and fits(array.shape, shape)
            values[tensor] = array if is_exact and array.flags.c_contiguous else _checked(tensor, array)
        if self._once:
            self._known = {tensor: values[tensor] for tensor in self.op._outputs}

    def _called(self, values: Mapping[Crossing, Array]) -> Any:
        return self._function(self._view, *[source(values) for source in self._inputs])

    def _called_in_place(self, values: Values) -> Any:
        """The function's result, where it reads variables in their own memory."""
        names = {reference: reference._op._name for reference in self._in_place}
        with self._store.in_place(names.values()) as arrays:
            missing = [name for name in names.values() if name not in arrays]
            if missing:
                raise run_errors.uninitialized(self.op.graph, missing, initializes=False)
            return self._called({**values, **{reference: arrays[name] for reference, name in names.items()}})

    def run_timed(self, values: Values) -> HostTime:
        """The same; says when."""
        start = time.monotonic_ns()
        self.run(values)
        return HostTime(self.op._name, self.op._type, start, time.monotonic_ns())


def _read_in_place(op: Operation, seen: Collection[Crossing]) -> list[Tensor]:
    """The variables that the op reads in their own memory: neither fed nor copied before it."""
    if not reads_in_place(op._type):
        return []
    numbers = (t for t in op._inputs if t._op._type == "Variable" and t._dtype._base is not string)
    return [t for t in numbers if t not in seen and Seen(t, op) not in seen]


def source_of(tensor: Tensor, reader: Operation | None, store: VariableStore, seen: Collection[Crossing]) -> Source:
    """A function from the run's values to the array that `reader`, or else the user, gets of `tensor`."""
    op = tensor._op
    if tensor in seen:
        return lambda values: values[tensor]
    if op._type == "Const" and reader is not None:
        constant = np.asarray(op._attrs["value"])
        return lambda values: constant
    if op._type == "Variable" and tensor._dtype._base is string:
        if reader is not None and reader._type == "Assign" and reader._inputs[0] is tensor:
            return lambda values: None
        return lambda values: _strings(op, store)
    key = tensor if reader is None or Seen(tensor, reader) not in seen else Seen(tensor, reader)
    return lambda values: values[key]


def _strings(variable: Operation, store: VariableStore) -> Array:
    value = store.strings(variable._name)
    if value is None:
        message = f"Attempting to use uninitialized value {variable._name}"
        raise FailedPreconditionError(None, variable, message)
    return value


def fits(shape: tuple[int, ...], static: tuple[int | None, ...] | None) -> bool:
    """Whether an array's shape is one of those that a tensor is known to have."""
    if static is None or shape == static:
        return True
    return len(shape) == len(static) and all(s is None or s == n for n, s in zip(shape, static, strict=True))


def _checked(tensor: Tensor, value: Any) -> Array:
    """The output as the tensor's type promises it, C-contiguous. Raises InternalError for what is not."""
    array = np.asarray(value)
    dtype = np.dtype(tensor._dtype.as_numpy_dtype)
    if array.dtype != dtype or not tensor._shape.is_compatible_with(array.shape):
        op = tensor._op
        raise InternalError(
            None,
            op,
            f"{op._type} gave {array.dtype}{list(array.shape)} for {tensor.name!r}, which is {dtype} {tensor._shape}.",
        )
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _function_of(op: Operation, store: VariableStore) -> Callable[..., Any]:
    if op._type == "Variable":
        return lambda view: None  # whoever reads it asks the store
    if op._type == "Assign":
        return _assign_strings(op, store)
    return host_function(op._type) or _defined(op)


def _assign_strings(op: Operation, store: VariableStore) -> Callable[..., Any]:
    name = variable_of(op._inputs[0])._name

    def assign(view: HostOp, _: Array | None, value: Array) -> Array:
        store.set_strings(name, value.copy())
        return value

    return assign


def _defined(op: Operation) -> Callable[..., Any]:
    """An op that has a kernel for numbers, on strings: as the reference defines it."""
    from flowc.codegen.reference import evaluate, has_reference, is_random, update_rule

    if not has_reference(op._type) or update_rule(op._type) is not None:
        raise UnimplementedError(None, op, f"flowc has no {op._type} of strings.")

    def compute(view: HostOp, *arrays: Array) -> Sequence[Array]:
        rng = view.generator if is_random(view.type) else None
        return evaluate(view.type, view.attrs, view.dtypes, arrays, rng)

    return compute
