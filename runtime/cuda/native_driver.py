"""GPUs by CUDA's driver API, through ctypes: nothing but the driver itself has to be installed.

Source: NVIDIA, CUDA Driver API Reference. Functions whose interface changed are called by their versioned names.
"""

from __future__ import annotations

import ctypes
import weakref
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from typing import Any, Final

import numpy as np

from flowc.codegen.cuda.geometry import Geometry
from flowc.codegen.cuda.target import LEAST_CAPABILITY
from flowc.codegen.plan import Kernel
from flowc.runtime.cuda.driver import Bytes, DeviceMemoryError, DriverError, GpuInfo

LIBRARY: Final = "libcuda.so.1"
LEAST_DRIVER: Final = 11040  # that has all functions below
_OUT_OF_MEMORY: Final = 2
_THREAD_LOCAL: Final = 1  # captures see what this thread asks for
_NON_BLOCKING: Final = 1
_ATTRIBUTES: Final = {"multiprocessors": 16, "major": 75, "minor": 76}
_MISMATCHES: Final = {
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": "the driver is older than the toolkit that made the kernel",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "the kernel was made for another GPU",
    "CUDA_ERROR_INVALID_IMAGE": "the kernel's code is not what this driver reads",
    "CUDA_ERROR_INVALID_SOURCE": "the kernel's code is not what this driver reads",
}


class Library:
    """The driver's library, and errors by its names. Raises OSError where there is none."""

    def __init__(self) -> None:
        self._dll = ctypes.CDLL(LIBRARY)

    def __call__(self, function: str, *args: Any) -> None:
        """Calls a function. Raises DeviceMemoryError or DriverError."""
        code = getattr(self._dll, function)(*args)
        if code == _OUT_OF_MEMORY:
            raise DeviceMemoryError(f"{function}: the GPU has not so much memory free")
        if code:
            raise DriverError(function, *self._described(code))

    def _described(self, code: int) -> tuple[str, str]:
        name, text = c_char_p(), c_char_p()
        self._dll.cuGetErrorName(code, ctypes.byref(name))
        self._dll.cuGetErrorString(code, ctypes.byref(text))
        return (name.value or str(code).encode()).decode(), (text.value or b"unknown").decode()


@cache
def library() -> Library:
    """The driver, started. Raises OSError where it is not installed, DriverError where it finds no device."""
    found = Library()
    found("cuInit", c_uint(0))
    return found


def driver_version() -> int:
    """The newest CUDA version that the driver knows, as 13000."""
    version = c_int()
    library()("cuDriverGetVersion", ctypes.byref(version))
    return version.value


def chain_problem() -> str:
    """What keeps flowc from GPUs on this machine, and what to do; empty if nothing does."""
    try:
        version = driver_version()
    except OSError:
        return f"there is no CUDA driver ({LIBRARY}): install NVIDIA's driver"
    except DriverError as error:
        return f"the CUDA driver does not start: {error}"
    if version < LEAST_DRIVER:
        known, least = (f"{v // 1000}.{v % 1000 // 10}" for v in (version, LEAST_DRIVER))
        return f"the driver knows CUDA {known} and flowc needs {least}: install a newer driver"
    return ""


@cache
def native_gpus() -> tuple[NativeGpu, ...]:
    """The GPUs of this machine that flowc can use, by their numbers; empty without a driver or without GPUs."""
    if chain_problem():
        return ()
    driver, count = library(), c_int()
    driver("cuDeviceGetCount", ctypes.byref(count))
    infos = [_info(driver, index) for index in range(count.value)]
    return tuple(NativeGpu(driver, info) for info in infos if info.capability >= LEAST_CAPABILITY)


