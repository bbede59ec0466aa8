"""GPUs by CUDA's driver API, through ctypes: nothing but the driver itself has to be installed.

Source: NVIDIA, CUDA Driver API Reference. Functions whose interface changed are called by their versioned names.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np

from flowc.codegen.cuda.geometry import Geometry
from flowc.codegen.cuda.target import LEAST_CAPABILITY
from flowc.codegen.plan import Kernel
from flowc.runtime.cuda.driver import Bytes, DriverError, GpuInfo
from flowc.runtime.cuda.driver_library import Library, chain_problem, library, mismatch

_THREAD_LOCAL: Final = 1  # captures see what this thread asks for
_NON_BLOCKING: Final = 1
_ATTRIBUTES: Final = {"multiprocessors": 16, "major": 75, "minor": 76}
_NO_TIMING: Final = 2  # of events
_ORDINAL_OF_POINTER: Final = 9


@cache
def native_gpus() -> tuple[NativeGpu, ...]:
    """The GPUs of this machine that flowc can use, by their numbers; empty without a driver or without GPUs."""
    return () if chain_problem() else tuple(NativeGpu(library(), info) for info in usable_gpus())


def usable_gpus() -> list[GpuInfo]:
    """The GPUs that flowc can use, numbered anew. Raises OSError and DriverError."""
    usable = [info for info in _all_gpus() if info.capability >= LEAST_CAPABILITY]
    return [replace(info, index=index) for index, info in enumerate(usable)]


def unusable_gpus() -> list[GpuInfo]:
    """The GPUs that are too old for flowc."""
    return [info for info in _all_gpus() if info.capability < LEAST_CAPABILITY]


def _all_gpus() -> list[GpuInfo]:
    driver, count = library(), c_int()
    driver("cuDeviceGetCount", ctypes.byref(count))
    return [_info(driver, ordinal) for ordinal in range(count.value)]


def _info(driver: Library, ordinal: int) -> GpuInfo:
    device, memory, name = c_int(), c_size_t(), ctypes.create_string_buffer(256)
    driver("cuDeviceGet", ctypes.byref(device), ordinal)
    driver("cuDeviceGetName", name, len(name), device)
    driver("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    values = {}
    for key, attribute in _ATTRIBUTES.items():
        value = c_int()
        driver("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        values[key] = value.value
    capability = values["major"], values["minor"]
    return GpuInfo(ordinal, name.value.decode(), capability, values["multiprocessors"], memory.value, ordinal)


class NativeGpu:
    """A GPU of this machine: see `driver.Gpu`. Its context and stream are made when it is first entered."""

    def __init__(self, driver: Library, info: GpuInfo) -> None:
        self.info = info
        self.lock = threading.RLock()
        self._driver = driver
        self._context = c_void_p()
        self._stream = c_void_p()
        self._event = c_void_p()  # what other streams are waited for by
        self._captures = False
        self._later: list[Callable[[], None]] = []  # what must not be done within a capture

    def enter(self) -> None:
        """Makes the GPU's primary context the thread's."""
        if not self._context:
            device = c_int()
            self._driver("cuDeviceGet", ctypes.byref(device), self.info.ordinal)
            self._driver("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self._driver("cuCtxSetCurrent", self._context)
        if not self._stream:
            self._driver("cuStreamCreate", ctypes.byref(self._stream), c_uint(_NON_BLOCKING))
            self._driver("cuEventCreate", ctypes.byref(self._event), c_uint(_NO_TIMING))

    def allocate(self, size: int) -> int:
        """See `driver.Gpu`."""
        address = c_uint64()
        self._driver("cuMemAlloc_v2", ctypes.byref(address), c_size_t(max(size, 1)))
        return address.value

    def free(self, address: int) -> None:
        """See `driver.Gpu`."""
        self._outside_captures(lambda: self._driver("cuMemFree_v2", c_uint64(address)))

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
        self._outside_captures(lambda: self._driver("cuMemFreeHost", c_void_p(address)))

    def load(self, image: bytes, kernel: Kernel) -> int:
        """See `driver.Gpu`."""
        module, function = c_void_p(), c_void_p()
        try:
            self._driver("cuModuleLoadData", ctypes.byref(module), c_char_p(image))
            self._driver("cuModuleGetFunction", ctypes.byref(function), module, kernel.name.encode())
        except DriverError as error:
            raise mismatch(error, image) from None
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

    def stream(self) -> int:
        """See `driver.Gpu`."""
        assert self._stream.value is not None, "nobody has entered the GPU"
        return self._stream.value

    def begin_capture(self) -> None:
        """See `driver.Gpu`."""
        self._driver("cuStreamBeginCapture_v2", self._stream, c_int(_THREAD_LOCAL))
        self._captures = True

    def end_capture(self) -> int:
        """See `driver.Gpu`."""
        noted, graph = c_void_p(), c_void_p()
        try:
            self._driver("cuStreamEndCapture", self._stream, ctypes.byref(noted))
        finally:
            self._captures = False
        self._driver("cuGraphInstantiateWithFlags", ctypes.byref(graph), noted, c_uint64(0))
        self._driver("cuGraphDestroy", noted)
        while self._later:
            self._later.pop()()
        assert graph.value is not None
        return graph.value

    def _outside_captures(self, action: Callable[[], None]) -> None:
        """Does what would spoil a capture: now, or after it if the collector of garbage comes in between."""
        if self._captures:
            self._later.append(action)
        else:
            action()

    def replay(self, graph: int) -> Callable[[], None]:
        """See `driver.Gpu`. Functions and arguments are looked up here, once."""
        launch, wait = (self._driver.function(name) for name in ("cuGraphLaunch", "cuStreamSynchronize"))
        stream, noted, error = self._stream, c_void_p(graph), self._driver.error

        def run() -> None:
            code = launch(noted, stream) or wait(stream)
            if code:
                raise error("cuGraphLaunch", code)

        return run

    def forget(self, graph: int) -> None:
        """See `driver.Gpu`."""
        self._outside_captures(lambda: self._driver("cuGraphExecDestroy", c_void_p(graph)))

    def synchronize(self) -> None:
        """See `driver.Gpu`."""
        self._driver("cuStreamSynchronize", self._stream)

    def wait_for(self, stream: int) -> None:
        """See `driver.Gpu`."""
        self._driver("cuEventRecord", self._event, c_void_p(stream))
        self._driver("cuStreamWaitEvent", self._stream, self._event, c_uint(0))

    def holds(self, address: int) -> bool:
        """See `driver.Gpu`."""
        ordinal = c_int(-1)
        code = self._driver.function("cuPointerGetAttribute")(
            ctypes.byref(ordinal), c_int(_ORDINAL_OF_POINTER), c_uint64(address)
        )
        return code == 0 and ordinal.value == self.info.ordinal
