"""Finding NVIDIA's libraries: in their wheels, under `$CUDA_HOME`, or where the system's loader looks.

    wheels for CUDA 13    nvidia-cublas, nvidia-cudnn-cu13: the extra `flowc[cuda]`
    wheels for CUDA 12    nvidia-cublas-cu12, nvidia-cudnn-cu12: the extra `flowc[cuda12]`

A library is taken for the newest CUDA that the driver knows.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

EXTRAS: Final = {13: "cuda", 12: "cuda12"}  # by CUDA's major version


@dataclass(frozen=True)
class LibraryFile:
    """Where a library is, by CUDA's major version: its file's name, and its folder within NVIDIA's wheels."""

    name: str
    files: dict[int, tuple[str, str]]


CUBLASLT: Final = LibraryFile(
    "cuBLASLt", {13: ("libcublasLt.so.13", "cu13/lib"), 12: ("libcublasLt.so.12", "cublas/lib")}
)
CUBLAS: Final = LibraryFile("cuBLAS", {13: ("libcublas.so.13", "cu13/lib"), 12: ("libcublas.so.12", "cublas/lib")})
CUDNN: Final = LibraryFile("cuDNN", {13: ("libcudnn.so.9", "cudnn/lib"), 12: ("libcudnn.so.9", "cudnn/lib")})


def load(library: LibraryFile, newest_cuda: int) -> Any:
    """The library. `newest_cuda`: the newest CUDA that the driver knows, as 13000.

    Raises OSError with what is missing, or does not load, and the command that mends it.
    """
    reasons = []
    for path in _candidates(library, newest_cuda // 1000):
        try:
            return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)  # cuDNN is to find cuBLAS's that are loaded already
        except OSError as error:
            if os.path.isabs(path):
                reasons.append(str(error))
    what = f"does not load ({reasons[0]})" if reasons else "is not installed"
    raise OSError(f"{library.name} {what}: {remedy(newest_cuda)}")


def remedy(newest_cuda: int) -> str:
    """What mends that a library is missing, for a driver that knows this CUDA."""
    majors = [major for major in EXTRAS if major <= newest_cuda // 1000]
    command = f"{Path(sys.executable).name} -m pip install 'flowc[{EXTRAS[majors[0] if majors else min(EXTRAS)]}]'"
    return command if majors else f"install a driver that knows CUDA {min(EXTRAS)} or newer, then {command}"


def _candidates(library: LibraryFile, newest_major: int) -> Iterator[str]:
    """Paths where it may be, then names that the system's loader may know, for the newest CUDA first."""
    for major, (file, folder) in library.files.items():
        if major > newest_major:
            continue
        for place in (*(wheel / folder for wheel in _wheels()), *_toolkits()):
            if (place / file).is_file():
                yield str(place / file)
        yield file


def _wheels() -> list[Path]:
    """The folders of the namespace package `nvidia`, to which all of NVIDIA's wheels belong."""
    spec = importlib.util.find_spec("nvidia")
    return [Path(place) for place in (spec.submodule_search_locations or () if spec is not None else ())]


def _toolkits() -> list[Path]:
    homes = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    return [Path(home) / folder for home in homes if home for folder in ("lib64", "lib")]
