"""What the rest of flowc asks of a GPU: memory, copies, launches and graphs of them, all in one stream's order.

`native_driver.NativeGpu` is the real one; tests have one that records what is asked of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flowc.codegen.cuda.geometry import Geometry
from flowc.codegen.plan import Kernel

Bytes = npt.NDArray[np.uint8]


class DriverError(RuntimeError):
    """The driver refused something. `code` is its name for the reason, as CUDA_ERROR_INVALID_VALUE."""

    def __init__(self, call: str, code: str, text: str) -> None:
        super().__init__(f"{call} failed: {code} ({text})")
        self.call, self.code = call, code


class DeviceMemoryError(MemoryError):
    """A GPU has not the memory that is asked for."""


@dataclass(frozen=True)
class GpuInfo:
    """What a GPU is: its number as in `/gpu:0`, its name, compute capability, multiprocessors and bytes of memory."""

    index: int
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    memory: int


class Gpu(Protocol):
    """A GPU with one stream: copies, fills and launches happen in the order in which they are asked for.

    Addresses are the device's. Between `begin_capture` and `end_capture` they are noted in a graph, not done.
    """

    info: GpuInfo

    def enter(self) -> None:
        """Makes the GPU the calling thread's; to be called before anything else in a thread."""

    def allocate(self, size: int) -> int:
        """The address of new memory, a multiple of 256. Raises DeviceMemoryError."""

    def free(self, address: int) -> None:
        """Gives memory back."""

    def pinned(self, size: int) -> Bytes:
        """Memory of the host that the GPU reads and writes directly; it lives as long as the array."""

    def load(self, image: bytes, kernel: Kernel) -> int:
        """The function that `kernel` is in `image`, which is a cubin or PTX. Raises DriverError."""

    def upload(self, target: int, source: int, size: int) -> None:
        """Copies bytes of the host to the device."""

    def download(self, target: int, source: int, size: int) -> None:
        """Copies bytes of the device to the host."""

    def copy(self, target: int, source: int, size: int) -> None:
        """Copies bytes within the device."""

    def launch(self, function: int, geometry: Geometry, args: int, units: int) -> None:
        """Runs a kernel with the argument block at `args`, a device address."""

    def begin_capture(self) -> None:
        """From here on, what is asked for is noted."""

    def end_capture(self) -> int:
        """What was noted, as a graph that can be replayed."""

    def replay(self, graph: int) -> None:
        """Does what is noted in a graph."""

    def forget(self, graph: int) -> None:
        """Gives a graph back."""

    def synchronize(self) -> None:
        """Waits until all that was asked for is done. Raises DriverError for what went wrong meanwhile."""


Array = npt.NDArray[Any]
