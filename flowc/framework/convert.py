"""Values to tensors: Python numbers and lists, arrays, variables, and whatever else registers a conversion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from flowc.framework import dtypes
from flowc.framework.default_graph import get_default_graph
from flowc.framework.dtypes import DType, as_dtype
from flowc.framework.graph import Tensor
from flowc.framework.shapes import Dimension, TensorShape

Conversion = Callable[[Any, DType | None, str | None, bool], Any]


class _Registered(NamedTuple):
    priority: int
    base_type: type | tuple[type, ...]
    function: Conversion


_conversions: list[_Registered] = []
# kinds of NumPy types: which of a Python value's may become which of a tensor's
_CONVERTIBLE_KINDS: Final = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "c": "iufc"}


def register_tensor_conversion_function(base_type: Any, conversion_func: Conversion, priority: int = 100) -> None:
    """Values of `base_type`, a type or a tuple of types, become tensors by `conversion_func`.

    It is called as (value, dtype, name, as_ref) and may return NotImplemented, for others to be asked. Functions with a
    smaller `priority` are asked first, those with the same in the order in which they were registered.
    """
    _conversions.append(_Registered(priority, base_type, conversion_func))
    _conversions.sort(key=lambda registered: registered.priority)


def convert_to_tensor(value: Any, dtype: Any = None, name: str | None = None, as_ref: bool = False) -> Tensor:
    """`value` as a tensor: itself if it is one, else what is registered for its type, else a constant of it.

    A list in which some elements are tensors is packed (`flowc.ops.joining_ops`).

    Raises TypeError if the value cannot be one or its elements are not of `dtype`; ValueError for a tensor of another
    type, None, or a ragged list; RuntimeError if what is registered for the value's type does not return a tensor.
    """
    dtype = None if dtype is None else as_dtype(dtype).base_dtype
    if isinstance(value, Tensor):
        return _checked(value, value, dtype)
    for _, base_type, function in _conversions:
        if isinstance(value, base_type):
            tensor = function(value, dtype, name, as_ref)
            if tensor is NotImplemented:
                continue
            if not isinstance(tensor, Tensor):
                raise RuntimeError(
                    f"Conversion function {function!r} for type {base_type} returned non-Tensor: {tensor!r}"
                )
            return _checked(tensor, value, dtype)
    return constant(value, dtype, name=name or "Const")


def holds_tensors(values: Any) -> bool:
    """Whether a value is a tensor or a variable, or a (nested) list with one in it."""
    if isinstance(values, (list, tuple)):
        return any(holds_tensors(value) for value in values)
    return isinstance(values, Tensor) or hasattr(values, "_as_graph_element")


def _checked(tensor: Tensor, value: Any, dtype: DType | None) -> Tensor:
    if dtype is not None and tensor.dtype.base_dtype is not dtype:
        raise ValueError(
            f"Tensor conversion requested dtype {dtype.name} for Tensor with dtype {tensor.dtype.base_dtype.name}: "
            f"{value!r}"
        )
    return tensor


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str = "Const") -> Tensor:
    """A tensor that always has the given value.

    Args:
        value: a number, a string, a (nested) list or an array.
        dtype: the type of the elements; by default float32 for floats, int32 for ints (int64 if one is too large), and
            an array's own.
        shape: the result's shape; a value with fewer elements is filled up by repeating its last one.
        name: the operation's name.

    Raises:
        TypeError: the value's elements cannot be of `dtype`.
        ValueError: a ragged list, or more elements than `shape` has.
    """
    wanted = None if dtype is None else as_dtype(dtype).base_dtype
    array = as_array(value, wanted)
    if shape is not None:
        array = filled_to(array, TensorShape(shape))
    array.setflags(write=False)
    kind = wanted or as_dtype(array.dtype)
    attrs = {"value": array, "dtype": kind}
    return get_default_graph()._create("Const", [], [kind], name, attrs)._outputs[0]


def as_array(value: Any, dtype: DType | None = None) -> np.ndarray[Any, Any]:
    """`value` as a fresh C-contiguous array of `dtype`, or of the type that the API gives to such a value."""
    if isinstance(value, TensorShape):
        value = value.as_list()
    if isinstance(value, (np.ndarray, np.generic)):
        return _from_numpy(np.asarray(value), dtype)
    if value is None:
        raise ValueError("None values not supported.")
    if _contains(value, (Tensor, type(None))):
        raise TypeError(f"{value!r} is not a value that a tensor can hold; pack tensors in a list with tf.pack().")
    if _contains(value, (str, bytes)):
        return _strings(value, dtype)
    return _from_python(value, dtype)


def _contains(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_contains(item, kinds) for item in value)
    return isinstance(value, kinds)


def _from_numpy(array: np.ndarray[Any, Any], dtype: DType | None) -> np.ndarray[Any, Any]:
    if array.dtype.kind in "SUO":
        return _strings(array.tolist(), dtype).reshape(array.shape)  # which an empty list would lose
    if dtype is dtypes.string:
        raise TypeError(f"Expected string, got an array of {array.dtype}.")
    kind = as_dtype(array.dtype) if dtype is None else dtype
    return np.array(array, dtype=kind.as_numpy_dtype, order="C")


def _strings(value: Any, dtype: DType | None) -> np.ndarray[Any, Any]:
    if dtype is not None and dtype is not dtypes.string:
        raise _unexpected(dtype, next(item for item in _items(value) if isinstance(item, str | bytes)))
    array = np.array(value, dtype=np.object_)
    flat = array.reshape(-1)
    for index, item in enumerate(flat):
        if not isinstance(item, (str, bytes)):
            raise _unexpected(dtypes.string, item)
        flat[index] = item.encode() if isinstance(item, str) else item
    return array


def _items(value: Any) -> Iterator[Any]:
    """The elements of a list in lists, or the value itself."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _items(item)
    else:
        yield value


