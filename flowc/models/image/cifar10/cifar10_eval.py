"""Says how many of CIFAR-10's test images a network recognises that `cifar10_train` trains or has trained.

    python -m flowc.models.image.cifar10.cifar10_eval --run_once

The variables' moving averages are restored from the latest checkpoint in place of the variables. Without `--run_once`,
each new checkpoint is evaluated when it is there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

import flowc as tf
from flowc.models import training
from flowc.models.image.cifar10 import cifar10, cifar10_input


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    result.add_argument("--checkpoint_dir", type=Path, default=Path("/tmp/cifar10_train"), help="the trainer's folder")
    result.add_argument("--eval_dir", type=Path, default=Path("/tmp/cifar10_eval"), help="folder of event files")
    result.add_argument("--eval_data", choices=["test", "train_eval"], default="test", help="which images")
    result.add_argument("--data_dir", default=cifar10.DATA_DIR, help="folder of the data set")
    result.add_argument("--batch_size", type=int, default=100, help="images in a batch; best one that divides all")
    result.add_argument("--num_examples", type=int, help="how many images (default: all)")
    result.add_argument(
        "--eval_interval_secs", type=float, default=300, help="from one look for checkpoints to the next"
    )
    result.add_argument("--run_once", action="store_true", help="evaluate the latest checkpoint only")
    return result


class Evaluation:
    """The graph, and what is run of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Builds the graph in the default graph."""
        is_test = options.eval_data == "test"
        names = cifar10_input.TEST_FILES if is_test else cifar10_input.TRAIN_FILES
        files = cifar10_input.existing(f"{options.data_dir}/{cifar10.BATCHES}", names)
        self._count = options.num_examples or cifar10_input.count_examples(files)
        self._batch_size = options.batch_size
        images, labels = cifar10.inputs(is_test, options.data_dir, options.batch_size)
        logits = cifar10.inference(images)
        self._correct = tf.nn.in_top_k(logits, labels, 1)
        self._saver = tf.train.Saver(cifar10.moving_average().variables_to_restore())
        self._summaries = tf.merge_all_summaries()

    def precision(self, checkpoint: str, writer: Any) -> float:
        """The share of the images whose class the network of a checkpoint names first."""
        with tf.Session() as sess:
            self._saver.restore(sess, checkpoint)
            with training.input_threads(sess):
                batches = range(-(-self._count // self._batch_size))
                right = [sess.run(self._correct).mean() for _ in tqdm(batches, disable=None, unit="batch")]
                result = float(sum(right)) / len(right)
                if writer is not None:
                    step = int(checkpoint.rpartition("-")[2])
                    summary = tf.Summary.FromString(sess.run(self._summaries))
                    summary.value.add(tag="Precision @ 1", simple_value=result)
                    writer.add_summary(summary, step)
        return result


def evaluate(options: argparse.Namespace) -> None:
    """Evaluates the latest checkpoint, and later ones as they come, unless `--run_once`."""
    evaluation = Evaluation(options)
    writer = training.summary_writer(options.eval_dir, tf.get_default_graph())
    seen = None
    while True:
        latest = tf.train.latest_checkpoint(str(options.checkpoint_dir))
        if latest is None:
            print(f"No checkpoint file found in {options.checkpoint_dir}")
        elif latest != seen:
            seen = latest
            print(f"{latest}: precision @ 1 = {evaluation.precision(latest, writer):.3f}", flush=True)
        if options.run_once:
            break
        time.sleep(options.eval_interval_secs)
    if writer is not None:
        writer.close()


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    cifar10.maybe_download_and_extract(options.data_dir)
    with tf.Graph().as_default():
        try:
            evaluate(options)
        except KeyboardInterrupt:
            print("interrupted")


if __name__ == "__main__":
    main()
