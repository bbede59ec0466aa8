"""What this machine offers to flowc, found without compiling or importing the compiler: `python -m flowc doctor`."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flowc.runtime.kernel_cache import BlobStore, cache_folder, store
from flowc.runtime.symbols import SymbolError, blas_library

if TYPE_CHECKING:
    from flowc.runtime.cuda.driver import GpuInfo

_NAMESPACES: Final = ("kernels", "plans", "cuda")
_PACKAGES: Final = ("flowc", "numpy", "llvmlite")
# Instruction sets that generated kernels use or may come to use, as Linux names them on x86-64 and AArch64.
_FEATURES: Final = re.compile(
    r"sse4_2|avx|avx2|fma|f16c|bmi2|avx512(f|dq|bw|vl|cd|_vnni|_bf16|_fp16)|amx_\w+|asimd\w*|sve2?|bf16|i8mm"
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `problem` says what keeps flowc from using it and what to do, or is None."""

    topic: str
    text: str
    problem: str | None = None


def examine() -> list[Finding]:
    """Everything, in the order of the report. Nothing is changed: no folder is made, no thread started."""
    topics: tuple[Callable[[], list[Finding]], ...] = (_versions, _processor, _threads, _blas, _cache, _gpu)
    return [finding for topic in topics for finding in topic()]


def report(findings: list[Finding]) -> str:
    """The findings as lines of text, then the problems, or that there are none."""
    width = max(len(finding.topic) for finding in findings)
    lines = [f"{finding.topic:{width}}  {finding.text}" for finding in findings]
    problems = [f"{finding.topic}: {finding.problem}" for finding in findings if finding.problem]
    return "\n".join([*lines, "", *(["Problems:", *problems] if problems else ["No problems found."])])


def stores() -> list[BlobStore]:
    """The stores that flowc keeps in the present cache folder. They need not exist yet."""
    return [store(namespace) for namespace in _NAMESPACES]


def _versions() -> list[Finding]:
    python = Finding(
        "python", f"{platform.python_version()} at {sys.executable}, {platform.system()} {platform.machine()}"
    )
    return [python, *map(_version, _PACKAGES)]


def _version(package: str) -> Finding:
    try:
        return Finding(package, metadata.version(package))
    except metadata.PackageNotFoundError:
        return Finding(package, "not installed", f"it is not installed; run: {sys.executable} -m pip install {package}")


def _processor() -> list[Finding]:
    said = _cpuinfo()
    name = said.get("model name") or platform.processor() or platform.machine()
    flags = (said.get("flags") or said.get("Features") or "").split()
    features = [flag for flag in flags if _FEATURES.fullmatch(flag)]
    return [Finding("cpu", name), Finding("features", " ".join(features) or "unknown on this system")]


def _cpuinfo() -> dict[str, str]:
    """The first processor's entry of Linux' /proc/cpuinfo; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _threads() -> list[Finding]:
    from flowc.runtime.pool import thread_count  # it loads the native half, which `cache info` does not need

    cores = f"{os.cpu_count()} processors"
    try:
        return [Finding("threads", f"{thread_count()} of {cores} (FLOWC_NUM_THREADS changes it)")]
    except ValueError as error:
        return [Finding("threads", cores, str(error))]


def _blas() -> list[Finding]:
    try:
        library = blas_library()
    except SymbolError as error:
        return [Finding("blas", "none", str(error))]
    config: dict[str, Any] = np.show_config(mode="dicts") or {}  # type: ignore[assignment]
    blas = config.get("Build Dependencies", {}).get("blas", {})
    name = f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    return [Finding("blas", f"{name}, {library.integer_bits}-bit integers, through {library.path}")]


def _cache() -> list[Finding]:
    findings = [Finding("cache", str(cache_folder()))]
    for blobs in stores():
        info = blobs.info()
        text = f"{info.entries} entries, {info.bytes / 1e6:.2f} MB"
        findings.append(Finding(f"  {blobs.folder.name}", "not used" if info.problem else text, info.problem))
    return findings


def _gpu() -> list[Finding]:
    """The chain that a run on a GPU takes: devices, their driver, the assembler, NVIDIA's libraries."""
    from flowc.runtime.cuda.driver_library import chain_problem
    from flowc.runtime.cuda.native_driver import unusable_gpus, usable_gpus

    present = [_gpu_model(path) for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    problem = chain_problem()
    if problem:
        text = f"{', '.join(present)}; not used" if present else "none found"
        return [Finding("gpu", text, problem if present else None), *_driver(), _toolkit(), *_extra()]
    found = [Finding("gpu", _described_gpu(info)) for info in usable_gpus()]
    found += [Finding("gpu", f"{info.name}, not used", _too_old(info)) for info in unusable_gpus()]
    none = [Finding("gpu", "none that flowc can use")]
    return [*(found or none), *_driver(), _toolkit(), *_libraries(), *_extra()]


def _driver() -> list[Finding]:
    from flowc.runtime.cuda.driver_library import as_text, chain_problem, driver_parts, driver_version

    parts = [f"{what} {version}" for what, version in driver_parts().items()]
    known = [] if chain_problem() else [f"knows CUDA {as_text(driver_version())}"]
    return [Finding("driver", ", ".join([*known, *parts]) or "none")]


def _libraries() -> list[Finding]:
    from flowc.runtime.cuda.vendor_libraries import installed

    found = installed()
    pairs = ("cublaslt", found.blas, found.no_blas), ("cudnn", found.dnn, found.no_dnn)
    return [Finding(name, library.version if library is not None else why) for name, library, why in pairs]


def _extra() -> list[Finding]:
    """What `pip install flowc[cuda]` brings."""
    try:
        required = metadata.requires("flowc") or []
    except metadata.PackageNotFoundError:
        return []
    names = [line for line in required if re.search(r"extra == ['\"]cuda['\"]", line)]
    said = [_version(re.split(r"[^\w.-]", name)[0]) for name in names]
    return [Finding("flowc[cuda]", ", ".join(f"{one.topic} {one.text}" for one in said))] if said else []


def _too_old(info: GpuInfo) -> str:
    from flowc.codegen.cuda.target import LEAST_CAPABILITY

    has, least = (".".join(map(str, capability)) for capability in (info.capability, LEAST_CAPABILITY))
    return f"its compute capability is {has}, and flowc needs {least} or newer"


def _described_gpu(info: GpuInfo) -> str:
    capability = ".".join(map(str, info.capability))
    return f"/gpu:{info.index} {info.name}, compute capability {capability}, {info.memory / 1e9:.0f} GB"


def _toolkit() -> Finding:
    from flowc.codegen.cuda.target import assembler
    from flowc.runtime.cuda.driver_library import toolkit_problem

    tool = assembler()
    if tool is None:
        return Finding("ptxas", "none: a GPU's driver would compile kernels at the first run of every process")
    return Finding("ptxas", f"{tool.version}, of CUDA {tool.toolkit}, at {tool.path}", toolkit_problem() or None)


def _gpu_model(information: Path) -> str:
    match = re.search(r"Model:\s*(.+)", information.read_text())
    return match[1].strip() if match else information.parent.name
