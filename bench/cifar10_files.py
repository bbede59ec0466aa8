"""Files in CIFAR-10's format, of random bytes, for the works that read them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

BATCH = 128
RECORD = 3073  # bytes: a label, and 3 × 32 × 32 of the image
SHUFFLED = 2000  # examples from which each is drawn
_FILES, _EXAMPLES = 5, 2000


@cache
def folder() -> Path:
    """A folder with `cifar-10-batches-bin/data_batch_1.bin` … in it, which is deleted when the process ends."""
    root = Path(tempfile.mkdtemp(prefix="bench-cifar10-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    rng = np.random.default_rng(0)
    data = root / "cifar-10-batches-bin"
    data.mkdir()
    for path in [data / f"data_batch_{i + 1}.bin" for i in range(_FILES)]:
        records = rng.integers(0, 256, (_EXAMPLES, RECORD), np.uint8)
        records[:, 0] %= 10
        path.write_bytes(records.tobytes())
    return root


def files() -> list[str]:
    """The files' paths."""
    return sorted(str(path) for path in folder().rglob("data_batch_*.bin"))
