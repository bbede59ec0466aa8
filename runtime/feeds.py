"""What users feed: keys that name tensors, and values that become arrays of the tensors' types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Number
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import numpy as np
import numpy.typing as npt

from flowc.framework.dtypes import DType, string
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.source import warn_user

if TYPE_CHECKING:
    from flowc.runtime.cuda.device_arrays import FedArray

Array = npt.NDArray[Any]

_NUMBERS: Final = "biufc"  # NumPy's kinds: bool, signed, unsigned, float, complex
_FLOATS: Final = "fc"
_SCALARS: Final = "iufc"
_SAFE: Final = 6e4  # any float type holds numbers below this,
_SMALL: Final = 128  # and any integer type those from 0 to below this


class FeedKeys:
    """The tensors that the keys of a feed_dict stand for, in order.

    A key is a tensor, its name, a Variable (feeding it replaces the value that the run reads), or an object made of
    several tensors, as IndexedSlices is, whose value is then a tuple of theirs. Raises TypeError for other keys,
    ValueError for a tensor that is of another graph, that cannot be fed, or that two keys stand for.
    """

    def __init__(self, graph: Graph, keys: Iterable[Any]) -> None:
        groups = [_tensors_of(graph, key) for key in keys]
        self.tensors: tuple[Tensor, ...] = tuple(tensor for group in groups for tensor in group)
        self._sizes = None if len(self.tensors) == len(groups) else [len(group) for group in groups]
        for index, tensor in enumerate(self.tensors):
            if tensor in self.tensors[:index]:
                raise ValueError(f"Tensor {tensor.name!r} is fed twice: by itself and by its name, say.")

    def arrays(self, values: Iterable[Any]) -> list[Array]:
        """One array a tensor. Raises TypeError or ValueError for a value that its tensor cannot take."""
        if self._sizes is not None:
            values = [part for value, size in zip(values, self._sizes, strict=True) for part in _parts(value, size)]
        return [as_fed(tensor, value) for tensor, value in zip(self.tensors, values, strict=True)]


def as_fed(tensor: Tensor, value: Any) -> Array:
    """`value` as a C-contiguous array of the tensor's type; itself if it is one.

    Numbers are converted where that loses no more than a float's rounding: integers and bools to any number that holds
    them, floats to floats, whole floats to integers. Strings become bytes (UTF-8).
    """
    dtype = tensor.dtype.base_dtype
    target = np.dtype(dtype.as_numpy_dtype)
    if type(value) is np.ndarray and value.dtype == target and dtype is not string:
        array = value
    elif (type(value) is float and target.kind == "f" and abs(value) < _SAFE) or (
        type(value) is int and target.kind in _SCALARS and 0 <= value < _SMALL
    ):  # the commonest: a rate, a probability, a step
        array = np.array(value, target)
    elif type(value) is not np.ndarray and (fed := _on_device(tensor, target, value)) is not None:
        return cast(Array, fed)
    else:
        array = _converted(tensor, dtype, target, value)
    static = tensor.get_shape()
    if array.shape != static.tuple and not static.is_compatible_with(array.shape):
        raise ValueError(
            f"Cannot feed value of shape {array.shape!r} for Tensor {tensor.name!r}, which has shape {static}"
            + _made_at(tensor)
        )
    flags = array.flags
    if flags.c_contiguous and flags.aligned:
        return array
    return np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"])


def _on_device(tensor: Tensor, target: np.dtype[Any], value: Any) -> FedArray | None:
    """An array on a GPU as it is, if it is of the tensor's type and shape; None for what is no array on a GPU."""
    if not hasattr(value, "__cuda_array_interface__") and not hasattr(value, "__dlpack_device__"):
        return None
    from flowc.runtime.cuda.device_arrays import fed_array
    from flowc.runtime.cuda.device_results import DeviceArray

    array = value.as_feed(tensor.name) if type(value) is DeviceArray else fed_array(tensor.name, value)
    if array is None:
        return None
    static = tensor.get_shape()
    is_other = array.dtype != target or array.kind not in (None, tensor.dtype.base_dtype.name)
    if is_other or (array.shape != static.tuple and not static.is_compatible_with(array.shape)):
        raise ValueError(
            f"Cannot feed {tensor.name!r}, {target.name} of shape {static}, an array on a GPU that is "
            f"{array.kind or array.dtype.name} of shape {array.shape}: it must be of exactly the tensor's type"
            + _made_at(tensor)
        )
    return array


def _tensors_of(graph: Graph, key: Any) -> tuple[Tensor, ...]:
    parts = getattr(key, "_flowc_fetch", None)
    if parts is not None:
        return tuple(_tensor_of(graph, part) for part in parts()[0])
    return (_tensor_of(graph, key),)


