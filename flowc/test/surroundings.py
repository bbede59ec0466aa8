"""What a test program has around it: where to put files, what devices there are, how to start."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import unittest
from functools import cache
from typing import Any

import flowc as tf


@cache
def get_temp_dir() -> str:
    """A folder for the files of this process's tests, removed when the process ends."""
    folder = tempfile.mkdtemp(prefix="flowc-test-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def is_built_with_cuda() -> bool:
    """Whether flowc can run operations on a GPU here."""
    return any("gpu" in name for name in tf.devices())


def main(*args: Any, **kwargs: Any) -> None:
    """Runs the tests of the program that calls it, as `unittest.main`, whose arguments it takes."""
    unittest.main(*args, **kwargs)
