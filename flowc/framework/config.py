"""`tf.ConfigProto`: how a session places and reports operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class GPUOptions:
    """Options of GPU devices, as the API names them."""

    per_process_gpu_memory_fraction: float = 0.0
    allow_growth: bool = False


@dataclass
class ConfigProto:
    """A session's configuration.

    Attributes that decide what flowc does:
        allow_soft_placement: an operation on a device that does not exist runs on one that does.
        log_device_placement: print each operation's device when a plan is made.
        device_count: how many devices of a kind there are, as {"CPU": 2}; `/cpu:1` is then another name of `/cpu:0`.

    The others are part of the API and change nothing: threads are the process's own (`$FLOWC_NUM_THREADS`).
    """

    device_count: Mapping[str, int] = field(default_factory=dict)
    intra_op_parallelism_threads: int = 0
    inter_op_parallelism_threads: int = 0
    use_per_session_threads: bool = False
    placement_period: int = 0
    device_filters: tuple[str, ...] = ()
    gpu_options: GPUOptions = field(default_factory=GPUOptions)
    allow_soft_placement: bool = False
    log_device_placement: bool = False
    graph_options: Any = None
    operation_timeout_in_ms: int = 0
