"""Guide, chapter 2.3.4: two convolutional and two dense layers on MNIST; about 99.2 % after 20,000 steps.

python mnist_deep.py [--steps 20000] [--checkpoint mnist_deep.ckpt] [--plot mnist_deep.png]

The model is the guide's, line by line. Now and then the accuracy on the validation set is taken, and the variables are
saved if it is the best so far; the test set is recognised with these. Ctrl-C ends the training early, and loses nothing
but the steps since.
"""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import input_data
import numpy as np
from tqdm import tqdm

import flowc as tf

BATCH = 50
SCORED_AT_ONCE = 1000  # images: all 10,000 of the test set at once would take 1.3 GB


def weight_variable(shape: list[int]) -> tf.Variable:
    initial = tf.truncated_normal(shape, stddev=0.1)
    return tf.Variable(initial)


def bias_variable(shape: list[int]) -> tf.Variable:
    initial = tf.constant(0.1, shape=shape)
    return tf.Variable(initial)


def conv2d(x: tf.Tensor, W: tf.Variable) -> tf.Tensor:
    return tf.nn.conv2d(x, W, strides=[1, 1, 1, 1], padding="SAME")


def max_pool_2x2(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool(x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")


class Model:
    """The guide's graph, with its names."""

    def __init__(self) -> None:
        self.x = tf.placeholder("float", [None, 784])
        self.y_ = tf.placeholder("float", [None, 10])
        self.keep_prob = tf.placeholder("float")
        y_conv = self._network()
        # Where a class is so unlikely that its softmax is 0, the literal formula would give NaN: flowc computes the
        # logarithm of a softmax from the logits.
        self.cross_entropy = -tf.reduce_sum(self.y_ * tf.log(y_conv))
        self.train_step = tf.train.AdamOptimizer(1e-4).minimize(self.cross_entropy)
        correct_prediction = tf.equal(tf.argmax(y_conv, 1), tf.argmax(self.y_, 1))
        self.accuracy = tf.reduce_mean(tf.cast(correct_prediction, "float"))

    def _network(self) -> tf.Tensor:
        W_conv1 = weight_variable([5, 5, 1, 32])
        b_conv1 = bias_variable([32])
        x_image = tf.reshape(self.x, [-1, 28, 28, 1])
        h_conv1 = tf.nn.relu(conv2d(x_image, W_conv1) + b_conv1)
        h_pool1 = max_pool_2x2(h_conv1)

        W_conv2 = weight_variable([5, 5, 32, 64])
        b_conv2 = bias_variable([64])
        h_conv2 = tf.nn.relu(conv2d(h_pool1, W_conv2) + b_conv2)
        h_pool2 = max_pool_2x2(h_conv2)

        W_fc1 = weight_variable([7 * 7 * 64, 1024])
        b_fc1 = bias_variable([1024])
        h_pool2_flat = tf.reshape(h_pool2, [-1, 7 * 7 * 64])
        h_fc1 = tf.nn.relu(tf.matmul(h_pool2_flat, W_fc1) + b_fc1)
        h_fc1_drop = tf.nn.dropout(h_fc1, self.keep_prob)

        W_fc2 = weight_variable([1024, 10])
        b_fc2 = bias_variable([10])
        return tf.nn.softmax(tf.matmul(h_fc1_drop, W_fc2) + b_fc2)

    def score(self, sess: tf.Session, data: input_data.DataSet) -> float:
        """The fraction of the images that are recognised."""
        scores = []
        for start in range(0, data.num_examples, SCORED_AT_ONCE):
            part = slice(start, start + SCORED_AT_ONCE)
            feeds = {self.x: data.images[part], self.y_: data.labels[part], self.keep_prob: 1.0}
            scores.append(sess.run(self.accuracy, feed_dict=feeds) * len(data.images[part]))
        return float(sum(scores)) / data.num_examples


@dataclass
class History:
    """What was measured on the way: lists of (step, value)."""

    loss: list[tuple[int, float]] = field(default_factory=list)  # of a training batch, by image
    training: list[tuple[int, float]] = field(default_factory=list)  # accuracy on a training batch
    validation: list[tuple[int, float]] = field(default_factory=list)  # accuracy on the validation set

    @property
    def best(self) -> float:
        """The best accuracy on the validation set."""
        return max((value for _, value in self.validation), default=0.0)


def train(model: Model, sess: tf.Session, mnist: input_data.DataSets, options: argparse.Namespace) -> History:
    """Train for `options.steps` batches or until Ctrl-C; leave the best variables in the session and on disk."""
    saver = tf.train.Saver(max_to_keep=1)
    history = History()
    sess.run(tf.initialize_all_variables())
    try:
        for step in tqdm(range(1, options.steps + 1), disable=None, unit="step"):
            batch = mnist.train.next_batch(BATCH)
            if step % options.every == 0:
                measure(model, sess, batch, step, history)
            sess.run(model.train_step, feed_dict={model.x: batch[0], model.y_: batch[1], model.keep_prob: 0.5})
            if step % options.validate_every == 0 or step == options.steps:
                before = history.best
                history.validation.append((step, model.score(sess, mnist.validation)))
                if history.best > before:
                    saver.save(sess, options.checkpoint)
    except KeyboardInterrupt:
        tqdm.write("interrupted")
    if history.validation:
        saver.restore(sess, options.checkpoint)
    return history


def measure(model: Model, sess: tf.Session, batch: tuple[np.ndarray, np.ndarray], step: int, history: History) -> None:
    """Note loss and accuracy on a batch, without dropout, before the model is trained on it."""
    feeds = {model.x: batch[0], model.y_: batch[1], model.keep_prob: 1.0}
    loss, accuracy = sess.run([model.cross_entropy, model.accuracy], feed_dict=feeds)
    history.loss.append((step, float(loss) / BATCH))
    history.training.append((step, float(accuracy)))
    tqdm.write(f"step {step}, training accuracy {accuracy:g}, loss {loss / BATCH:.4f}")


def plot(history: History, path: Path) -> None:
    """Draw loss and accuracy over the steps. Needs matplotlib: pip install 'flowc[plot]'."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    top, bottom = figure.subplots(2, sharex=True)
    for axes, name, curves in (
        (top, "loss by image", {"training batch": history.loss}),
        (bottom, "accuracy", {"training batch": history.training, "validation set": history.validation}),
    ):
        for label, points in curves.items():
            axes.plot([step for step, _ in points], [value for _, value in points], label=label)
        axes.set_ylabel(name)
        axes.legend()
    top.set_yscale("log")
    bottom.set_xlabel("step")
    figure.savefig(path)
    print("wrote", path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000, help="training steps of 50 images")
    parser.add_argument("--every", type=int, default=100, help="steps from one line of output to the next")
    parser.add_argument("--validate-every", type=int, default=1000, help="steps from one validation to the next")
    parser.add_argument("--seed", type=int, help="makes a run repeatable")
    parser.add_argument("--checkpoint", default="./mnist_deep.ckpt", help="where the best variables are kept")
    parser.add_argument("--plot", type=Path, help="where to draw loss and accuracy (needs 'flowc[plot]')")
    options = parser.parse_args()
    if options.plot and not importlib.util.find_spec("matplotlib"):
        parser.error("--plot needs matplotlib: pip install 'flowc[plot]'")

    Path(options.checkpoint).parent.mkdir(parents=True, exist_ok=True)
    tf.set_random_seed(options.seed)
    np.random.seed(options.seed)  # the order of the batches
    mnist = input_data.read_data_sets("MNIST_data", one_hot=True)
    model = Model()
    with tf.Session() as sess:
        history = train(model, sess, mnist, options)
        print(f"test accuracy {model.score(sess, mnist.test):g}")
    if options.plot:
        plot(history, options.plot)


if __name__ == "__main__":
    main()
