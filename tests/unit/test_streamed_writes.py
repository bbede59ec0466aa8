"""Files that are flushed while they are written: whole, and with every error of the disk told."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from flowc.train import streamed_writes
from flowc.train.streamed_writes import streamed


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_writes, "_CHUNK", 7)
    monkeypatch.setattr(streamed_writes, "_PART", 50)


def test_arrays_follow_each_other(tmp_path: Path) -> None:
    arrays = [np.arange(n, dtype=np.float32).reshape(-1, 1) for n in (0, 1, 100, 13)] + [np.array(2.5)]
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"before")
        with streamed(file.fileno()) as write:
            for array in arrays:
                write(array)
    assert (tmp_path / "file").read_bytes() == b"before" + b"".join(array.tobytes() for array in arrays)


def test_what_the_disk_refuses_later_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdatasync", full)
    for size in (60, 1000):  # seen at the end of the block, and by a later write
        with (
            (tmp_path / "file").open("wb", buffering=0) as file,
            pytest.raises(OSError, match="No space left"),
            streamed(file.fileno()) as write,
        ):
            write(np.zeros(size, np.uint8))
