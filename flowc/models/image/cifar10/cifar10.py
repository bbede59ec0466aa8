"""The guide's network for CIFAR-10: two convolutions, two dense layers, 1,068,298 parameters.

    images, labels = cifar10.distorted_inputs()
    logits = cifar10.inference(images)
    loss = cifar10.loss(logits, labels)
    train_op = cifar10.train(loss, global_step)

After Krizhevsky's cuda-convnet: https://code.google.com/p/cuda-convnet
"""

from __future__ import annotations

import os
import tarfile
from math import prod
from pathlib import Path
from typing import Any, Final

import flowc as tf
from flowc.models.download import fetch
from flowc.models.image.cifar10 import cifar10_input
from flowc.models.image.cifar10.cifar10_input import (
    IMAGE_SIZE,
    NUM_CLASSES,
    NUM_EXAMPLES_PER_EPOCH_FOR_EVAL,
    NUM_EXAMPLES_PER_EPOCH_FOR_TRAIN,
)

__all__ = [
    "IMAGE_SIZE",
    "NUM_CLASSES",
    "NUM_EXAMPLES_PER_EPOCH_FOR_EVAL",
    "NUM_EXAMPLES_PER_EPOCH_FOR_TRAIN",
    "distorted_inputs",
    "inference",
    "inputs",
    "loss",
    "maybe_download_and_extract",
    "train",
]

BATCH_SIZE: Final = 128
DATA_DIR: Final = "/tmp/cifar10_data"
NUM_PARAMETERS: Final = 1_068_298

MOVING_AVERAGE_DECAY: Final = 0.9999
NUM_EPOCHS_PER_DECAY: Final = 350.0
LEARNING_RATE_DECAY_FACTOR: Final = 0.1
INITIAL_LEARNING_RATE: Final = 0.1
_WEIGHT_DECAY: Final = 0.004

TOWER_NAME: Final = "tower"  # the scope of a device's part of the model is called so, with its number

# Base URLs, tried in order; the environment variable FLOWC_CIFAR10_URLS (separated by spaces) replaces them.
SOURCES: tuple[str, ...] = ("https://www.cs.toronto.edu/~kriz/",)
ARCHIVE: Final = "cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
BATCHES: Final = "cifar-10-batches-bin"  # the folder in the archive
CLASS_NAMES: Final = "batches.meta.txt"

# -- the data ----------------------------------------------------------------------------------------------------------


def maybe_download_and_extract(data_dir: str | Path = DATA_DIR) -> None:
    """Downloads the data set to `data_dir` and unpacks it, unless its files are there.

    Raises:
        OSError: it cannot be had, or does not unpack; the message says what else can be done.
    """
    folder = Path(data_dir)
    wanted = (*cifar10_input.TRAIN_FILES, *cifar10_input.TEST_FILES, CLASS_NAMES)
    if all((folder / BATCHES / name).is_file() for name in wanted):
        return
    configured = os.environ.get("FLOWC_CIFAR10_URLS")
    try:
        archive = folder / ARCHIVE
        if not archive.is_file():
            fetch(ARCHIVE, folder, configured.split() if configured else SOURCES, SHA256, of_content=False)
    except OSError as error:
        command = f"python -m flowc.models.image.cifar10.make_data --data_dir {data_dir}"
        raise OSError(f"{error}\nfiles of the same format to try the programs with:\n  {command}") from None
    _extract(archive, folder / BATCHES, wanted)


def _extract(archive: Path, folder: Path, wanted: tuple[str, ...]) -> None:
    """Unpacks these files and no others, whatever the archive's names say."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in wanted:
            content = tar.extractfile(f"{BATCHES}/{name}")
            if content is None:
                raise OSError(f"{archive}: {name} is no file")
            temporary = folder / f".{name}.part"
            temporary.write_bytes(content.read())
            temporary.replace(folder / name)


def distorted_inputs(
    data_dir: str | Path = DATA_DIR, batch_size: int = BATCH_SIZE, min_queue_examples: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Shuffled and distorted batches for training: see `cifar10_input.distorted_inputs`."""
    return cifar10_input.distorted_inputs(Path(data_dir) / BATCHES, batch_size, min_queue_examples)


