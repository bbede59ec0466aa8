"""A GPU that notes what is asked of it. Its memory is the host's, and its kernels run in the simulator."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from flowc.codegen.cuda.geometry import Geometry
from flowc.codegen.plan import Kernel
from flowc.runtime.cuda.driver import Bytes, DeviceMemoryError, GpuInfo
from tests.gpu.simulator import simulate

ALIGNMENT = 256
STREAM = 0x5000  # of the first GPU; the next have the next numbers
GUARD = 256  # bytes around each block that nobody may touch


class RecordingGpu:
    """See `flowc.runtime.cuda.driver.Gpu`. `calls`: the names of what was asked for, in order."""

    def __init__(self, index: int = 0, memory: int = 1 << 30, simulated: bool = True) -> None:
        self.info = GpuInfo(index, "a recording stub", (9, 0), 2, memory, index)
        self.lock = threading.RLock()
        self.calls: list[str] = []
        self.simulated = simulated
        self._blocks: dict[int, tuple[int, Any]] = {}
        self._kernels: list[Kernel] = []
        self._graphs: dict[int, list[Callable[[], None]]] = {}
        self._noted: list[Callable[[], None]] | None = None
        self._pending: list[Callable[[], None]] = []

    @property
    def used(self) -> int:
        """Bytes that are allotted."""
        return sum(size for size, _ in self._blocks.values())

    def enter(self) -> None:
        pass

    def allocate(self, size: int) -> int:
        self.calls.append("allocate")
        if self.used + size > self.info.memory:
            raise DeviceMemoryError("cuMemAlloc_v2: the GPU has not so much memory free")
        block = np.full(size + 2 * GUARD + ALIGNMENT, 0xCD, np.uint8)
        address = -(-(block.ctypes.data + GUARD) // ALIGNMENT) * ALIGNMENT
        self._blocks[address] = (size, block)
        return address

    def free(self, address: int) -> None:
        self.calls.append("free")
        del self._blocks[address]

    def pinned(self, size: int) -> Bytes:
        self.calls.append("pinned")
        return np.full(max(size, 1), 0xCD, np.uint8)

    def load(self, image: bytes, kernel: Kernel) -> int:
        self.calls.append("load")
        assert image.startswith(b"\x7fELF") or b".entry" in image
        self._kernels.append(kernel)
        return len(self._kernels) - 1

    def upload(self, target: int, source: int, size: int) -> None:
        self._ask("upload", lambda: ctypes.memmove(self._inside(target, size), source, size))

    def download(self, target: int, source: int, size: int) -> None:
        self._ask("download", lambda: ctypes.memmove(target, self._inside(source, size), size))

    def copy(self, target: int, source: int, size: int) -> None:
        self._ask("copy", lambda: ctypes.memmove(self._inside(target, size), source, size))

    def launch(self, function: int, geometry: Geometry, args: int, units: int) -> None:
        self._ask("launch", lambda: self._simulate(function, geometry, args, units))

    def stream(self) -> int:
        return STREAM + self.info.index

    def begin_capture(self) -> None:
        self.calls.append("begin_capture")
        assert self._noted is None, "a capture within a capture"
        self._noted = []

    def end_capture(self) -> int:
        self.calls.append("end_capture")
        assert self._noted is not None, "no capture was begun"
        number = len(self._graphs) + 1
        self._graphs[number], self._noted = self._noted, None
        return number

    def replay(self, graph: int) -> Callable[[], None]:
        def run() -> None:
            self.calls.append("replay")
            assert self._noted is None
            self._pending.extend(self._graphs[graph])
            self.synchronize()

        return run

    def wait_for(self, stream: int) -> None:
        self.calls.append(f"wait_for {stream}")

    def holds(self, address: int) -> bool:
        return any(at <= address < at + max(size, 1) for at, (size, _) in self._blocks.items())

    def forget(self, graph: int) -> None:
        self.calls.append("forget")
        del self._graphs[graph]

    def synchronize(self) -> None:
        self.calls.append("synchronize")
        assert self._noted is None, "nobody may wait within a capture"
        pending, self._pending = self._pending, []
        for action in pending:
            action()

    def _ask(self, name: str, action: Callable[[], Any]) -> None:
        """Nothing happens before somebody waits: what is read too early is seen to be wrong."""
        self.calls.append(name)
        (self._pending if self._noted is None else self._noted).append(action)

    def _inside(self, address: int, size: int) -> int:
        assert size == 0 or any(at <= address and address + size <= at + n for at, (n, _) in self._blocks.items())
        return address

    def _simulate(self, function: int, geometry: Geometry, args: int, units: int) -> None:
        if self.simulated:
            ranges = [(at, at + size) for at, (size, _) in self._blocks.items()]
            simulate(self._kernels[function], geometry, args, units, ranges)
