"""4,096 CIFAR images in batches of 128: read, decoded, distorted and shuffled by two threads; checked to be whitened.

A step is long, so that what waits in the queues when it begins counts for little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.cifar10_files import BATCH, RECORD, SHUFFLED, files, folder
from bench.work import Arrays, Case, Target, Work

SIZE = 24
MOST_BRIGHTER, CONTRAST = 63, (0.2, 1.8)
THREADS = 2
BATCHES = 32  # a step


def expected() -> Arrays:
    """Each image's mean and standard deviation."""
    return {"mean": np.zeros(BATCH), "deviation": np.ones(BATCH)}


def _case(next_batch: Callable[[], tuple[Any, Any]]) -> Case:
    images = np.zeros(())

    def step() -> None:
        nonlocal images
        for _ in range(BATCHES):
            images, _ = next_batch()

    def result() -> Arrays:
        pixels = np.asarray(images, np.float64).reshape(BATCH, SIZE * SIZE * 3)
        return {"mean": pixels.mean(1), "deviation": pixels.std(1)}

    return Case(step, result)


def in_flowc() -> Case:
    import flowc as tf
    from flowc.models.image.cifar10 import cifar10

    batch = cifar10.distorted_inputs(folder(), BATCH, SHUFFLED)
    session = tf.Session()
    tf.train.start_queue_runners(session)
    return _case(lambda: session.run(batch))


def in_tf_data() -> Case:
    import tensorflow as tf

    def decoded(record: Any) -> tuple[Any, Any]:
        values = tf.io.decode_raw(record, tf.uint8)
        planes = tf.reshape(values[1:], [3, 32, 32])
        image = tf.cast(tf.transpose(planes, [1, 2, 0]), tf.float32)
        image = tf.image.random_crop(image, [SIZE, SIZE, 3])
        image = tf.image.random_flip_left_right(image)
        image = tf.image.random_brightness(image, MOST_BRIGHTER)
        image = tf.image.random_contrast(image, *CONTRAST)
        return tf.image.per_image_standardization(image), tf.cast(values[0], tf.int32)

    data = tf.data.FixedLengthRecordDataset(files(), RECORD).repeat()
    data = data.map(decoded, num_parallel_calls=THREADS, deterministic=False)
    data = data.shuffle(SHUFFLED).batch(BATCH, drop_remainder=True).prefetch(3)
    options = tf.data.Options()
    options.threading.private_threadpool_size = THREADS
    batches = iter(data.with_options(options))
    return _case(lambda: next(batches))


WORK = Work(
    name="cifar10_pipeline",
    title="4,096 CIFAR images: decode, distort, batch by 128; two threads",
    targets=(Target(1.0),),
    systems={"flowc": in_flowc, "tf.data": in_tf_data},
    expected=expected,
    atol=1e-3,
)
