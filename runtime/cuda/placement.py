"""Which device a run's native part takes.

A native part runs on one device as a whole: on the GPU that one of its operations asks for; else, where there is a GPU,
on the first one, unless an operation that computes asks for the CPU. Operations that ask for two GPUs, and what a GPU
cannot run though an operation asks for one, are errors unless `allow_soft_placement` is set: then the GPU that is asked
for first takes all, or the CPU does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from flowc.framework import device as device_lib
from flowc.framework.config import ConfigProto
from flowc.framework.device import DeviceSpec
from flowc.framework.graph import Operation
from flowc.runtime.cuda.presence import is_driver_installed

if TYPE_CHECKING:
    from flowc.runtime.cuda.driver import Gpu

MEMORY_OPS: Final = frozenset({"Const", "Variable", "Placeholder", "Assign"})  # that compute nothing


def _native_gpus() -> Sequence[Gpu]:
    if not is_driver_installed():
        return ()
    from flowc.runtime.cuda.native_driver import native_gpus

    return native_gpus()


_source: list[Callable[[], Sequence[Gpu]]] = [_native_gpus]


def gpus(config: ConfigProto | None = None) -> Sequence[Gpu]:
    """The GPUs that a session with `config` may use: all, or the first `device_count["GPU"]`."""
    found = _source[-1]()
    most = None if config is None else config.device_count.get("GPU")
    return found if most is None else found[:most]


@contextmanager
def using_gpus(found: Sequence[Gpu]) -> Iterator[None]:
    """In the with-block, these are the GPUs there are: for tests without one."""
    _source.append(lambda: found)
    try:
        yield
    finally:
        _source.pop()


def gpu_of(ops: Sequence[Operation], config: ConfigProto) -> int | None:
    """The number of the GPU that a run of `ops` takes, None for the CPU; devices that do not exist are ignored."""
    count = len(gpus(config))
    if not count:
        return None
    asked = asked_gpus(ops, count)
    if asked:
        return next(iter(asked))
    if any(_wanted(op).kind == "CPU" for op in ops if computes(op)):
        return None
    remembered = (_wanted(op) for op in ops if remembers(op))
    return next((w.index or 0 for w in remembered if w.kind == "GPU" and (w.index or 0) < count), 0)


def asked_gpus(ops: Iterable[Operation], count: int) -> dict[int, Operation]:
    """The GPUs, of `count`, that operations ask for by name: each with the first operation that does."""
    asked: dict[int, Operation] = {}
    for op in ops:
        wanted = _wanted(op)
        if wanted.kind == "GPU" and (wanted.index or 0) < count and computes(op):
            asked.setdefault(wanted.index or 0, op)
    return asked


def asks_for_gpu(ops: Iterable[Operation]) -> Operation | None:
    """The first operation that asks for a GPU by name."""
    return next((op for op in ops if _wanted(op).kind == "GPU" and computes(op)), None)


def computes(op: Operation) -> bool:
    """Whether where the operation is told to be says where a run is to compute."""
    return not remembers(op) and not is_for_host(op)


def remembers(op: Operation) -> bool:
    """Whether the operation is memory, or reads a variable's: variables go where they are needed."""
    return op.type in MEMORY_OPS or (op.type == "Identity" and op.inputs[0].op.type == "Variable")


def is_for_host(op: Operation) -> bool:
    """Whether the host does the operation, wherever it is told to be."""
    return op.type in _host_types()


@cache
def _host_types() -> frozenset[str]:
    from flowc.codegen.host.registry import host_types

    return frozenset(host_types())


@cache
def _parsed(name: str) -> DeviceSpec:
    return device_lib.parse(name)


def _wanted(op: Operation) -> DeviceSpec:
    return _parsed(op._device)
