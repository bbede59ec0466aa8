"""Results that stay on a GPU: `Session.run(…, device_fetches=True)` gives arrays whose memory is theirs alone."""

from __future__ import annotations

import sys
import weakref
from math import prod
from typing import Any, Final

import numpy as np

from flowc.runtime.buffers import address_of
from flowc.runtime.cuda import dlpack
from flowc.runtime.cuda.device_arrays import FedArray
from flowc.runtime.cuda.driver import Array, DeviceMemoryError, Gpu

_MOST_SPARE: Final = 2  # blocks of one size: in `y = run()` the old y lives until the new one is made
_GRAIN: Final = 256
_NO_INTERFACE: Final = ("bfloat16",)  # types that NumPy, and so the array interface, has no name for


class DeviceArray:
    """The value of a fetched tensor on a GPU; no later run changes it.

    CuPy, Numba, PyTorch and JAX take it without a copy (`__cuda_array_interface__`, `__dlpack__`), runs take it as a
    feed; `numpy()` copies it to the host. Its memory is used again when nobody has it any more.

    Attributes: `shape`, `dtype` (NumPy's; of bfloat16 that of its bits), and `kind`, the flowc dtype's name.
    """

    __slots__ = ("__weakref__", "_block", "dtype", "kind", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], kind: str, block: DeviceBlock) -> None:
        self.shape, self.dtype, self.kind, self._block = shape, dtype, kind, block

    @property
    def device(self) -> str:
        """Where it is, as "/gpu:0"."""
        return f"/gpu:{self._block.gpu.info.index}"

    @property
    def nbytes(self) -> int:
        """Its size."""
        return prod(self.shape) * self.dtype.itemsize

    def as_feed(self, name: str) -> FedArray:
        """The array as what is fed to the tensor `name`."""
        return FedArray(name, self._block.address, self.shape, self.dtype, self.kind, None, self, self._block.gpu)

    def numpy(self) -> Array:
        """A copy on the host."""
        result: Array = np.empty(self.shape, self.dtype)
        gpu = self._block.gpu
        with gpu.lock:
            gpu.enter()
            gpu.download(address_of(result), self._block.address, self.nbytes)
            gpu.synchronize()
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """See `numpy`. Raises ValueError for `copy=False`."""
        if copy is False:
            raise ValueError("an array on a GPU is read on the host by a copy only")
        return np.asarray(self.numpy(), dtype)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3. There is nothing to wait for: the run is over."""
        if self.kind in _NO_INTERFACE:
            raise AttributeError(f"the array interface has no {self.kind}: use __dlpack__")
        address = self._block.address if self.nbytes else 0
        described = {"shape": self.shape, "typestr": self.dtype.str, "data": (address, False)}
        return {**described, "version": 3, "strides": None, "stream": None}

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's number of CUDA, and the driver's number of the GPU."""
        return dlpack.CUDA, self._block.gpu.info.ordinal

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule for another library; whatever `stream` reads it, the run is over. BufferError for a copy."""
        device = self.__dlpack_device__()
        if copy or (dl_device is not None and tuple(dl_device) != device):
            raise BufferError("flowc hands arrays over where they lie: copy it with the library that takes it")
        return dlpack.capsule_of(self._block.address, self.shape, self.kind, device, self._block)

    def __repr__(self) -> str:
        return f"<flowc.DeviceArray {self.kind} {self.shape} on {self.device}>"


class DeviceBlock:
    """Memory that somebody has; goes back to its pool by itself."""

    __slots__ = ("_pool", "address", "gpu", "size")

    def __init__(self, pool: DevicePool, size: int, address: int) -> None:
        self._pool, self.gpu, self.size, self.address = pool, pool.gpu, size, address

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self._pool.give_back(self.size, self.address)


class DevicePool:
    """Memory for a session's results on one GPU. `take` is for whoever holds the GPU's lock."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self._spare: dict[int, list[int]] = {}
        self._is_open = True
        weakref.finalize(self, _free_all, gpu, self._spare)

    def take(self, size: int) -> DeviceBlock:
        """At least so many bytes. Raises DeviceMemoryError."""
        size = max(-(-size // _GRAIN) * _GRAIN, _GRAIN)
        spare = self._spare.get(size, [])
        while len(spare) > _MOST_SPARE:
            self.gpu.free(spare.pop())
        try:
            return DeviceBlock(self, size, spare.pop())
        except IndexError:  # a length that was looked at before could be old: blocks come back at any time
            return DeviceBlock(self, size, self._allocated(size))

    def _allocated(self, size: int) -> int:
        try:
            return self.gpu.allocate(size)
        except DeviceMemoryError:
            _free_all(self.gpu, self._spare)
            return self.gpu.allocate(size)

    def give_back(self, size: int, address: int) -> None:
        """For blocks: called wherever the last reference goes, so it waits for no lock."""
        self._spare.setdefault(size, []).append(address)
        if not self._is_open:
            _free_all(self.gpu, self._spare)

    def close(self) -> None:
        """Gives memory back that nobody has; from here on, the rest at once when nobody has it."""
        self._is_open = False
        _free_all(self.gpu, self._spare)


def _free_all(gpu: Gpu, spare: dict[int, list[int]]) -> None:
    blocks = [at for size in list(spare) for at in spare.pop(size, [])]
    if blocks:
        gpu.enter()
    for address in blocks:
        gpu.free(address)
