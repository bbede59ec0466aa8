"""Values as TensorProto messages, by the API's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.framework.convert import as_array, filled_to
from flowc.framework.dtypes import as_dtype
from flowc.framework.shapes import as_shape
from flowc.framework.tensor_proto import array_from_proto, array_to_proto

__all__ = ["make_ndarray", "make_tensor_proto"]


def make_tensor_proto(values: Any, dtype: Any = None, shape: Any = None) -> Any:
    """A TensorProto message of a number, a string, a list or an array; arguments and errors as for `tf.constant`."""
    wanted = None if dtype is None else as_dtype(dtype).base_dtype
    array = as_array(values, wanted)
    if shape is not None:
        array = filled_to(array, as_shape(shape))
    return array_to_proto(array, wanted or as_dtype(array.dtype))


def make_ndarray(tensor: Any) -> np.ndarray[Any, Any]:
    """The array that a TensorProto message holds; ValueError if it holds too few or too many elements."""
    return array_from_proto(tensor)
