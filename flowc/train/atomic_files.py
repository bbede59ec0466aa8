"""Files that are there whole or not at all, whenever the process or the machine dies.

What is written goes to a file in a folder of its own beside the one that it replaces, is flushed to the disk, and then
takes the name. That folder is locked meanwhile: one that nobody holds was left by a process that died.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = ".unfinished-"
_STALE: Final = 60.0  # seconds after which an unfinished folder that nobody holds is an abandoned one


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The path of an empty file to fill, or to replace, in the with-block; afterwards it takes the name `path`.

    An exception in the block leaves what was at `path` before. Raises OSError if the folder cannot be written to.
    """
    target = Path(path)
    folder = target.with_name(f"{_PREFIX}{os.urandom(6).hex()}")
    folder.mkdir()
    try:
        with _locked(folder):
            unfinished = folder / target.name
            unfinished.touch()
            mode = unfinished.stat().st_mode  # as the user's umask has it, whatever the block's writer prefers
            yield unfinished
            unfinished.chmod(mode)
            _flush(unfinished)
            os.replace(unfinished, target)
    finally:
        with suppress(OSError):
            _remove(folder)
    _flush(target.parent)


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Makes `content` what the file holds, in one step."""
    with replaced(path) as unfinished:
        unfinished.write_bytes(content)


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Deletes what killed processes left in a folder; what is being written stays."""
    for path in Path(folder).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE:
                with _locked(path):
                    _remove(path)


def _remove(folder: Path) -> None:
    """Deletes a folder and the files in it."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds a folder; BlockingIOError if another does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _flush(path: Path) -> None:
    """Waits until the disk has the file's content, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
