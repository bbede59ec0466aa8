"""Ops that look for files and read them whole."""

from __future__ import annotations

import fnmatch
import os

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.file_errors import file_errors


@host("MatchingFiles")
def _matching_files(op: HostOp, pattern: Array) -> Array:
    """Only the last part of the pattern may have wildcards."""
    folder, part = os.path.split(pattern.item())
    try:
        names = sorted(os.listdir(folder or b"."))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    found = [os.path.join(folder, name) for name in names if fnmatch.fnmatchcase(name, part)]
    return np.array(found, object)


@host("ReadFile")
def _read_file(op: HostOp, filename: Array) -> Array:
    return np.array(content_of(filename.item()), object)


def content_of(path: bytes) -> bytes:
    """All of a file. Raises the public errors."""
    with file_errors(path), open(path, "rb") as file:
        return file.read()
