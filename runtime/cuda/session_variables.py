"""A session's variables on all devices that its runs take."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from flowc.runtime.cuda.driver import Gpu
from flowc.runtime.cuda.residents import ResidentVariables
from flowc.runtime.variables_store import VariableStore


class SessionVariables:
    """Where a session's variables are newest. Runs that use variables take turns (`turn`), on whatever device.

    It is the store's `elsewhere` from its making on. `changes` counts how often a newest value came to be in another
    place: while it stands still, a plan that has run once finds its variables where it left them.
    """

    def __init__(self, store: VariableStore) -> None:
        self.store = store
        self.turn = threading.RLock()
        self.changes = 0
        self._residents: dict[int, ResidentVariables] = {}
        store.elsewhere = self

    def _note_change(self) -> None:
        self.changes += 1

    @property
    def are_on_several(self) -> bool:
        """Whether runs have taken more than one GPU."""
        return len(self._residents) > 1

    def on(self, gpu: Gpu) -> ResidentVariables:
        """The variables on a GPU."""
        if gpu.info.index not in self._residents:
            self._residents[gpu.info.index] = ResidentVariables(gpu, self.store, self._note_change)
        return self._residents[gpu.info.index]

    def bring_home(self, names: Iterable[str]) -> None:
        """Has the host's memory hold the newest values of variables."""
        listed = list(names)
        for residents in self._residents.values():
            residents.bring_home(listed)

    def host_changed(self, name: str) -> None:
        """Notes that the host's memory holds a variable's newest value."""
        for residents in self._residents.values():
            residents.host_changed(name)

    def gather(self, names: Sequence[str], target: ResidentVariables) -> None:
        """Has a GPU, or the host, hold the newest values of variables: no other GPU."""
        for residents in self._residents.values():
            if residents is not target:
                for name in residents.bring_home(names):
                    target.host_changed(name)

    def written(self, names: Iterable[str], target: ResidentVariables) -> None:
        """Notes that a run on one GPU has written variables: other GPUs' values are old."""
        for name in names:
            for residents in self._residents.values():
                if residents is not target:
                    residents.host_changed(name)

    def release(self) -> None:
        """Gives all memory on GPUs back."""
        for residents in self._residents.values():
            residents.release()
        self._residents = {}
