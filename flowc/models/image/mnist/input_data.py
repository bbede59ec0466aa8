"""The MNIST handwritten digits (LeCun, Cortes, Burges) as the guide's chapter 2.2.1 reads them.

mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
batch_xs, batch_ys = mnist.train.next_batch(100)
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from flowc.models.download import fetch

# Base URLs, tried in order; the environment variable FLOWC_MNIST_URLS (separated by spaces) replaces them.
SOURCES: tuple[str, ...] = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
TRAIN_IMAGES: Final = "train-images-idx3-ubyte.gz"
TRAIN_LABELS: Final = "train-labels-idx1-ubyte.gz"
TEST_IMAGES: Final = "t10k-images-idx3-ubyte.gz"
TEST_LABELS: Final = "t10k-labels-idx1-ubyte.gz"
# SHA-256 of what each file unpacks to.
SHA256: dict[str, str] = {
    TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
VALIDATION_SIZE: Final = 5000
NUM_CLASSES: Final = 10
IMAGE_PIXELS: Final = 28 * 28

_FAKE_EXAMPLES: Final = 10000
_IDX_UBYTE: Final = 0x08
_SOURCE_TREE_DATA: Final = Path(__file__).resolve().parents[4] / "examples" / "data"


class DataSet:
    """Images and labels, and batches of them in an order that is shuffled anew for every epoch.

    `images` is [n, 784], `labels` [n] or, one-hot, [n, 10]. The order comes from `numpy.random`, so that
    `numpy.random.seed` makes it repeat, or from `seed` alone where one is given.
    """

    def __init__(self, images: npt.NDArray[Any], labels: npt.NDArray[Any], seed: int | None = None) -> None:
        if len(images) != len(labels):
            raise ValueError(f"there are {len(images)} images but {len(labels)} labels")
        self._images, self._labels = images, labels
        self._random = np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
        self._order = self._random.permutation(len(images))
        self._next = 0
        self._epochs_completed = 0

    @property
    def images(self) -> npt.NDArray[Any]:
        """All images in the order of the file, [n, 784]; float32 in 0 … 1 unless read as uint8."""
        return self._images

    @property
    def labels(self) -> npt.NDArray[Any]:
        """All labels in the order of the file: uint8 [n], or one-hot float32 [n, 10]."""
        return self._labels

    @property
    def num_examples(self) -> int:
        """How many images there are."""
        return len(self._images)

    @property
    def epochs_completed(self) -> int:
        """How often `next_batch` has gone through all examples and had to begin again."""
        return self._epochs_completed

    def next_batch(self, batch_size: int, fake_data: bool = False) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The next `batch_size` images and labels; with `fake_data`, white images of the class 0 (for tests).

        Every example comes once an epoch: a batch that reaches the end of one goes on in the next, shuffled anew.

        Raises:
            ValueError: `batch_size` is not in 1 … num_examples.
        """
        if not 0 < batch_size <= self.num_examples:
            raise ValueError(f"a batch holds 1 to {self.num_examples} of this set's examples, not {batch_size}")
        if fake_data:
            return _fake_examples(batch_size, self._labels.ndim == 2, self._images.dtype)
        chosen = self._take(batch_size)
        return self._images[chosen], self._labels[chosen]

    def _take(self, count: int) -> npt.NDArray[np.int64]:
        chosen = self._order[self._next : self._next + count]
        self._next += count
        missing = count - len(chosen)
        if missing:
            self._epochs_completed += 1
            self._order = self._random.permutation(self.num_examples)
            self._next = missing
            chosen = np.concatenate([chosen, self._order[:missing]])
        return chosen


class DataSets(NamedTuple):
    """What `read_data_sets` returns."""

    train: DataSet
    validation: DataSet
    test: DataSet