def _info(driver: Library, index: int) -> GpuInfo:
    device, memory, name = c_int(), c_size_t(), ctypes.create_string_buffer(256)
    driver("cuDeviceGet", ctypes.byref(device), index)
    driver("cuDeviceGetName", name, len(name), device)
    driver("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    values = {}
    for key, attribute in _ATTRIBUTES.items():
        value = c_int()
        driver("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        values[key] = value.value
    capability = values["major"], values["minor"]
    return GpuInfo(index, name.value.decode(), capability, values["multiprocessors"], memory.value)


class NativeGpu:
    """A GPU of this machine: see `driver.Gpu`. Its context and stream are made when it is first entered."""

    def __init__(self, driver: Library, info: GpuInfo) -> None:
        self.info = info
        self._driver = driver
        self._context = c_void_p()
        self._stream = c_void_p()

    def enter(self) -> None:
        """Makes the GPU's primary context the thread's."""
        if not self._context:
            device = c_int()
            self._driver("cuDeviceGet", ctypes.byref(device), self.info.index)
            self._driver("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self._driver("cuCtxSetCurrent", self._context)
        if not self._stream:
            self._driver("cuStreamCreate", ctypes.byref(self._stream), c_uint(_NON_BLOCKING))

    def allocate(self, size: int) -> int:
        """See `driver.Gpu`."""
        address = c_uint64()
        self._driver("cuMemAlloc_v2", ctypes.byref(address), c_size_t(max(size, 1)))
        return address.value

    def free(self, address: int) -> None:
        """See `driver.Gpu`."""
        self._driver("cuMemFree_v2", c_uint64(address))

    def pinned(self, size: int) -> Bytes:
        """See `driver.Gpu`."""
        place = c_void_p()
        self._driver("cuMemHostAlloc", ctypes.byref(place), c_size_t(max(size, 1)), c_uint(0))
        assert place.value is not None
        memory = (ctypes.c_uint8 * max(size, 1)).from_address(place.value)
        array: Bytes = np.ctypeslib.as_array(memory)
        weakref.finalize(memory, self._free_pinned, place.value)
        return array

    def _free_pinned(self, address: int) -> None:
        self.enter()
        self._driver("cuMemFreeHost", c_void_p(address))

    def load(self, image: bytes, kernel: Kernel) -> int:
        """See `driver.Gpu`."""
        module, function = c_void_p(), c_void_p()
        try:
            self._driver("cuModuleLoadData", ctypes.byref(module), c_char_p(image))
            self._driver("cuModuleGetFunction", ctypes.byref(function), module, kernel.name.encode())
        except DriverError as error:
            reason = _MISMATCHES.get(error.code)
            if reason is None:
                raise
            known = f"{driver_version() // 1000}.{driver_version() % 1000 // 10}"
            text = f"{reason}. The driver knows CUDA {known}: install a newer driver, or an older toolkit"
            raise DriverError(error.call, error.code, text) from None
        assert function.value is not None
        return function.value

    def upload(self, target: int, source: int, size: int) -> None:
        """See `driver.Gpu`."""
        self._driver("cuMemcpyHtoDAsync_v2", c_uint64(target), c_void_p(source), c_size_t(size), self._stream)

    def download(self, target: int, source: int, size: int) -> None:
        """See `driver.Gpu`."""
        self._driver("cuMemcpyDtoHAsync_v2", c_void_p(target), c_uint64(source), c_size_t(size), self._stream)

    def copy(self, target: int, source: int, size: int) -> None:
        """See `driver.Gpu`."""
        self._driver("cuMemcpyDtoDAsync_v2", c_uint64(target), c_uint64(source), c_size_t(size), self._stream)

    def launch(self, function: int, geometry: Geometry, args: int, units: int) -> None:
        """See `driver.Gpu`."""
        block, count = c_uint64(args), c_uint64(units)
        values = (c_void_p * 2)(ctypes.addressof(block), ctypes.addressof(count))
        sizes = [c_uint(n) for n in (geometry.blocks, 1, 1, geometry.threads, 1, 1, 0)]
        self._driver("cuLaunchKernel", c_void_p(function), *sizes, self._stream, values, None)

    def begin_capture(self) -> None:
        """See `driver.Gpu`."""
        self._driver("cuStreamBeginCapture_v2", self._stream, c_int(_THREAD_LOCAL))

    def end_capture(self) -> int:
        """See `driver.Gpu`."""
        noted, graph = c_void_p(), c_void_p()
        self._driver("cuStreamEndCapture", self._stream, ctypes.byref(noted))
        self._driver("cuGraphInstantiateWithFlags", ctypes.byref(graph), noted, c_uint64(0))
        self._driver("cuGraphDestroy", noted)
        assert graph.value is not None
        return graph.value

    def replay(self, graph: int) -> None:
        """See `driver.Gpu`."""
        self._driver("cuGraphLaunch", c_void_p(graph), self._stream)

    def forget(self, graph: int) -> None:
        """See `driver.Gpu`."""
        self._driver("cuGraphExecDestroy", c_void_p(graph))

    def synchronize(self) -> None:
        """See `driver.Gpu`."""
        self._driver("cuStreamSynchronize", self._stream)
