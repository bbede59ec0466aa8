"""Files in CIFAR-10's binary format, of images that are drawn: for where the real ones cannot be had.

    python -m flowc.models.image.cifar10.make_data --data_dir /tmp/cifar10_data

Ten kinds of shapes and patterns, of any two colours, moved, turned and scaled a little, in uneven light and with noise.
A network learns them as it would learn the real classes, but they are easier.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowc.models.image.cifar10 import cifar10, cifar10_input

Floats = npt.NDArray[np.float32]

_DRAWN_AT_ONCE: Final = 1000  # images
_STRIPES: Final = 9.0  # radians from the middle of the image to its edge

#: What an image of each class holds where: functions of its own coordinates, -1 … 1 from edge to edge.
SHAPES: dict[str, Callable[[Floats, Floats], npt.NDArray[np.bool_]]] = {
    "disc": lambda x, y: x**2 + y**2 < 0.5,
    "ring": lambda x, y: abs(np.sqrt(x**2 + y**2) - 0.6) < 0.17,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) < 0.6,
    "triangle": lambda x, y: (y < 0.6) & (2 * abs(x) < y + 0.8),
    "cross": lambda x, y: (np.minimum(abs(x), abs(y)) < 0.2) & (np.maximum(abs(x), abs(y)) < 0.8),
    "two discs": lambda x, y: (abs(x) - 0.45) ** 2 + y**2 < 0.11,
    "horizontal stripes": lambda x, y: np.sin(_STRIPES * y) > 0,
    "vertical stripes": lambda x, y: np.sin(_STRIPES * x) > 0,
    "checkerboard": lambda x, y: np.sin(_STRIPES * x) * np.sin(_STRIPES * y) > 0,
    "circles": lambda x, y: np.sin(1.5 * _STRIPES * np.sqrt(x**2 + y**2)) > 0,
}


def draw(labels: npt.NDArray[Any], size: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """An image of the class of each label: uint8[n, size, size, 3]."""
    x, y = _coordinates(len(labels), size, random)
    inside = np.empty(x.shape, bool)
    for label, shape in enumerate(SHAPES.values()):
        of_class = labels == label
        inside[of_class] = shape(x[of_class], y[of_class])
    colours = _colours(len(labels), random)
    images = np.where(inside[..., None], colours[:, 0, None, None], colours[:, 1, None, None])
    light = 1 + random.uniform(-0.25, 0.25, (len(labels), 1, 1, 1)).astype(np.float32) * x[..., None]
    noisy = images * light + 12 * random.standard_normal(images.shape, np.float32)
    pixels: npt.NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
    return pixels


def _coordinates(count: int, size: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Each image's own x and y of its pixels, [count, size, size]: moved, turned by up to 15° and scaled."""
    grid = np.linspace(-1, 1, size, dtype=np.float32)
    rows, columns = np.meshgrid(grid, grid, indexing="ij")
    angle, scale, left, up = (
        random.uniform(low, high, (count, 1, 1)).astype(np.float32)
        for low, high in ((-0.26, 0.26), (0.8, 1.3), (-0.2, 0.2), (-0.2, 0.2))
    )
    x, y = (columns - left) * scale, (rows - up) * scale
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _colours(count: int, random: np.random.Generator) -> Floats:
    """Two colours for each image, [count, 2, 3], that differ by at least 60 in some channel."""
    first = random.uniform(0, 256, (count, 3))
    second = random.uniform(0, 256, (count, 3))
    channel = random.integers(0, 3, count)
    rows = np.arange(count)
    second[rows, channel] = (first[rows, channel] + random.uniform(60, 196, count)) % 256
    return np.stack([first, second], axis=1).astype(np.float32)


def write(path: Path, count: int, random: np.random.Generator) -> None:
    """Writes a file of `count` records: a label, then the planes of red, green and blue."""
    with path.open("wb") as file:
        for start in range(0, count, _DRAWN_AT_ONCE):
            labels = random.integers(0, len(SHAPES), min(count - start, _DRAWN_AT_ONCE), np.uint8)
            images = draw(labels, cifar10_input.HEIGHT, random).transpose(0, 3, 1, 2).reshape(len(labels), -1)
            file.write(np.concatenate([labels[:, None], images], axis=1).tobytes())


def make(data_dir: Path, train_examples: int, test_examples: int, seed: int = 0) -> None:
    """Writes all files of the data set into the folder that CIFAR-10's archive unpacks to."""
    folder = data_dir / cifar10.BATCHES
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for name in cifar10_input.TRAIN_FILES:
        write(folder / name, train_examples // len(cifar10_input.TRAIN_FILES), random)
    write(folder / cifar10_input.TEST_FILES[0], test_examples, random)
    (folder / cifar10.CLASS_NAMES).write_text("".join(f"{name}\n" for name in SHAPES))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path(cifar10.DATA_DIR))
    parser.add_argument("--train_examples", type=int, default=cifar10_input.NUM_EXAMPLES_PER_EPOCH_FOR_TRAIN)
    parser.add_argument("--test_examples", type=int, default=cifar10_input.NUM_EXAMPLES_PER_EPOCH_FOR_EVAL)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force", action="store_true", help="replace files that are there, even CIFAR-10 itself")
    options = parser.parse_args(arguments)
    folder = options.data_dir / cifar10.BATCHES
    if folder.exists() and not options.force:
        parser.error(f"{folder} is there already: --force replaces its files")
    make(options.data_dir, options.train_examples, options.test_examples, options.seed)
    print(f"wrote {options.train_examples} images to train on and {options.test_examples} to test with to {folder}")


if __name__ == "__main__":
    main()
