"""Trains the guide's network for CIFAR-10, on batches that threads of their own read, distort and shuffle.

    python -m flowc.models.image.cifar10.cifar10_train --max_steps=2000

After 100,000 steps on the real data set it recognises about 86 % of the test images. Ctrl-C ends the training with a
checkpoint, from which the same command goes on.
"""

from __future__ import annotations

import argparse

import flowc as tf
from flowc.models import training
from flowc.models.image.cifar10 import cifar10, cifar10_input


def parser(documentation: str | None) -> argparse.ArgumentParser:
    """The options that training on one device and on several have in common."""
    result = training.parser(documentation, "/tmp/cifar10_train", steps=100_000)
    result.add_argument("--data_dir", default=cifar10.DATA_DIR, help=f"folder of the data set ({cifar10.DATA_DIR})")
    result.add_argument("--batch_size", type=int, default=cifar10.BATCH_SIZE, help="images in a batch (128)")
    result.add_argument("--min_queue_examples", type=int, help="how many each is drawn from (default: 40%% of all)")
    result.add_argument("--log_device_placement", action="store_true", help="print the device of each operation")
    return result


def examples_in(options: argparse.Namespace) -> int:
    """How many examples the training files hold."""
    folder = f"{options.data_dir}/{cifar10.BATCHES}"
    return cifar10_input.count_examples(cifar10_input.existing(folder, cifar10_input.TRAIN_FILES))


def train(options: argparse.Namespace) -> None:
    """Builds the graph and trains it."""
    tf.set_random_seed(options.seed)
    global_step = tf.Variable(0, trainable=False, name="global_step")
    images, labels = cifar10.distorted_inputs(options.data_dir, options.batch_size, options.min_queue_examples)
    loss = cifar10.loss(cifar10.inference(images), labels)
    cifar10.check_parameters()
    train_op = cifar10.train(loss, global_step, options.batch_size, examples_in(options))
    run(options, global_step, loss, train_op, options.batch_size)


def run(
    options: argparse.Namespace, global_step: tf.Variable, loss: tf.Tensor, train_op: tf.Operation, examples: int
) -> None:
    """Trains the default graph in a session of its own; `examples`: how many a step takes."""
    summary_op = tf.merge_all_summaries()
    config = tf.ConfigProto(allow_soft_placement=True, log_device_placement=options.log_device_placement)
    with tf.Session(config=config) as sess:
        loop = training.Training(sess, global_step, options, examples)
        writer = training.summary_writer(options.folder, sess.graph)
        with loop, training.input_threads(sess):
            print("the first step waits until the queue holds enough images to choose from", flush=True)
            for step in loop:
                loop.note(sess.run([loss, train_op])[0])
                if writer is not None and step % options.every == 0:
                    writer.add_summary(sess.run(summary_op), step)
        if writer is not None:
            writer.close()
    training.draw_losses(loop.losses, options.folder / "loss.png", "loss")


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    cifar10.maybe_download_and_extract(options.data_dir)
    with tf.Graph().as_default():
        train(options)


if __name__ == "__main__":
    main()
