"""Trains the guide's network for CIFAR-10 on several devices at once, which share its variables.

    python -m flowc.models.image.cifar10.cifar10_multi_gpu_train --num_gpus=2

Each device has a tower: the whole model, on its share of the batch. The host keeps the variables, and moves them by the
mean of the towers' gradients once all are there. A tower whose GPU does not exist runs where it can.
"""

from __future__ import annotations

import argparse
from typing import Any

import flowc as tf
from flowc.models.image.cifar10 import cifar10, cifar10_train

Gradients = list[tuple[Any, tf.Variable]]  # as `compute_gradients` returns them


def tower_loss(scope: str, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The loss of one tower, whose operations are in the name scope `scope`; with summaries of it and its parts."""
    total = cifar10.loss(cifar10.inference(images), labels, scope)
    for each in [*tf.get_collection("losses", scope), total]:
        tf.scalar_summary(each.op.name, each)
    return total


def average_gradients(tower_gradients: list[Gradients]) -> Gradients:
    """The mean of the towers' gradients of each variable.

    Args:
        tower_gradients: for each tower, the same variables in the same order.

    Returns:
        Pairs of a gradient and the variable, as `apply_gradients` takes them.
    """
    average = []
    for pairs in zip(*tower_gradients, strict=True):
        gradients = [gradient for gradient, _ in pairs]
        average.append((tf.add_n(gradients) / float(len(gradients)), pairs[0][1]))
    return average


def train(options: argparse.Namespace) -> None:
    """Builds the towers and trains them."""
    tf.set_random_seed(options.seed)
    with tf.device("/cpu:0"):
        global_step = tf.Variable(0, trainable=False, name="global_step")
        step_size = options.batch_size * options.num_gpus
        images, labels = cifar10.distorted_inputs(options.data_dir, step_size, options.min_queue_examples)
        rate = cifar10.learning_rate(global_step, step_size, cifar10_train.examples_in(options))
        optimizer = tf.train.GradientDescentOptimizer(rate)
        gradients, losses = [], []
        shares = zip(tf.split(0, options.num_gpus, images), tf.split(0, options.num_gpus, labels), strict=True)
        for tower, share in enumerate(shares):
            with tf.device(f"/gpu:{tower}"), tf.name_scope(f"{cifar10.TOWER_NAME}_{tower}") as scope:
                losses.append(tower_loss(scope, *share))
                gradients.append(optimizer.compute_gradients(losses[-1]))
                tf.get_variable_scope().reuse_variables()  # the next towers share this one's
        cifar10.check_parameters()
        train_op = cifar10.apply_gradients(optimizer, average_gradients(gradients), global_step)
        loss = tf.add_n(losses) / float(len(losses))
    cifar10_train.run(options, global_step, loss, train_op, step_size)


def main(arguments: list[str] | None = None) -> None:
    parser = cifar10_train.parser(__doc__)
    parser.add_argument("--num_gpus", type=int, default=1, help="how many towers, on /gpu:0, /gpu:1 and so on")
    options = parser.parse_args(arguments)
    cifar10.maybe_download_and_extract(options.data_dir)
    with tf.Graph().as_default():
        train(options)


if __name__ == "__main__":
    main()
