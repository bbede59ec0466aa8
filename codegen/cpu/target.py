"""What kernels are compiled for, and what identifies the compiler that made them. Never imports LLVM."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """An LLVM triple, a CPU name and a feature string (`+avx2,-avx512f,…`)."""

    triple: str
    cpu: str
    features: str

    @property
    def has_masks(self) -> bool:
        """Whether a vector's loads and stores can be masked for elements of any size."""
        return "+avx512bw" in self.features or self.cpu in ("x86-64-v4", "skylake-avx512")

    @property
    def vector_registers(self) -> tuple[int, int]:
        """(number, bytes of each) of the vector registers, by what the target says it has."""
        if not self.triple.startswith("x86_64"):
            return 32, 16
        if self.has_masks or "+avx512f" in self.features:
            return 32, 64
        return 16, 32 if "+avx2" in self.features or self.cpu in ("x86-64-v3", "haswell") else 16


@functools.cache
def host_target(cpu: str | None = None, features: str | None = None) -> Target:
    """The machine this process runs on.

    `cpu`, or else the environment variable FLOWC_CPU, names an LLVM CPU to compile for instead ("x86-64-v3"); it then
    has that CPU's features alone, unless `features` adds some.
    """
    import llvmlite.binding as llvm

    cpu = cpu or os.environ.get("FLOWC_CPU")
    triple = llvm.get_process_triple()
    if cpu is not None:
        return Target(triple, cpu, features or "")
    return Target(triple, llvm.get_host_cpu_name(), features or llvm.get_host_cpu_features().flatten())


def package_version(name: str) -> str:
    """A package's version, read from the name of its metadata folder: neither it nor importlib.metadata is imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{name} is needed to compile kernels", name=name)
    site = Path(spec.origin).parent.parent
    found = next(iter(site.glob(f"{name}-*.dist-info")), None)
    if found is None:
        return f"unknown-{os.stat(spec.origin).st_mtime_ns}"
    return found.name.removeprefix(f"{name}-").removesuffix(".dist-info")


@functools.cache
def codegen_fingerprint() -> str:
    """A short hash of all that decides what object code a kernel's source becomes, the target apart."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(f"llvmlite {package_version('llvmlite')}\n".encode())
    return digest.hexdigest()[:16]
