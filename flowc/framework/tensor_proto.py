"""Arrays as TensorProto messages, and back."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from flowc.framework import dtypes, protos
from flowc.framework.dtypes import DType, as_dtype
from flowc.framework.shapes import TensorShape

Array = np.ndarray[Any, Any]

# the field that holds values of a type one by one; of complex numbers it holds both parts
_FIELDS: Final[dict[DType, str]] = {
    dtypes.float16: "half_val",
    dtypes.bfloat16: "half_val",
    dtypes.float32: "float_val",
    dtypes.float64: "double_val",
    dtypes.int64: "int64_val",
    dtypes.bool_: "bool_val",
    dtypes.string: "string_val",
    dtypes.complex64: "scomplex_val",
    dtypes.complex128: "dcomplex_val",
}


def _field(dtype: DType) -> str:
    return _FIELDS.get(dtype, "int_val")


def shape_to_proto(shape: TensorShape) -> Any:
    """A TensorShapeProto; an unknown size is -1 in it."""
    if shape.tuple is None:
        return protos.TensorShapeProto(unknown_rank=True)
    return protos.TensorShapeProto(dim=[{"size": -1 if size is None else size} for size in shape.tuple])


def shape_from_proto(proto: Any) -> TensorShape:
    """The shape that a TensorShapeProto describes."""
    if proto.unknown_rank:
        return TensorShape(None)
    return TensorShape([None if dim.size < 0 else dim.size for dim in proto.dim])


def array_to_proto(array: Array, dtype: DType) -> Any:
    """A TensorProto of an array with elements of `dtype`: one element, or strings, spelled out, others as raw bytes."""
    proto = protos.TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=shape_to_proto(TensorShape(array.shape)))
    if dtype is not dtypes.string and array.size != 1:
        proto.tensor_content = np.ascontiguousarray(array, np.dtype(dtype.as_numpy_dtype).newbyteorder("<")).tobytes()
    else:
        getattr(proto, _field(dtype)).extend(_parts(array.reshape(-1), dtype))
    return proto


def _parts(flat: Array, dtype: DType) -> list[Any]:
    if dtype.is_complex:
        flat = np.ascontiguousarray(flat).view(flat.real.dtype)
    if dtype is dtypes.float16:
        flat = np.ascontiguousarray(flat).view(np.uint16)
    return list(flat.tolist())


def array_from_proto(proto: Any) -> Array:
    """The array that a TensorProto holds. Where it spells out too few elements, the last one fills the rest.

    Raises ValueError if they are more than its shape has, or none.
    """
    dtype = as_dtype(proto.dtype)
    sizes = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_content:
        flat = np.frombuffer(proto.tensor_content, np.dtype(dtype.as_numpy_dtype).newbyteorder("<"))
        return flat.astype(dtype.as_numpy_dtype).reshape(sizes)
    flat = _spelled_out(proto, dtype)
    count = int(np.prod(sizes, dtype=np.int64))
    if flat.size > count or (count and not flat.size):
        raise ValueError(f"A TensorProto of shape {list(sizes)} holds {flat.size} values.")
    return np.concatenate([flat, np.repeat(flat[-1:], count - flat.size)]).reshape(sizes)


def _spelled_out(proto: Any, dtype: DType) -> Array:
    values = getattr(proto, _field(dtype))
    if dtype.is_complex:
        return np.array(values, np.dtype(dtype.as_numpy_dtype).type(0).real.dtype).view(dtype.as_numpy_dtype)
    if dtype is dtypes.float16:
        return np.array(values, np.uint16).view(np.float16)
    return np.array(list(values), dtype.as_numpy_dtype)
