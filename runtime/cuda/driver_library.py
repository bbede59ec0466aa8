"""The CUDA driver's library, through ctypes: calls, errors by their names, versions, and what is wrong with them.

Source: NVIDIA, CUDA Driver API Reference.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_uint
from functools import cache
from pathlib import Path
from typing import Any, Final

from flowc.codegen.cuda.target import assembler
from flowc.runtime.cuda.driver import DeviceMemoryError, DriverError, MismatchError
from flowc.runtime.cuda.presence import LIBRARY

LEAST_DRIVER: Final = 11040  # that has all functions that are called
_OUT_OF_MEMORY: Final = 2
_PINS: Final = "cuMemHostAlloc"
_MISMATCHES: Final = (
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
    "CUDA_ERROR_NO_BINARY_FOR_GPU",
    "CUDA_ERROR_INVALID_IMAGE",
    "CUDA_ERROR_INVALID_SOURCE",
    "CUDA_ERROR_INVALID_PTX",
)
_FIXES: Final = {  # of a driver that does not start
    "CUDA_ERROR_NO_DEVICE": "no GPU is visible: see $CUDA_VISIBLE_DEVICES, and give a container its GPUs",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "restart, so that the kernel module of the installed driver is loaded",
    "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE": "take CUDA's forward-compatibility package off the library path",
}
_PTX_VERSION: Final = re.compile(rb"\.version (\d+\.\d+)")


class Library:
    """The driver's library, and errors by its names. Raises OSError where there is none."""

    def __init__(self) -> None:
        self._dll = ctypes.CDLL(LIBRARY)

    def __call__(self, function: str, *args: Any) -> None:
        """Calls a function. Raises DeviceMemoryError or DriverError."""
        code = getattr(self._dll, function)(*args)
        if code:
            raise self.error(function, code)

    def function(self, name: str) -> Callable[..., int]:
        """The function itself, which returns a code: 0, or one for `error`."""
        found: Callable[..., int] = getattr(self._dll, name)
        return found

    def error(self, function: str, code: int) -> DeviceMemoryError | DriverError:
        """The error that a function's code stands for."""
        if code == _OUT_OF_MEMORY:
            what = "host has not so much memory to pin" if function == _PINS else "GPU has not so much memory free"
            return DeviceMemoryError(f"{function}: the {what}")
        return DriverError(function, *self._described(code))

    def _described(self, code: int) -> tuple[str, str]:
        name, text = c_char_p(), c_char_p()
        self._dll.cuGetErrorName(code, ctypes.byref(name))
        self._dll.cuGetErrorString(code, ctypes.byref(text))
        return (name.value or str(code).encode()).decode(), (text.value or b"unknown").decode()


@cache
def library() -> Library:
    """The driver, started. Raises OSError where it is not installed, DriverError where it finds no device."""
    found = Library()
    found("cuInit", c_uint(0))
    return found


def driver_version() -> int:
    """The newest CUDA version that the driver knows, as 13000."""
    version = c_int()
    library()("cuDriverGetVersion", ctypes.byref(version))
    return version.value


def as_text(version: int) -> str:
    """A CUDA version, as 13.0 for 13000."""
    return f"{version // 1000}.{version % 1000 // 10}"


def chain_problem() -> str:
    """What keeps flowc from GPUs on this machine, and what to do; empty if nothing does."""
    try:
        version = driver_version()
    except OSError:
        return f"there is no CUDA driver ({LIBRARY}): install NVIDIA's driver"
    except DriverError as error:
        return f"the CUDA driver does not start: {error}; {_fix_of(error)}"
    if version < LEAST_DRIVER:
        known, least = as_text(version), as_text(LEAST_DRIVER)
        return f"the driver knows CUDA {known} and flowc needs {least}: install a newer driver"
    return ""


def _fix_of(error: DriverError) -> str:
    """Which versions do not fit, where the driver is in two parts, and what to do."""
    versions = [f"{what} {found}" for what, found in driver_parts().items()]
    fix = _FIXES.get(error.code, "see nvidia-smi")
    return f"{', '.join(versions)}: {fix}" if versions else fix


def driver_parts() -> dict[str, str]:
    """The versions of the driver's kernel module and of its library, as far as they are to be found."""
    found = {}
    module = re.search(r"Module[^\d]*(\d+\.[\d.]+)", _text_of("/proc/driver/nvidia/version"))
    if module is not None:
        found["kernel module"] = module[1]
    loaded = re.search(r"(\S*/libcuda\.so\S*)", _text_of("/proc/self/maps"))
    version = re.search(r"libcuda\.so\.(\d+\.[\d.]+)", str(Path(loaded[1]).resolve())) if loaded is not None else None
    if version is not None:
        found["library"] = version[1]
    return found


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def toolkit_problem() -> str:
    """What is wrong with the assembler that is found, for this driver, and what to do; empty if nothing is."""
    tool = assembler()
    if tool is None or chain_problem():
        return ""
    known = as_text(driver_version())
    if int(tool.toolkit.split(".")[0]) <= int(known.split(".")[0]):
        return ""
    return (
        f"ptxas is of CUDA {tool.toolkit} and the driver knows CUDA {known}: install a driver for CUDA {tool.toolkit}, "
        f"or name a ptxas of CUDA {known} by $FLOWC_PTXAS"
    )


def mismatch(error: DriverError, image: bytes) -> DriverError:
    """A refusal to load `image`: with both versions and what to do, if it is that they do not fit."""
    if error.code not in _MISMATCHES:
        return error
    tool, known, ptx = assembler(), as_text(driver_version()), _PTX_VERSION.search(image)
    if ptx is not None:
        made = f"the kernel is PTX {ptx[1].decode()}"
        fix = "install a newer driver, or CUDA's ptxas of the driver's version, so that no PTX is left to it"
    else:
        made = f"the kernel was made by ptxas of CUDA {tool.toolkit if tool is not None else 'unknown version'}"
        fix = f"install a newer driver, or name a ptxas of CUDA {known} by $FLOWC_PTXAS"
    return MismatchError(error.call, error.code, f"{made} and the driver knows CUDA {known}: {fix}")