def read_data_sets(
    train_dir: str | os.PathLike[str],
    fake_data: bool = False,
    one_hot: bool = False,
    dtype: Any = np.float32,
    validation_size: int = VALIDATION_SIZE,
    seed: int | None = None,
) -> DataSets:
    """MNIST: 55000 training images, 5000 for validation (the first of the training file) and 10000 for the test.

    A file that `train_dir` lacks is taken from the folder `mnist` in $FLOWC_DATA_DIR or else in the source tree's
    `examples/data`; if it is not there either, it is downloaded into `train_dir`.

    Args:
        train_dir: the folder of the four files; made if a file has to be downloaded.
        fake_data: read no files; every set has 10000 white images of the class 0.
        one_hot: labels as rows of float32 with a 1 at the label, instead of uint8 numbers.
        dtype: float32 for pixels in 0 … 1, uint8 for the file's 0 … 255; NumPy's name or flowc's.
        validation_size: how many of the training examples to keep apart.
        seed: makes the order of the batches repeat.

    Raises:
        ValueError: a file is damaged or is not what its name says.
        OSError: a file could not be downloaded.
        TypeError: `dtype` is neither float32 nor uint8.
    """
    pixel_type = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    if pixel_type not in (np.float32, np.uint8):
        raise TypeError(f"images can be read as float32 or uint8, not as {pixel_type}")
    if fake_data:
        fake = _fake_examples(_FAKE_EXAMPLES, one_hot, pixel_type)
        return DataSets(*(DataSet(*fake, seed) for _ in DataSets._fields))
    folder = Path(train_dir)
    images, labels = _read_pair(folder, TRAIN_IMAGES, TRAIN_LABELS, one_hot, pixel_type)
    test = _read_pair(folder, TEST_IMAGES, TEST_LABELS, one_hot, pixel_type)
    if not 0 <= validation_size <= len(images):
        raise ValueError(f"validation_size is {validation_size}, but there are {len(images)} training examples")
    return DataSets(
        DataSet(images[validation_size:], labels[validation_size:], seed),
        DataSet(images[:validation_size], labels[:validation_size], seed),
        DataSet(*test, seed),
    )


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array in a gzipped IDX file of unsigned bytes.

    The format: two zero bytes, the type (8: unsigned byte), the rank, each size as a big-endian uint32, then the data.

    Raises:
        ValueError: the file is no gzip file, no IDX file of bytes, or shorter or longer than its header says.
    """
    remedy = "delete it, so that a good copy is fetched the next time"
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file ({error}): {remedy}") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _IDX_UBYTE:
        raise ValueError(f"{path} begins with {content[:4].hex() or 'nothing'}, not as an IDX file of bytes: {remedy}")
    rank = content[3]
    start = 4 + 4 * rank
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    expected = start + math.prod(shape)
    if len(content) < start or len(content) != expected:
        raise ValueError(f"{path} holds {len(content)} bytes, its header promises {expected}: {remedy}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_pair(
    folder: Path, images_name: str, labels_name: str, one_hot: bool, pixel_type: np.dtype[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    images_path, labels_path = _locate(folder, images_name), _locate(folder, labels_name)
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(
            f"{images_path} and {labels_path} must hold as many images as labels; "
            f"they hold arrays of the shapes {images.shape} and {labels.shape}"
        )
    if labels.size and labels.max() >= NUM_CLASSES:
        raise ValueError(f"{labels_path} holds the label {labels.max()}; labels are 0 to {NUM_CLASSES - 1}")
    pixels: npt.NDArray[Any] = images.reshape(len(images), math.prod(images.shape[1:]))
    if pixel_type == np.float32:
        pixels = np.multiply(pixels, 1 / 255, dtype=np.float32)
    return pixels, _one_hot(labels) if one_hot else labels


def _locate(folder: Path, name: str) -> Path:
    offline = Path(os.environ.get("FLOWC_DATA_DIR") or _SOURCE_TREE_DATA) / "mnist"
    for path in (folder / name, offline / name):
        if path.is_file():
            return path
    configured = os.environ.get("FLOWC_MNIST_URLS")
    return fetch(name, folder, configured.split() if configured else SOURCES, SHA256[name])


def _one_hot(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.eye(NUM_CLASSES, dtype=np.float32)[labels]


def _fake_examples(count: int, one_hot: bool, pixel_type: np.dtype[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    images = np.full((count, IMAGE_PIXELS), 1 if pixel_type == np.float32 else 255, pixel_type)
    labels = np.zeros(count, np.uint8)
    return images, _one_hot(labels) if one_hot else labels
