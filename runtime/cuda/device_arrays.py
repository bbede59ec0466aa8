"""Arrays on a GPU as feeds: whatever has `__cuda_array_interface__`, as arrays of CuPy, Numba and PyTorch do.

A fed array is copied within the device to where the plan expects it. Source: Numba, CUDA Array Interface version 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowc.codegen.ir import is_dense


@dataclass(frozen=True)
class DeviceArray:
    """A C-contiguous array on a device. `owner` keeps its memory alive."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    owner: Any

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """There is no copy of it on the host: a run on the CPU cannot take it."""
        raise TypeError("An array on a GPU is fed to a run that takes the CPU: copy it to the host first.")

    def copy(self) -> Any:
        """Nor can it be fetched as it is."""
        return self.__array__()

    @property
    def nbytes(self) -> int:
        """Its size."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def device_array(value: Any) -> DeviceArray:
    """What has `__cuda_array_interface__` as an array. Raises ValueError for one that is not C-contiguous."""
    described = value.__cuda_array_interface__
    shape, dtype = tuple(described["shape"]), np.dtype(described["typestr"])
    strides = described.get("strides")
    if strides is not None and not is_dense(shape, [s // dtype.itemsize for s in strides]):
        raise ValueError("An array on a GPU that is fed must be C-contiguous; copy it first.")
    return DeviceArray(int(described["data"][0]), shape, dtype, value)
