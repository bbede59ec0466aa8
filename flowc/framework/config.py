"""`tf.ConfigProto`: how a session places and reports operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass
class GPUOptions:
    """Options of GPU devices. ValueError for a precision that there is not.

    Attributes that decide what flowc does:
        float32_precision: to what products and convolutions of float32 by cuBLASLt and cuDNN may round their factors:
            "float32" (the default), not at all; "tf32", to 10 bits after the point; "bfloat16", to 7, which saves time
            for products only. Sums stay float32.

    The others are part of the API and change nothing: a plan asks for the memory that it needs.
    """

    per_process_gpu_memory_fraction: float = 0.0
    allow_growth: bool = False
    float32_precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.float32_precision not in get_args(Precision):
            known = ", ".join(map(repr, get_args(Precision)))
            raise ValueError(f"float32_precision must be one of {known}, not {self.float32_precision!r}")


@dataclass
class ConfigProto:
    """A session's configuration.

    Attributes that decide what flowc does:
        allow_soft_placement: an operation on a device that does not exist runs on one that does.
        log_device_placement: print each operation's device when a plan is made.
        gpu_options: see `GPUOptions`.
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
