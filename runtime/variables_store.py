"""The values that a session keeps from run to run: its variables, and the state words of its ops."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flowc.codegen.plan import RESHAPED, Plan, VariableSpec
from flowc.framework.dtypes import as_dtype
from flowc.runtime.buffers import Words, address_of, aligned_bytes, aligned_words
from flowc.runtime.session_lock import SessionLock

Array = npt.NDArray[Any]

_PAGE = 64  # state words allotted at once: their addresses must never change
_KEY_SUFFIX = "/key"  # a random op's key: drawn once a session; all other state words start at 0


class Elsewhere(Protocol):
    """Where variables may also live: a GPU."""

    @property
    def turn(self) -> threading.RLock:
        """Held by runs that use variables, wherever these live; taken before the store's lock."""

    def bring_home(self, names: Iterable[str]) -> None:
        """Has the host's memory hold the newest values of variables."""

    def host_changed(self, name: str) -> None:
        """Notes that the host's memory holds a variable's newest value."""


class VariableStore:
    """Variables by name, each an array at a multiple of 64 bytes, and int64 state words by key.

    A variable gets memory when the first plan that uses it is bound, and a value when a run has written it. Threads may
    call everything but `address` and `state_address` at once; those two belong to `Executable`, which holds the lock.
    """

    def __init__(self) -> None:
        self.lock = SessionLock()
        self._arrays: dict[str, Array] = {}
        self._initialized: set[str] = set()
        self._strings: dict[str, Array] = {}
        self._state: dict[str, int] = {}
        self._pages: list[Words] = []
        self._tables: list[Words] = []
        self._words = 0
        self.elsewhere: Elsewhere | None = None  # what else keeps variables

    # -- for executables, with the lock held ---------------------------------------------------------------------------

    def address(self, name: str, dtype: str, shape: tuple[int, ...]) -> int:
        """Address of the variable's memory, allotted here at the first call; valid until the lock's epoch advances.

        Raises ValueError if the variable has another type or shape: `prepare` comes first where that may be.
        """
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = _aligned(dtype, shape)
        if array.shape != shape or array.dtype != as_dtype(dtype).as_numpy_dtype:
            raise ValueError(f"variable {name} is {array.dtype}{array.shape}, not {dtype}{shape}")
        return address_of(array)

    def state_address(self, key: str) -> int:
        """Address of the int64 word `key` (the first, if it is several), the same for all plans of the session."""
        address = self._state.get(key)
        if address is None:
            _, _, count = key.partition(":")
            address = self._state[key] = self._new_word(key) if not count else self._new_words(int(count))
        return address

    def _new_word(self, key: str) -> int:
        index = self._words % _PAGE
        if index == 0:
            self._pages.append(aligned_words(_PAGE))
        if key.endswith(_KEY_SUFFIX):
            self._pages[-1][index] = int.from_bytes(os.urandom(8), "little", signed=True)
        self._words += 1
        return address_of(self._pages[-1]) + 8 * index

    def _new_words(self, count: int) -> int:
        self._tables.append(aligned_words(count))
        return address_of(self._tables[-1])

    # -- for sessions --------------------------------------------------------------------------------------------------

    def uninitialized(self, variables: Iterable[VariableSpec]) -> list[str]:
        """The names of those that a plan reads and that have no value yet."""
        known = self._initialized
        return [variable.name for variable in variables if variable.reads and variable.name not in known]

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """The shape that a variable has now; None if it has no value."""
        return self._arrays[name].shape if name in self._initialized else None

    def reshaped(self, plan: Plan) -> frozenset[str]:
        """Variables that the plan reads, which have another shape now than it is for."""
        arrays = self._arrays
        return frozenset(
            v.name for v in plan.variables if v.reads and v.name in arrays and arrays[v.name].shape != v.shape
        )

    def prepare(self, plan: Plan) -> None:
        """New memory for variables that the plan overwrites with another shape. ValueError if it reads them."""
        changed = [v for v in plan.variables if v.name in self._arrays and self._arrays[v.name].shape != v.shape]
        if not changed:
            return
        with self.lock.held():
            for variable in changed:
                if variable.reads:
                    now = self._arrays[variable.name].shape
                    raise ValueError(f"variable {variable.name} has shape {now} now, not {variable.shape}")
                self.lock.advance()
                self._initialized.discard(variable.name)
                self._arrays[variable.name] = _aligned(variable.dtype, variable.shape)

    def mark_written(self, plan: Plan) -> None:
        """To be called after a run: what the plan writes now has a value."""
        for variable in plan.variables:
            if variable.writes:
                self._written(variable.name)

    def _written(self, name: str) -> None:
        if name.endswith(RESHAPED):
            with self.lock.held():
                self.lock.advance()
                array = self._arrays.pop(name)
                name = name.removesuffix(RESHAPED)
                self._arrays[name] = array
        self._initialized.add(name)

    # -- for whoever saves and restores --------------------------------------------------------------------------------

    def initialized_names(self) -> list[str]:
        """The names of the variables that have a value."""
        return sorted(self._initialized)

    def is_initialized(self, name: str) -> bool:
        """Whether a variable has a value."""
        return name in self._initialized or name in self._strings

    def get(self, name: str) -> Array:
        """A copy of a variable's value; KeyError if it has none."""
        if name not in self._initialized:
            raise KeyError(f"variable {name!r} is not initialized")
        with self.lock.held():
            if self.elsewhere is not None:
                self.elsewhere.bring_home([name])
            value: Array = self._arrays[name].copy()
        return value

    @contextmanager
    def in_place(self, names: Iterable[str]) -> Iterator[dict[str, Array]]:
        """The memory of those that have values, to be read in the with-block only: nobody changes it there."""
        listed = list(names)
        with nullcontext() if self.elsewhere is None else self.elsewhere.turn, self.lock.held():
            if self.elsewhere is not None:
                self.elsewhere.bring_home(listed)
            yield {name: _read_only(self._arrays[name]) for name in listed if name in self._initialized}

    def set(self, name: str, value: Array) -> None:
        """Makes `value`, of the variable's type, its value."""
        with self.lock.held():
            array = self._arrays.get(name)
            if array is None or array.shape != value.shape or array.dtype != value.dtype:
                if array is not None:
                    self.lock.advance()
                array = self._arrays[name] = _aligned(as_dtype(value.dtype).name, value.shape)
            array[...] = value
            self._initialized.add(name)
            if self.elsewhere is not None:
                self.elsewhere.host_changed(name)

    # -- variables of strings: Python objects, which have no native memory ---------------------------------------------

    def strings(self, name: str) -> Array | None:
        """The value of a variable of strings; None if it has none."""
        return self._strings.get(name)

    def set_strings(self, name: str, value: Array) -> None:
        """Makes `value`, an array of bytes objects, the variable's value."""
        self._strings[name] = value


def _read_only(array: Array) -> Array:
    view = array.view()
    view.setflags(write=False)
    return view


def _aligned(dtype: str, shape: tuple[int, ...]) -> Array:
    numpy_dtype = np.dtype(as_dtype(dtype).as_numpy_dtype)
    if numpy_dtype.hasobject:
        raise ValueError("a variable of strings has no native memory")
    size = int(np.prod(shape, dtype=np.int64)) * numpy_dtype.itemsize
    array: Array = aligned_bytes(size).view(numpy_dtype).reshape(shape)
    return array
