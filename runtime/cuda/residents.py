"""Variables that live on a device from run to run, and when they are copied from and to the host.

Each variable has one memory on the device and one on the host; either may be newer. A run on the GPU asks for the
newest values there, and makes those that it writes newer; whoever reads a variable on the host has it brought home.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from flowc.codegen.plan import VariableSpec
from flowc.runtime.cuda.device_results import DevicePool
from flowc.runtime.cuda.driver import Gpu
from flowc.runtime.executor import numpy_dtype
from flowc.runtime.variables_store import VariableStore

Newest = Literal["host", "device", "both"]


@dataclass
class Resident:
    """A variable's memory on the device."""

    address: int
    size: int
    host: int
    newest: Newest = "host"


class ResidentVariables:
    """The variables of a session that plans on one GPU use, and `pool`, memory for results that stay there."""

    def __init__(self, gpu: Gpu, store: VariableStore, note_change: Callable[[], None]) -> None:
        """`note_change` is called when the newest value is somewhere else, or also somewhere else, than before, and no
        run on this GPU did it."""
        self._gpu, self._store, self._note_change = gpu, store, note_change
        self._known: dict[str, Resident] = {}
        self.pool = DevicePool(gpu)

    def find(self, variables: Iterable[VariableSpec]) -> list[Resident]:
        """The variables, which are good until the store's epoch advances; memory is allotted where it must be.

        With the store's lock held.
        """
        return [self._resident(spec) for spec in variables]

    def bring_in(self, residents: Iterable[Resident]) -> None:
        """Asks for newest values to be copied to the device."""
        for resident in residents:
            if resident.newest == "host":
                self._gpu.upload(resident.address, resident.host, resident.size)
                resident.newest = "both"

    def bring_home(self, names: Iterable[str]) -> list[str]:
        """Copies to the host what is newer on the device, and waits for it; the names of those variables."""
        behind = [name for name in names if name in self._known and self._known[name].newest == "device"]
        if behind:
            with self._gpu.lock:
                self._gpu.enter()
                for resident in map(self._known.__getitem__, behind):
                    self._gpu.download(resident.host, resident.address, resident.size)
                    resident.newest = "both"
                self._gpu.synchronize()
            self._note_change()
        return behind

    def host_changed(self, name: str) -> None:
        """Notes that the value on the host is newer."""
        if name in self._known:
            self._known[name].newest = "host"
            self._note_change()

    def release(self) -> None:
        """Gives all memory on the device back; values that are only there are lost."""
        self._gpu.enter()
        for resident in self._known.values():
            self._gpu.free(resident.address)
        self._known = {}
        self._note_change()
        self.pool.close()

    def _resident(self, spec: VariableSpec) -> Resident:
        host = self._store.address(spec.name, spec.dtype, spec.shape)
        size = numpy_dtype(spec.dtype).itemsize
        for n in spec.shape:
            size *= n
        known = self._known.get(spec.name)
        if known is not None and known.size == size:
            if known.host != host:  # another array of the host's has taken its place
                known.host, known.newest = host, "host"
            return known
        if known is not None:
            self._gpu.free(known.address)
        self._known[spec.name] = Resident(self._gpu.allocate(size), size, host)
        return self._known[spec.name]
