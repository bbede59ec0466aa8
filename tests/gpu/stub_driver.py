"""A driver's library in Python: notes which functions are called, and answers as the real one does for made-up GPUs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from flowc.runtime.cuda import driver_library, native_driver

CODES = {
    2: "CUDA_ERROR_OUT_OF_MEMORY",
    100: "CUDA_ERROR_NO_DEVICE",
    209: "CUDA_ERROR_NO_BINARY_FOR_GPU",
    222: "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
    700: "CUDA_ERROR_ILLEGAL_ADDRESS",
    803: "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
}
ATTRIBUTES = {16: "multiprocessors", 75: "major", 76: "minor"}


class StubDriver:
    """`calls`: names of functions in order; `codes`: what a function returns, by its name, if it is not 0."""

    def __init__(self, version: int = 12080, capabilities: Sequence[tuple[int, int]] = ((9, 0),)) -> None:
        self.version, self.capabilities = version, capabilities
        self.calls: list[str] = []
        self.codes: dict[str, int] = {}
        self._handles = iter(range(0x1000, 1 << 40, 0x1000))

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*args: Any) -> int:
            self.calls.append(name)
            if name in self.codes:
                return self.codes[name]
            getattr(self, f"_{name}", self._give)(*args)
            return 0

        return call

    def _give(self, *args: Any) -> None:
        """A handle or an address, for functions that give one first."""
        place = getattr(args[0], "_obj", None) if args else None
        if place is not None:
            place.value = next(self._handles)

    def _cuDriverGetVersion(self, version: Any) -> None:
        version._obj.value = self.version

    def _cuDeviceGetCount(self, count: Any) -> None:
        count._obj.value = len(self.capabilities)

    def _cuDeviceGet(self, device: Any, ordinal: Any) -> None:
        device._obj.value = ordinal if isinstance(ordinal, int) else ordinal.value

    def _cuDeviceGetName(self, name: Any, size: int, device: Any) -> None:
        name.value = b"Stub %d" % device.value

    def _cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> None:
        memory._obj.value = 80 * 10**9

    def _cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> None:
        major, minor = self.capabilities[device.value]
        value._obj.value = {"multiprocessors": 4, "major": major, "minor": minor}[ATTRIBUTES[attribute]]

    def _cuPointerGetAttribute(self, value: Any, attribute: Any, address: Any) -> None:
        assert attribute.value == 9
        value._obj.value = address.value >> 48  # addresses of GPU n begin with n

    def _cuGetErrorName(self, code: int, name: Any) -> None:
        name._obj.value = CODES[code].encode()

    def _cuGetErrorString(self, code: int, text: Any) -> None:
        text._obj.value = b"as the driver says"

    def _cuMemHostAlloc(self, place: Any, size: Any, flags: Any) -> None:
        self._memory = ctypes.create_string_buffer(size.value)
        place._obj.value = ctypes.addressof(self._memory)


@contextmanager
def driven_by(stub: StubDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the with-block, this is the driver of the machine."""
    caches = driver_library.library, native_driver.native_gpus
    with monkeypatch.context() as patch:
        patch.setattr(driver_library.Library, "__init__", lambda self: setattr(self, "_dll", stub))
        for cached in caches:
            cached.cache_clear()
        yield
    for cached in caches:
        cached.cache_clear()
