"""CIFAR-10's binary files as batches of images: read, distorted and shuffled by threads of their own.

A record is 3073 bytes: the label, then 32 rows of 32 bytes of red, and as many of green and blue.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import flowc as tf

IMAGE_SIZE: Final = 24  # the network sees crops of that many rows and columns
NUM_CLASSES: Final = 10
NUM_EXAMPLES_PER_EPOCH_FOR_TRAIN: Final = 50_000
NUM_EXAMPLES_PER_EPOCH_FOR_EVAL: Final = 10_000

HEIGHT, WIDTH, DEPTH = 32, 32, 3
LABEL_BYTES: Final = 1
RECORD_BYTES: Final = LABEL_BYTES + HEIGHT * WIDTH * DEPTH
TRAIN_FILES: Final = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILES: Final = ("test_batch.bin",)

_THREADS: Final = 2
_WAITING_BATCHES: Final = 3  # that the queue holds beyond those that stay for the choice
_SHUFFLED_SHARE: Final = 0.4  # of an epoch, from which each example is drawn


@dataclass(frozen=True)
class CIFAR10Record:
    """One example."""

    key: tf.Tensor  # a string: the file and the record's number in it
    label: tf.Tensor  # int32[1]
    uint8image: tf.Tensor  # uint8[32, 32, 3]
    height: int = HEIGHT
    width: int = WIDTH
    depth: int = DEPTH


def read_cifar10(filename_queue: tf.QueueBase | tf.Tensor) -> CIFAR10Record:
    """The next example of the files whose names the queue gives: another one each time it is run."""
    key, value = tf.FixedLengthRecordReader(record_bytes=RECORD_BYTES).read(filename_queue)
    record = tf.decode_raw(value, tf.uint8)
    label = tf.cast(tf.slice(record, [0], [LABEL_BYTES]), tf.int32)
    planes = tf.reshape(tf.slice(record, [LABEL_BYTES], [RECORD_BYTES - LABEL_BYTES]), [DEPTH, HEIGHT, WIDTH])
    return CIFAR10Record(key, label, tf.transpose(planes, [1, 2, 0]))


def distorted_inputs(
    data_dir: str | Path, batch_size: int, min_queue_examples: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Shuffled batches of the training files, distorted so that the network sees no image twice.

    A random crop, by chance mirrored, of another brightness and contrast, whitened.

    Args:
        data_dir: the folder of the files.
        batch_size: examples in a batch.
        min_queue_examples: from how many examples each is drawn; by default 40 % of those in the files.

    Returns:
        images, float32[batch_size, 24, 24, 3], and labels, int32[batch_size].
    """
    files = existing(data_dir, TRAIN_FILES)
    if min_queue_examples is None:
        min_queue_examples = int(count_examples(files) * _SHUFFLED_SHARE)
    record = read_cifar10(tf.train.string_input_producer([str(path) for path in files]))
    image = distorted(tf.cast(record.uint8image, tf.float32))
    images, labels = tf.train.shuffle_batch(
        [image, record.label],
        batch_size=batch_size,
        capacity=min_queue_examples + _WAITING_BATCHES * batch_size,
        min_after_dequeue=min_queue_examples,
        num_threads=_THREADS,
    )
    tf.image_summary("images", images)
    return images, tf.reshape(labels, [batch_size])


def distorted(image: tf.Tensor) -> tf.Tensor:
    """A crop of a float32 image, [height, width, 3], as another photograph of the same thing might be."""
    image = tf.image.random_crop(image, [IMAGE_SIZE, IMAGE_SIZE])
    image = tf.image.random_flip_left_right(image)
    image = tf.image.random_brightness(image, max_delta=63)
    image = tf.image.random_contrast(image, lower=0.2, upper=1.8)
    return tf.image.per_image_whitening(image)


def inputs(eval_data: bool, data_dir: str | Path, batch_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Batches of the test files (of the training files unless `eval_data`), in their order: central crops, whitened.

    Returns what `distorted_inputs` does.
    """
    files = existing(data_dir, TEST_FILES if eval_data else TRAIN_FILES)
    record = read_cifar10(tf.train.string_input_producer([str(path) for path in files], shuffle=False))
    image = tf.cast(record.uint8image, tf.float32)
    image = tf.image.resize_image_with_crop_or_pad(image, IMAGE_SIZE, IMAGE_SIZE)
    images, labels = tf.train.batch(
        [tf.image.per_image_whitening(image), record.label], batch_size, capacity=_WAITING_BATCHES * batch_size
    )
    tf.image_summary("images", images)
    return images, tf.reshape(labels, [batch_size])


def existing(data_dir: str | Path, names: tuple[str, ...]) -> list[Path]:
    """The paths of these files; ValueError if one is missing."""
    paths = [Path(data_dir) / name for name in names]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"Failed to find file: {path}")
    return paths


def count_examples(files: list[Path]) -> int:
    """How many examples the files hold, going by their sizes."""
    return sum(path.stat().st_size for path in files) // RECORD_BYTES
