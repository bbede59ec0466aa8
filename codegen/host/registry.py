"""Ops that run on the host by nature: strings, queues, files, Python functions, LAPACK's decompositions.

    @host("MatrixInverse")
    def _matrix_inverse(op, x):
        return np.linalg.inv(x)

A function gets the operation (`HostOp`) and one array an input (strings are object arrays of `bytes`); it returns one
array, or a sequence of one an output, of the operation's types: what has other types is an error, not converted. It
must not write into its inputs. It raises flowc's errors with neither node nor op (`InvalidArgumentError(None, None,
"…")`): the runtime adds the operation.

The function is the op's definition, too: the reference executor calls the same one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np

from flowc.framework.dtypes import DType
from flowc.framework.errors import CancelledError

Array = np.ndarray[Any, Any]
Host = Callable[..., Any]
T = TypeVar("T")

VARIABLES: Final = "variables"  # the resource that is the session's store of variables


class Resources:
    """What the host ops of one session keep between runs (queues, readers), by name. Threads may call it at once."""

    def __init__(self) -> None:
        self._items: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def get(self, name: str, make: Callable[[], T]) -> T:
        """The resource of that name, made by `make` if there is none yet. CancelledError once the session is closed."""
        found = self._items.get(name)
        if found is None:
            with self._lock:
                if self._is_closed:
                    raise CancelledError(None, None, "The session was closed.")
                found = self._items.get(name)
                if found is None:
                    found = self._items[name] = make()
        item: T = found
        return item

    def close(self) -> None:
        """Drops all of them, after calling `close()` of those that have it. A run that goes on can make no new ones."""
        with self._lock:
            items, self._items, self._is_closed = list(self._items.values()), {}, True
        for item in items:
            close = getattr(item, "close", None)
            if close is not None:
                close()


@dataclass(frozen=True)
class HostOp:
    """An operation as its host function sees it."""

    name: str
    type: str
    attrs: Mapping[str, Any]
    dtypes: Sequence[DType]  # of the outputs, base types
    resources: Resources = field(default_factory=Resources, compare=False)  # the session's
    rng: np.random.Generator | None = field(default=None, compare=False)  # of a random op, by its graph and op seeds

    @property
    def dtype(self) -> Any:
        """The NumPy type of the first output."""
        return np.dtype(self.dtypes[0].as_numpy_dtype)

    @property
    def generator(self) -> np.random.Generator:
        """The random numbers of this operation in this session: the same in each session if it has a seed."""
        if self.rng is not None:
            return self.rng
        seeds = int(self.attrs.get("seed") or 0), int(self.attrs.get("seed2") or 0)
        entropy = [abs(seed) for seed in seeds] if any(seeds) else None
        return self.resources.get(f"random numbers of {self.name}", lambda: np.random.default_rng(entropy))


_functions: Final[dict[str, Host]] = {}
_once: Final[set[str]] = set()
_in_place: Final[set[str]] = set()


def host(*op_types: str, once: bool = False, in_place: bool = False) -> Callable[[Host], Host]:
    """Decorator: the function computes these op types, on the host.

    `once`: what it gives is the same in all runs of a session, as a queue's handle is; it is asked for it only once.
    `in_place`: variables that the run does not change are given as their own memory, not as copies, and nobody else can
    run with the session's variables meanwhile. Neither the arrays nor what it returns may keep parts of them.
    """

    def register(function: Host) -> Host:
        for op_type in op_types:
            if op_type in _functions:
                raise KeyError(f"op type {op_type!r} has two host functions")
            _functions[op_type] = function
        if once:
            _once.update(op_types)
        if in_place:
            _in_place.update(op_types)
        return function

    return register


def runs_once(op_type: str) -> bool:
    """Whether what the op gives is the same in all runs of a session."""
    return op_type in _once


def reads_in_place(op_type: str) -> bool:
    """Whether the op is given variables' own memory."""
    return op_type in _in_place


def host_function(op_type: str) -> Host | None:
    """The host function of an op type, or None if it has a kernel."""
    return _functions.get(op_type)


def host_types() -> frozenset[str]:
    """All op types that run on the host."""
    return frozenset(_functions)
