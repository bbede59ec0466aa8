"""What CUDA kernels are compiled for: a compute capability, a PTX version, and the assembler that is found.

Never imports LLVM: the runtime asks it for keys of the kernel cache.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flowc.codegen.cpu.target import codegen_fingerprint

TRIPLE: Final = "nvptx64-nvidia-cuda"
LEAST_CAPABILITY: Final = (7, 0)  # threads of a warp that go on by themselves, and shuffles that name their threads
# compute capability → the PTX version that has it: the oldest will do, for every driver since then takes it
_PTX: Final = {(7, 0): 60, (7, 5): 63, (8, 0): 70, (8, 6): 71, (8, 9): 78, (9, 0): 78, (10, 0): 86, (12, 0): 87}
_PTXAS_VERSION: Final = re.compile(r"release (\d+\.\d+), V([\d.]+)")
_WHEELS: Final = ("nvidia/cuda_nvcc/bin/ptxas", "nvidia/cu13/bin/ptxas")


@dataclass(frozen=True)
class CudaTarget:
    """A compute capability, as (9, 0). Code for it runs on devices of the same major number and no lesser minor one."""

    capability: tuple[int, int]

    def __post_init__(self) -> None:
        if self.capability < LEAST_CAPABILITY:
            least = ".".join(map(str, LEAST_CAPABILITY))
            raise ValueError(f"flowc needs a GPU of compute capability {least} or newer, not {self.version}")

    @property
    def version(self) -> str:
        """The capability as `9.0`."""
        return ".".join(map(str, self.capability))

    @property
    def architecture(self) -> str:
        """The capability as `sm_90`: of the newest known one that is not newer than the device."""
        major, minor = max(known for known in _PTX if known <= self.capability)
        return f"sm_{major}{minor}"

    @property
    def ptx_version(self) -> int:
        """The PTX version that kernels are written in, as 78 for 7.8."""
        return max(_PTX[max(known for known in _PTX if known <= self.capability)], 63)

    @property
    def features(self) -> str:
        """LLVM's feature string."""
        return f"+ptx{self.ptx_version}"


@dataclass(frozen=True)
class Assembler:
    """NVIDIA's `ptxas`: where it is, and the version of the toolkit that it belongs to."""

    path: str
    toolkit: str  # as 13.0
    version: str  # as 13.0.88


@functools.cache
def assembler() -> Assembler | None:
    """The assembler: `$FLOWC_PTXAS`, `$CUDA_HOME/bin`, the search path, or NVIDIA's wheels; None if there is none."""
    for path in _candidates():
        try:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            continue
        found = _PTXAS_VERSION.search(said)
        if found is not None:
            return Assembler(path, found[1], found[2])
    return None


def _candidates() -> list[str]:
    named = os.environ.get("FLOWC_PTXAS")
    if named:
        return [named]
    homes = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    places = [Path(home) / "bin" / "ptxas" for home in homes if home]
    on_path = shutil.which("ptxas")
    places += [Path(on_path)] if on_path else []
    spec = importlib.util.find_spec("nvidia")
    for site in spec.submodule_search_locations or () if spec is not None else ():
        places += [Path(site).parent / wheel for wheel in _WHEELS]
    return [str(place) for place in places if place.is_file()]


@functools.cache
def cuda_fingerprint() -> str:
    """A short hash of all that decides what a CUDA kernel's source becomes, the target and the assembler apart."""
    digest = hashlib.sha256(codegen_fingerprint().encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