def inputs(
    eval_data: bool, data_dir: str | Path = DATA_DIR, batch_size: int = BATCH_SIZE
) -> tuple[tf.Tensor, tf.Tensor]:
    """Batches for evaluation, of the test files or else the training files: see `cifar10_input.inputs`."""
    return cifar10_input.inputs(eval_data, Path(data_dir) / BATCHES, batch_size)


# -- the model ---------------------------------------------------------------------------------------------------------


def inference(images: tf.Tensor) -> tf.Tensor:
    """The logits, [batch, 10], of images, [batch, 24, 24, 3].

    Variables come from `tf.get_variable`, so that towers on several devices share them.
    """
    hidden = _convolution("conv1", images, 64, bias=0.0)
    hidden = _normalised("norm1", _pooled("pool1", hidden))
    hidden = _convolution("conv2", hidden, 64, bias=0.1)
    hidden = _pooled("pool2", _normalised("norm2", hidden))
    hidden = _dense("local3", tf.reshape(hidden, [-1, prod(sizes(hidden)[1:])]), 384)
    hidden = _dense("local4", hidden, 192)
    with tf.variable_scope("softmax_linear"):
        weights = _variable("weights", [192, NUM_CLASSES], tf.truncated_normal_initializer(stddev=1 / 192))
        biases = _variable("biases", [NUM_CLASSES], tf.constant_initializer(0.0))
        logits = tf.add(tf.matmul(hidden, weights), biases, name="logits")
    _summarise_activation(logits)
    return logits


def sizes(x: tf.Tensor | tf.Variable) -> list[int]:
    """Its static shape; 0 for a size that is not known, such as a batch's."""
    return [size or 0 for size in x.get_shape().as_list()]


def _variable(name: str, shape: list[int], initializer: Any) -> tf.Variable:
    """A variable that all towers share: it is kept by the host."""
    with tf.device("/cpu:0"):
        return tf.get_variable(name, shape, initializer=initializer)


def _convolution(name: str, images: tf.Tensor, channels: int, bias: float) -> tf.Tensor:
    """relu(images * kernel + biases), by 5×5 kernels."""
    with tf.variable_scope(name):
        shape = [5, 5, sizes(images)[3], channels]
        kernel = _variable("weights", shape, tf.truncated_normal_initializer(stddev=5e-2))
        biases = _variable("biases", [channels], tf.constant_initializer(bias))
        convolved = tf.nn.bias_add(tf.nn.conv2d(images, kernel, [1, 1, 1, 1], padding="SAME"), biases)
        activation = tf.nn.relu(convolved, name="activations")
    _summarise_activation(activation)
    return activation


