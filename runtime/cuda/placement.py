"""Which device a run's native part takes.

A native part runs on one device as a whole: on the GPU that one of its operations asks for; else, where there is a GPU,
on the first one, unless an operation that computes asks for the CPU. What a GPU cannot run goes to the CPU; that is an
error if an operation asks for the GPU, and `allow_soft_placement` is not set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from flowc.framework import device as device_lib
from flowc.framework.config import ConfigProto
from flowc.framework.graph import Operation
from flowc.runtime.cuda.driver import Gpu
from flowc.runtime.cuda.native_driver import native_gpus

MEMORY_OPS: Final = frozenset({"Const", "Variable", "Placeholder"})  # that compute nothing: where they are told little
_source: list[Callable[[], Sequence[Gpu]]] = [native_gpus]


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
    wanted = {op._device: device_lib.parse(op._device) for op in ops}
    for op in ops:
        spec = wanted[op._device]
        if spec.kind == "GPU" and (spec.index or 0) < count:
            return spec.index or 0
    computes = (op for op in ops if op.type not in MEMORY_OPS)
    return None if any(wanted[op._device].kind == "CPU" for op in computes) else 0


def asks_for_gpu(ops: Iterable[Operation]) -> Operation | None:
    """The first operation that asks for a GPU by name."""
    return next((op for op in ops if op._device and device_lib.parse(op._device).kind == "GPU"), None)
