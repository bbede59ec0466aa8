"""Whether the CUDA driver is installed. Every session asks, so that this loads nothing else."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

LIBRARY: Final = "libcuda.so.1"


@cache
def is_driver_installed() -> bool:
    """Whether the driver's library can be loaded."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True