def _pooled(name: str, images: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool(images, ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="SAME", name=name)


def _normalised(name: str, images: tf.Tensor) -> tf.Tensor:
    return tf.nn.lrn(images, 4, bias=1.0, alpha=0.001 / 9.0, beta=0.75, name=name)


def _dense(name: str, inputs: tf.Tensor, units: int) -> tf.Tensor:
    """relu(inputs · weights + biases); the weights decay."""
    with tf.variable_scope(name):
        shape = [sizes(inputs)[1], units]
        weights = _variable("weights", shape, tf.truncated_normal_initializer(stddev=0.04))
        biases = _variable("biases", [units], tf.constant_initializer(0.1))
        tf.add_to_collection("losses", tf.mul(tf.nn.l2_loss(weights), _WEIGHT_DECAY, name="weight_loss"))
        activation = tf.nn.relu(tf.matmul(inputs, weights) + biases, name="activations")
    _summarise_activation(activation)
    return activation


def _summarise_activation(x: tf.Tensor) -> None:
    """How a layer's outputs are spread, and how many of them are 0. Each tower's have its name."""
    tf.histogram_summary(x.op.name, x)
    tf.scalar_summary(f"{x.op.name}/sparsity", tf.nn.zero_fraction(x))


def loss(logits: tf.Tensor, labels: tf.Tensor, scope: str | None = None) -> tf.Tensor:
    """The mean cross entropy of logits, [batch, 10], with labels, int32[batch], plus the decay of the dense layers.

    The parts of the sum are left in the collection "losses". `scope`: a tower's name scope, whose parts alone count.
    """
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(logits, labels, name="cross_entropy_per_example")
    tf.add_to_collection("losses", tf.reduce_mean(cross_entropy, name="cross_entropy"))
    return tf.add_n(tf.get_collection("losses", scope), name="total_loss")


# -- training ----------------------------------------------------------------------------------------------------------


def train(
    total_loss: tf.Tensor,
    global_step: tf.Variable,
    batch_size: int = BATCH_SIZE,
    examples: int = NUM_EXAMPLES_PER_EPOCH_FOR_TRAIN,
) -> tf.Operation:
    """The operation of one training step: it changes the variables and their moving averages, and counts the step.

    Args:
        total_loss: what `loss` returned.
        global_step: the counter.
        batch_size: how many examples a step takes.
        examples: how many make an epoch, by which the learning rate falls.
    """
    averages_op = _average_losses(total_loss)
    optimizer = tf.train.GradientDescentOptimizer(learning_rate(global_step, batch_size, examples))
    with tf.control_dependencies([averages_op]):
        gradients = optimizer.compute_gradients(total_loss)
    return apply_gradients(optimizer, gradients, global_step)


def learning_rate(global_step: tf.Variable, batch_size: int, examples: int) -> tf.Tensor:
    """A rate that falls to a tenth every 350 epochs."""
    decay_steps = int(examples / batch_size * NUM_EPOCHS_PER_DECAY)
    rate = tf.train.exponential_decay(
        INITIAL_LEARNING_RATE, global_step, decay_steps, LEARNING_RATE_DECAY_FACTOR, staircase=True
    )
    tf.scalar_summary("learning_rate", rate)
    return rate


def apply_gradients(
    optimizer: tf.train.Optimizer, gradients: list[tuple[Any, tf.Variable]], global_step: tf.Variable
) -> tf.Operation:
    """The operation that moves the variables, then their averages; with summaries of variables and gradients."""
    for gradient, variable in gradients:
        tf.histogram_summary(variable.op.name, variable)
        tf.histogram_summary(f"{variable.op.name}/gradients", gradient)
    apply_op = optimizer.apply_gradients(gradients, global_step=global_step)
    averages = moving_average(global_step)
    with tf.control_dependencies([apply_op]):
        return averages.apply(tf.trainable_variables())


def moving_average(global_step: tf.Variable | None = None) -> tf.train.ExponentialMovingAverage:
    """Averages of the trained variables: what the network is evaluated with."""
    return tf.train.ExponentialMovingAverage(MOVING_AVERAGE_DECAY, global_step)


def _average_losses(total_loss: tf.Tensor) -> tf.Operation:
    """The operation that averages the loss and its parts over the last steps; with summaries of both."""
    losses = [*tf.get_collection("losses"), total_loss]
    averages = tf.train.ExponentialMovingAverage(0.9, name="avg")
    averages_op = averages.apply(losses)
    for each in losses:
        tf.scalar_summary(f"{each.op.name} (raw)", each)
        tf.scalar_summary(each.op.name, averages.average(each))
    return averages_op


def check_parameters() -> None:
    """AssertionError unless the graph's trainable variables hold as many parameters as the guide says."""
    count = sum(prod(sizes(variable)) for variable in tf.trainable_variables())
    assert count == NUM_PARAMETERS, f"the model has {count:,} parameters, not {NUM_PARAMETERS:,}"
