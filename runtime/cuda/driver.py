"""What the rest of flowc asks of a GPU: memory, copies, launches and graphs of them, all in one stream's order.

`native_driver.NativeGpu` is the real one; tests have one that records what is asked of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
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


class MismatchError(DriverError):
    """The driver, the kernel's code and the device do not fit each other. The text says how to make them."""


class DeviceMemoryError(MemoryError):
    """A GPU has not the memory that is asked for."""


@dataclass(frozen=True)
class GpuInfo:
    """What a GPU is: its number as in `/gpu:0`, its name, compute capability, multiprocessors, bytes of memory, and the
    driver's number of it, which differs if there are GPUs that flowc cannot use."""

    index: int
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    memory: int
    ordinal: int


class Gpu(Protocol):
    """A GPU with one stream: copies, fills and launches happen in the order in which they are asked for.

    Addresses are the device's. Between `begin_capture` and `end_capture` they are noted in a graph, not done. Sessions
    share the stream: whoever asks for something holds `lock`, the innermost of all locks, until it has waited for it.
    """

    info: GpuInfo
    lock: threading.RLock

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

    def stream(self) -> int:
        """The stream, for libraries that are to work in it; the GPU has been entered."""

    def begin_capture(self) -> None:
        """From here on, what is asked for is noted."""

    def end_capture(self) -> int:
        """What was noted, as a graph that can be replayed."""

    def replay(self, graph: int) -> Callable[[], None]:
        """A function that does what is noted in a graph, and waits. Raises DriverError."""

    def forget(self, graph: int) -> None:
        """Gives a graph back."""

    def synchronize(self) -> None:
        """Waits until all that was asked for is done. Raises DriverError for what went wrong meanwhile."""

    def wait_for(self, stream: int) -> None:
        """Has what is asked for next wait for what another stream of this device was asked for so far."""

    def holds(self, address: int) -> bool:
        """Whether memory is this GPU's. False for memory that the driver does not know."""


Array = npt.NDArray[Any]
