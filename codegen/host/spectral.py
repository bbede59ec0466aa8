"""Discrete Fourier transforms, by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host

_TRANSFORMS: Final[dict[str, tuple[Callable[..., Any], int]]] = {
    "FFT": (np.fft.fftn, 1),
    "FFT2D": (np.fft.fftn, 2),
    "FFT3D": (np.fft.fftn, 3),
    "IFFT": (np.fft.ifftn, 1),
    "IFFT2D": (np.fft.ifftn, 2),
    "IFFT3D": (np.fft.ifftn, 3),
}


@host(*_TRANSFORMS, *(f"Batch{op_type}" for op_type in _TRANSFORMS))
def fourier(op: HostOp, x: Array) -> Array:
    """The transform over the last dimensions."""
    function, count = _TRANSFORMS[op.type.removeprefix("Batch")]
    if not x.size:
        return np.zeros(x.shape, op.dtype)
    return np.asarray(function(x, axes=range(-count, 0)), op.dtype)
