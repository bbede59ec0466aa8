"""DLPack capsules, through ctypes: arrays handed from one library to another without a copy.

Source: DLPack 0.8 (dlpack.h), and the Python array API standard 2023.12, `__dlpack__`. Capsules are unversioned ones,
which every consumer takes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_int32, c_int64, c_uint8, c_uint16, c_uint64, c_void_p, py_object
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

CPU: Final = 1
CUDA: Final = 2
LEGACY_STREAM: Final = 1  # CUDA's default stream, which streams of most libraries wait for
_NAME: Final = b"dltensor"  # of a capsule that nobody has taken the tensor out of
_BFLOAT: Final = 4
_CODES: Final = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}  # DLPack's numbers of kinds, and NumPy's letters


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p), ("device", c_int32), ("device_id", c_int32), ("ndim", c_int32),
        ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16),
        ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)), ("byte_offset", c_uint64),
    ]  # fmt: skip


_pointer = ctypes.PyDLL(None).PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = c_void_p, (py_object, ctypes.c_char_p)


@dataclass(frozen=True)
class Described:
    """The array in a capsule. `strides`: in elements; None if it lies in order. `device`: its kind and number."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: str  # a flowc dtype's name
    device: tuple[int, int]


def read(capsule: Any) -> Described:
    """What is in a capsule, which keeps it alive. Raises ValueError for a type of elements that flowc has not."""
    tensor = _tensor_in(capsule)
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None
    address = (tensor.data or 0) + tensor.byte_offset
    return Described(address, shape, strides, _dtype_of(tensor), (tensor.device, tensor.device_id))


def _tensor_in(capsule: Any) -> _Tensor:
    return _Tensor.from_address(_pointer(capsule, _NAME))  # what a managed tensor begins with


def _dtype_of(tensor: _Tensor) -> str:
    kind, size = _CODES.get(tensor.code), tensor.bits // 8
    if tensor.lanes == 1 and (tensor.code, tensor.bits) == (_BFLOAT, 16):
        return "bfloat16"
    if kind is None or tensor.lanes != 1 or tensor.bits % 8:
        raise ValueError(
            f"DLPack's type of code {tensor.code}, {tensor.bits} bits, {tensor.lanes} lanes is none of flowc's"
        )
    return "bool" if kind == "b" else np.dtype(f"{kind}{size}").name


@dataclass(frozen=True)
class _Lent:
    """Memory on a device, for NumPy to make an array of that nobody reads; the array keeps it, and so `owner`."""

    __array_interface__: dict[str, Any]
    owner: object


def capsule_of(address: int, shape: Sequence[int], dtype: str, device: tuple[int, int], owner: object) -> Any:
    """A capsule of an array that lies in order; `owner` lives until its consumer is done with it, or the capsule goes.

    NumPy makes it, so that none of its callbacks is Python: they may be called while an exception is on its way.
    """
    typestr = np.dtype("uint16" if dtype == "bfloat16" else dtype).str
    lent = _Lent({"data": (address, False), "shape": tuple(shape), "typestr": typestr, "version": 3}, owner)
    capsule = np.asarray(lent).__dlpack__()
    tensor = _tensor_in(capsule)
    tensor.device, tensor.device_id = device
    if dtype == "bfloat16":
        tensor.code = _BFLOAT
    return capsule
