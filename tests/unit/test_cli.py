"""The command line, run as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def flowc(*arguments: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m flowc ARGUMENTS` with its cache in `cache`."""
    environment = {**os.environ, "FLOWC_CACHE_DIR": str(cache), **environment}
    return subprocess.run(
        [sys.executable, "-m", "flowc", *arguments], capture_output=True, text=True, env=environment, timeout=60
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder with one entry of 5 bytes, plus its header, among the kernels."""
    from flowc.runtime.kernel_cache import BlobStore, content_key

    folder = tmp_path / "cache"
    BlobStore("kernels", folder).put(content_key("a"), b"12345")
    return folder


def test_cache_info_and_clear(cache: Path) -> None:
    info = flowc("cache", "info", cache=cache)
    assert info.returncode == 0, info.stderr
    assert str(cache) in info.stdout
    assert "kernels: 1 entries" in info.stdout
    assert "kernels: 1 entries deleted" in flowc("cache", "clear", cache=cache).stdout
    assert "kernels: 0 entries" in flowc("cache", "info", cache=cache).stdout


def test_a_cache_that_others_can_write_is_not_used(cache: Path) -> None:
    cache.chmod(0o777)
    for action in ("info", "clear"):
        answer = flowc("cache", action, cache=cache)
        assert answer.returncode == 1
        assert f"kernels: not used: {cache} can be written by other users" in answer.stdout
    assert any((cache / "kernels").iterdir())


def test_cache_info_makes_no_folder(tmp_path: Path) -> None:
    assert flowc("cache", "info", cache=tmp_path / "absent").returncode == 0
    assert not (tmp_path / "absent").exists()


def test_doctor_reports_and_does_not_import_llvm(cache: Path) -> None:
    program = (
        "import sys; from flowc.__main__ import main; status = main(['doctor']); assert 'llvmlite' not in sys.modules"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program + "; sys.exit(status)"],
        capture_output=True,
        text=True,
        env={**os.environ, "FLOWC_CACHE_DIR": str(cache)},
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    topics = {line.split()[0] for line in answer.stdout.splitlines() if line}
    assert topics >= {
        "python",
        "flowc",
        "numpy",
        "llvmlite",
        "cpu",
        "features",
        "threads",
        "blas",
        "cache",
        "gpu",
    }
    assert answer.stdout.endswith("No problems found.\n")


def test_doctor_names_problems(cache: Path) -> None:
    cache.chmod(0o777)
    answer = flowc("doctor", cache=cache, FLOWC_NUM_THREADS="many")
    assert answer.returncode == 1
    problems = answer.stdout.split("Problems:")[1]
    assert "threads: FLOWC_NUM_THREADS must be a number" in problems
    assert "kernels:" in problems
    assert "chmod go-w" in problems


@pytest.mark.parametrize("arguments", [[], ["cache"], ["cache", "burn"], ["cook"]])
def test_a_wrong_call_shows_the_usage(tmp_path: Path, arguments: list[str]) -> None:
    answer = flowc(*arguments, cache=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.startswith("usage: python -m flowc")
