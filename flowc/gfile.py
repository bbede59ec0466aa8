"""`tf.gfile`: files and folders of the local disk, by the API's names.

Everything raises the errors of `tf.errors`, such as NotFoundError for what is not there.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from typing import IO, Any

from flowc.framework.errors import AlreadyExistsError
from flowc.framework.file_errors import file_errors

__all__ = [
    "Copy",
    "DeleteRecursively",
    "Exists",
    "FastGFile",
    "GFile",
    "Glob",
    "IsDirectory",
    "ListDirectory",
    "MakeDirs",
    "MkDir",
    "Open",
    "Remove",
    "Rename",
    "Walk",
]

Path = str | os.PathLike[str]


def GFile(name: Path, mode: str = "r") -> IO[Any]:
    """An open file. Modes as of Python's `open`."""
    with file_errors(name):
        return open(name, mode, encoding=None if "b" in mode else "utf-8")


FastGFile = Open = GFile


def Exists(path: Path) -> bool:
    """Whether there is a file or folder of that name."""
    return os.path.exists(path)


def IsDirectory(path: Path) -> bool:
    """Whether there is a folder of that name."""
    return os.path.isdir(path)


def Glob(pattern: Path) -> list[str]:
    """The names of the files and folders that match a pattern, sorted."""
    return sorted(glob.glob(os.fspath(pattern)))


def ListDirectory(path: Path) -> list[str]:
    """The names in a folder, sorted."""
    with file_errors(path):
        return sorted(os.listdir(path))


def Walk(top: Path, topdown: bool = True) -> Iterator[tuple[str, list[str], list[str]]]:
    """(folder, folders in it, files in it) of `top` and all folders under it."""
    return os.walk(os.fspath(top), topdown)


def MkDir(path: Path, mode: int = 0o755) -> None:
    """Makes a folder."""
    with file_errors(path):
        os.mkdir(path, mode)


def MakeDirs(path: Path, mode: int = 0o755) -> None:
    """Makes a folder and those above it, as far as they are not there."""
    with file_errors(path):
        os.makedirs(path, mode, exist_ok=True)


def Remove(path: Path) -> None:
    """Deletes a file."""
    with file_errors(path):
        os.remove(path)


def DeleteRecursively(path: Path) -> None:
    """Deletes a folder with all that is in it, or a file."""
    with file_errors(path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


def Rename(oldpath: Path, newpath: Path, overwrite: bool = False) -> None:
    """Gives a file or folder another name; AlreadyExistsError if that is taken, unless it may be overwritten."""
    _check_free(newpath, overwrite)
    with file_errors(oldpath):
        os.replace(oldpath, newpath)


def Copy(oldpath: Path, newpath: Path, overwrite: bool = False) -> None:
    """Copies a file; AlreadyExistsError if there is one of the new name, unless it may be overwritten."""
    _check_free(newpath, overwrite)
    with file_errors(oldpath):
        shutil.copyfile(oldpath, newpath)


def _check_free(path: Path, overwrite: bool) -> None:
    if not overwrite and os.path.exists(path):
        raise AlreadyExistsError(None, None, f"{os.fspath(path)} exists: pass overwrite=True to replace it")
