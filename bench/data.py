"""The real MNIST training images, read from the four files of the dataset, as NumPy batches."""

from __future__ import annotations

import gzip
import os
from functools import cache
from pathlib import Path

import numpy as np

from bench.work import Floats

BATCH = 100
BATCHES = 60
_IMAGES_HEADER, _LABELS_HEADER = 16, 8  # bytes before the data in an IDX file of rank 3 and rank 1


def mnist_folder() -> Path:
    """Folder of the MNIST files: `$FLOWC_BENCH_MNIST`, or `examples/data/mnist`."""
    default = Path(__file__).resolve().parent.parent / "examples" / "data" / "mnist"
    return Path(os.environ.get("FLOWC_BENCH_MNIST", default))


def _read(name: str, header: int, count: int) -> bytes:
    path = mnist_folder() / name
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing; put the MNIST files there or set FLOWC_BENCH_MNIST to their folder"
        )
    with gzip.open(path) as file:
        return file.read(header + count)[header:]


@cache
def mnist_batches() -> list[tuple[Floats, Floats]]:
    """The first `BATCHES` batches: images float32[100, 784] in [0, 1] and one-hot labels float32[100, 10]."""
    count = BATCH * BATCHES
    pixels = np.frombuffer(_read("train-images-idx3-ubyte.gz", _IMAGES_HEADER, count * 784), np.uint8)
    labels = np.frombuffer(_read("train-labels-idx1-ubyte.gz", _LABELS_HEADER, count), np.uint8)
    images = (pixels.reshape(BATCHES, BATCH, 784) / np.float32(255)).astype(np.float32)
    onehot = np.eye(10, dtype=np.float32)[labels].reshape(BATCHES, BATCH, 10)
    return list(zip(images, onehot, strict=True))
