"""The peers' own virtual environments, `.venv-bench/{tf,jax,torch}`, made when they are missing.

A peer's interpreter can be given instead, in `FLOWC_BENCH_TF_PYTHON`, `FLOWC_BENCH_JAX_PYTHON` or
`FLOWC_BENCH_TORCH_PYTHON`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
PEERS = ("tf", "jax", "torch")


class NotAvailable(Exception):
    """A peer cannot be run here; the message says why."""


def interpreter(environment: str) -> str:
    """Path of the Python that runs `environment`; makes a peer's virtual environment where there is none.

    Raises:
        NotAvailable: the environment cannot be made, or the interpreter that was given does not exist.
    """
    if environment not in PEERS:
        return sys.executable
    variable = f"FLOWC_BENCH_{environment.upper()}_PYTHON"
    given = os.environ.get(variable)
    if given is None:
        return _installed(environment)
    if not os.access(given, os.X_OK):
        raise NotAvailable(f"{variable} is {given}, which cannot be executed")
    return given


def _installed(environment: str) -> str:
    """The virtual environment's interpreter, after pip installed the peer's requirements into it, once."""
    folder = ROOT / ".venv-bench" / environment
    requirements = BENCH / f"requirements-{environment}.txt"
    python = folder / "bin" / "python"
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    print(f"installing {environment} into {folder.relative_to(ROOT)} …", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    _pip_install(python, requirements)
    stamp.write_text(wanted)
    return str(python)


def _pip_install(python: Path, requirements: Path) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        raise NotAvailable(f"pip could not install {requirements.name}: {lines[-1]}")


def variables(environment: str, cache: Path | None = None) -> dict[str, str]:
    """Environment variables of a process that runs `environment`; `cache` is where flowc keeps its kernels."""
    result = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", PYTHONUNBUFFERED="1", CUDA_VISIBLE_DEVICES="")
    result.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package's modules are compiled once, not at every import
    if environment == "jax":
        result.update(JAX_PLATFORMS="cpu")
    if cache is not None:
        result["FLOWC_CACHE_DIR"] = str(cache)
    return result
