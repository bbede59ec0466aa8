"""The devices there are, and whether operations can be placed on the ones that they ask for.

Where there is a GPU, it is the default device, for what it can run: see `flowc.runtime.cuda.placement`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from flowc import logging
from flowc.framework import device as device_lib
from flowc.framework.config import ConfigProto
from flowc.framework.debug import debug_level, say
from flowc.framework.device import DeviceSpec
from flowc.framework.errors import InvalidArgumentError
from flowc.framework.graph import Operation
from flowc.runtime.cuda.placement import asked_gpus, gpu_of, gpus, is_for_host

_HOST = "/job:localhost/replica:0/task:0"


def devices(config: ConfigProto | None = None) -> list[str]:
    """The names of the devices that operations can run on: `["/cpu:0"]`, and `"/gpu:0"` … for GPUs."""
    cpus = max(1, config.device_count.get("CPU", 1)) if config is not None else 1
    return [f"/cpu:{index}" for index in range(cpus)] + [f"/gpu:{index}" for index in range(len(gpus(config)))]


def place(ops: Sequence[Operation], config: ConfigProto) -> list[str]:
    """The full device name of each operation: where it runs if the GPU can run all that it is run with.

    Raises InvalidArgumentError for one whose device does not exist, and for operations on several GPUs, unless
    `allow_soft_placement` is set.
    """
    names = devices(config)
    known = {str(device_lib.parse(name)) for name in names}
    found: dict[str, str] = {}  # a large graph asks for few different devices
    for op in ops:
        if op._device not in found:
            found[op._device] = _device_of(op, known, names, config.allow_soft_placement)
    gpu = gpu_of(ops, config)
    _see_to_several(asked_gpus(ops, len(gpus(config))), config)
    placed = [found[op._device] if gpu is None or is_for_host(op) else f"{_HOST}/device:GPU:{gpu}" for op in ops]
    if config.log_device_placement:
        for op, name in zip(ops, placed, strict=True):
            say(f"{op.name}: ({op.type}): {name}")
    elif debug_level() >= 1:
        counts = (f"{count} operations on {name}" for name, count in Counter(placed).items())
        say(f"devices: {', '.join(counts) or 'no operations'}")
    return placed


def _see_to_several(asked: Mapping[int, Operation], config: ConfigProto) -> None:
    """A run takes one GPU: says so where its operations ask for several, or raises InvalidArgumentError."""
    if len(asked) < 2:
        return
    said = " and ".join(f"{op.name!r} asks for /gpu:{index}" for index, op in list(asked.items())[:2])
    if not config.allow_soft_placement:
        second = list(asked.values())[1]
        raise InvalidArgumentError(
            second.node_def,
            second,
            f"Cannot assign a device to operation {second.name!r}: {said}, and one run takes one GPU. Make them two "
            "calls of session.run, or let the first of these GPUs take all with "
            "tf.Session(config=tf.ConfigProto(allow_soft_placement=True)).",
        )
    logging.warn("%s: one run takes one GPU, so all of this run is on /gpu:%d.", said, next(iter(asked)))


def no_gpu_kernel(op: Operation, why: str) -> InvalidArgumentError:
    """The error of an operation that asks for a GPU in a run that no GPU can do."""
    return InvalidArgumentError(
        op.node_def,
        op,
        f"Cannot assign a device to operation {op.name!r}: it asks for {op.device!r}, but {why} Let the run take the "
        "CPU with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)).",
    )


def _device_of(op: Operation, known: set[str], names: list[str], soft: bool) -> str:
    wanted = device_lib.parse(op.device)
    local = wanted.job in (None, "localhost") and not wanted.replica and not wanted.task
    device = str(DeviceSpec(kind=wanted.kind or "CPU", index=wanted.index or 0))
    if local and device in known:
        return _HOST + (device if wanted.kind != "GPU" else str(device_lib.parse(names[0])))
    if soft:
        return _HOST + str(device_lib.parse(names[0]))
    raise InvalidArgumentError(
        None,
        op,
        f"Cannot assign a device to operation {op.name!r}: it asks for {op.device!r}, which does not exist. The "
        f"devices that exist: {', '.join(names)}. Put it on one of them, or let flowc choose one with "
        "tf.Session(config=tf.ConfigProto(allow_soft_placement=True)).",
    )