def _tensor_of(graph: Graph, key: Any) -> Tensor:
    try:
        tensor = graph.as_graph_element(key, allow_operation=False)
    except (TypeError, ValueError, KeyError) as error:
        reason = error.args[0] if error.args else error
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Cannot interpret feed_dict key as Tensor: {reason}") from None
    assert isinstance(tensor, Tensor)
    return tensor


def _parts(value: Any, size: int) -> Sequence[Any]:
    if size == 1:
        return [value]
    if not isinstance(value, tuple) or len(value) < size:
        raise TypeError(f"A feed of {size} tensors takes a tuple of their values, not {type(value).__name__}.")
    return value[:size]


def _converted(tensor: Tensor, dtype: DType, target: np.dtype[Any], value: Any) -> Array:
    if isinstance(value, Tensor | Operation) or hasattr(value, "_as_graph_element"):
        raise TypeError(
            f"The value of a feed cannot be a tf.Tensor object: {value!r} is fed to {tensor.name!r}. Acceptable feed "
            "values are Python scalars, strings, lists and NumPy arrays; run the tensor first to get its value."
        )
    if dtype is string:
        return _as_strings(tensor, value)
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise ValueError(
            f"Cannot feed {tensor.name!r}, of type {dtype.name}: the lists have different lengths ({error})"
            + _made_at(tensor)
        ) from None
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        _refuse(tensor, dtype, "a masked array: feed value.filled(…), or value.data")
    if array.dtype.kind not in _NUMBERS and not _are_numbers(array):
        _refuse(tensor, dtype, f"{_description(value, array)}: no numbers of one type")
    return _cast(tensor, dtype, target, array)


def _are_numbers(array: Array) -> bool:
    """Whether these are Python objects that are numbers, such as ints that no NumPy type holds, or fractions."""
    return array.dtype.kind == "O" and all(isinstance(item, Number) for item in array.flat)


def _cast(tensor: Tensor, dtype: DType, target: np.dtype[Any], array: Array) -> Array:
    """Numbers to the tensor's type, unless that loses a part of them. Floats beyond its range become infinite."""
    if array.dtype.kind == "c" and target.kind != "c":
        _refuse(tensor, dtype, f"{array.dtype.name} values, whose imaginary parts would be lost")
    if target.kind not in _FLOATS and not np.can_cast(array.dtype, target):
        return _as_integers(tensor, dtype, target, array)
    try:
        with np.errstate(over="raise"):
            return array.astype(target)
    except (OverflowError, TypeError):
        _refuse(tensor, dtype, f"numbers that it cannot hold, such as {next(iter(array.flat))!r:.50}")
    except FloatingPointError:
        warn_user(f"Values fed to {tensor.name!r} overflow {dtype.name}: they become infinite.", RuntimeWarning)
        with np.errstate(over="ignore"):
            return array.astype(target)


def _as_integers(tensor: Tensor, dtype: DType, target: np.dtype[Any], array: Array) -> Array:
    """Numbers to integers or bools, if these hold them exactly. NaN is refused, too."""
    try:
        with np.errstate(invalid="ignore"):
            result = array.astype(target)
    except (OverflowError, TypeError, ValueError):
        result = None
    if result is None or not np.array_equal(result, array):
        kind = "" if array.dtype.kind == "O" else f"{array.dtype.name} "
        _refuse(tensor, dtype, f"{kind}values that it cannot hold: convert them yourself if that is meant")
    return result


def _as_strings(tensor: Tensor, value: Any) -> Array:
    """An array of bytes objects. NumPy's own string types would drop zero bytes at the end."""
    array = np.array(value, dtype=object)
    result = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        item = array[index]
        if not isinstance(item, str | bytes):
            _refuse(tensor, string, f"a {type(item).__name__}: no string")
        try:
            result[index] = item.encode() if isinstance(item, str) else bytes(item)
        except UnicodeEncodeError as error:
            raise ValueError(f"Cannot feed {tensor.name!r}, of type string: {error}{_made_at(tensor)}") from None
    return result


def _description(value: Any, array: Array) -> str:
    if value is None:
        return "None"
    if array.dtype.kind in "US":
        return "strings" if array.shape else "a string"
    return f"an array of {array.dtype}" if isinstance(value, np.ndarray) else f"a value of type {type(value).__name__}"


def _refuse(tensor: Tensor, dtype: DType, what: str) -> NoReturn:
    raise TypeError(f"Cannot feed Tensor {tensor.name!r}, of type {dtype.name}, with {what}.{_made_at(tensor)}")


def _made_at(tensor: Tensor) -> str:
    line = tensor.op.source_line()
    return f"\n  {tensor.name} is made at {line}" if line else ""