def _unexpected(dtype: DType, item: Any) -> TypeError:
    return TypeError(f"Expected {dtype.name}, got {item!r} of type {type(item).__name__!r} instead.")


def _from_python(value: Any, dtype: DType | None) -> np.ndarray[Any, Any]:
    try:
        array = np.array(_plain(value))
    except ValueError:
        raise ValueError(f"Argument must be a dense tensor: {value!r} is a ragged list.") from None
    except OverflowError:
        raise TypeError(f"{value!r} has an integer that is too large for any type.") from None
    if array.dtype.kind in "OVmM":
        raise TypeError(f"Cannot convert {value!r} of type {type(value).__name__} to a tensor.")
    if dtype is None:
        return np.array(array, dtype=_default_type(array).as_numpy_dtype, order="C")
    _check_kind(array, dtype, value)
    return np.array(array, dtype=dtype.as_numpy_dtype, order="C")


def _plain(value: Any) -> Any:
    """The value with an int in place of each Dimension."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, Dimension) else value


def _default_type(array: np.ndarray[Any, Any]) -> DType:
    kind = array.dtype.kind
    if kind == "f":
        return dtypes.float32
    if kind == "c":
        return dtypes.complex64
    if kind == "b":
        return dtypes.bool_
    if array.size and (array.max() > dtypes.int32.max or array.min() < dtypes.int32.min):
        return dtypes.int64
    return dtypes.int32 if kind in "iu" and array.size else dtypes.float32


def _check_kind(array: np.ndarray[Any, Any], dtype: DType, value: Any) -> None:
    """Python values convert to wider kinds only: int to float, float to complex."""
    allowed = _CONVERTIBLE_KINDS.get(np.dtype(dtype.as_numpy_dtype).kind, "")
    if array.size and array.dtype.kind not in allowed:
        raise _unexpected(dtype, next(item for item in _items(value) if np.array(item).dtype.kind not in allowed))
    if dtype.is_integer and array.size and (array.max() > dtype.max or array.min() < dtype.min):
        raise TypeError(f"{value!r} is out of the range of {dtype.name}.")


def filled_to(array: np.ndarray[Any, Any], shape: TensorShape) -> np.ndarray[Any, Any]:
    """An array's elements in another shape, the last one repeated where they are too few; ValueError if too many."""
    size = shape.num_elements()
    sizes = shape.tuple
    if size is None or sizes is None:
        raise ValueError(f"The shape of a constant must be known: {shape}")
    if array.size > size:
        raise ValueError(f"Too many elements provided. Needed at most {size}, but received {array.size}")
    if array.size == 0 and size > 0:
        raise ValueError(f"A value with no elements cannot fill shape {shape}")
    flat = np.empty(size, array.dtype)
    flat[: array.size] = array.reshape(-1)
    flat[array.size :] = array.reshape(-1)[-1:] if array.size else 0
    return flat.reshape(tuple(d for d in sizes if d is not None))


def _convert_shape(value: Any, dtype: DType | None, name: str | None, as_ref: bool) -> Tensor:
    shape = value if isinstance(value, TensorShape) else TensorShape(None)
    if not shape.is_fully_defined():
        raise ValueError(f"Cannot convert a partially known TensorShape to a Tensor: {value}")
    return constant(np.array(shape.as_list(), np.int32), dtype or dtypes.int32, name=name or "shape_as_tensor")


register_tensor_conversion_function(TensorShape, _convert_shape)
