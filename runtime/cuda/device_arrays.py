"""Arrays on a GPU as feeds: what has `__cuda_array_interface__`, or `__dlpack__` and lies on a GPU.

Arrays of CuPy, Numba, PyTorch and JAX do, and flowc's own `DeviceArray`. They are used where they lie.
Sources: Numba, CUDA Array Interface version 3; the Python array API standard, `__dlpack__`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Final, NoReturn

import numpy as np

from flowc.codegen.ir import is_dense
from flowc.framework.dtypes import as_dtype
from flowc.runtime.cuda import dlpack

_STREAMS_ARE_SAID: Final = 3  # the version of the interface from which on it says what to wait for


@dataclass(slots=True)
class FedArray:
    """A C-contiguous array on a GPU that is fed to the tensor `name`.

    `kind`: its flowc dtype's name, where that says more than NumPy's. `stream`: whose work must be waited for before it
    is read; None: nobody's. `gpu`: whose memory it is, if that is known. `owner` keeps it alive.
    """

    name: str
    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    kind: str | None
    stream: int | None
    owner: Any
    gpu: Any = None

    @property
    def nbytes(self) -> int:
        """Its size."""
        return prod(self.shape) * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        """Refuses: what runs on the host cannot read it, and a copy that nobody asked for would be slow."""
        raise TypeError(
            f"{self.name!r} is fed an array on a GPU, and this run takes the CPU, or works with the value there. Feed "
            "a copy on the host: array.numpy() of flowc's arrays, array.cpu().numpy() of PyTorch's, array.get() of "
            "CuPy's, array.copy_to_host() of Numba's."
        )

    def tobytes(self) -> NoReturn:
        """See `__array__`: shapes depend on the value."""
        self.__array__()

    def copy(self) -> NoReturn:
        """See `__array__`."""
        self.__array__()


def fed_array(name: str, value: Any) -> FedArray | None:
    """An array on a GPU as a feed of the tensor `name`; None for other values.

    Raises ValueError for an array that is not C-contiguous.
    """
    if (described := getattr(value, "__cuda_array_interface__", None)) is not None:
        return _of_interface(name, value, described)
    asked = getattr(value, "__dlpack_device__", None)
    return _of_capsule(name, value) if asked is not None and int(asked()[0]) == dlpack.CUDA else None


def _of_interface(name: str, value: Any, described: dict[str, Any]) -> FedArray:
    shape, dtype = tuple(described["shape"]), np.dtype(described["typestr"])
    strides = described.get("strides")
    _check_order(name, shape, None if strides is None else [s // dtype.itemsize for s in strides])
    says_stream = described.get("version", 0) >= _STREAMS_ARE_SAID
    stream = described.get("stream") if says_stream else dlpack.LEGACY_STREAM
    return FedArray(name, int(described["data"][0] or 0), shape, dtype, None, stream, value)


def _of_capsule(name: str, value: Any) -> FedArray:
    capsule = value.__dlpack__(stream=dlpack.LEGACY_STREAM)  # which waits for the array; we wait for it
    found = dlpack.read(capsule)
    _check_order(name, found.shape, found.strides)
    dtype = np.dtype(as_dtype(found.dtype).as_numpy_dtype)
    return FedArray(name, found.address, found.shape, dtype, found.dtype, dlpack.LEGACY_STREAM, (value, capsule))


def _check_order(name: str, shape: tuple[int, ...], strides: Any) -> None:
    if strides is not None and not is_dense(shape, list(strides)):
        raise ValueError(f"{name!r} is fed an array on a GPU that is not C-contiguous: make it so first, by a copy.")
