"""The demo of the guide's chapter 1.2.6: a convolutional network for MNIST; its error on the test images is below 1 %.

    python -m flowc.models.image.mnist.convolutional

Two convolutions, two dense layers whose weights decay, dropout, momentum. Ctrl-C ends the training with a checkpoint,
from which the same command goes on.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import flowc as tf
from flowc.models import training
from flowc.models.image.mnist import input_data

Floats = npt.NDArray[np.float32]
Examples = tuple[Floats, npt.NDArray[np.int64]]  # images, [n, 28, 28, 1] in -0.5 … 0.5, and labels, [n]

IMAGE_SIZE: Final = 28
NUM_LABELS: Final = 10
BATCH_SIZE: Final = 64
NUM_EPOCHS: Final = 10
EVALUATED_AT_ONCE: Final = 500
WEIGHT_DECAY: Final = 5e-4
SEED: Final = 1  # of the initial weights and of dropout, so that a run repeats


class Model:
    """The variables, and what is computed with them."""

    def __init__(self, train_size: int) -> None:
        """Builds the graph; `train_size`: how many examples make an epoch."""
        self.images = tf.placeholder(tf.float32, [None, IMAGE_SIZE, IMAGE_SIZE, 1])
        self.labels = tf.placeholder(tf.int64, [None])
        self._variables = [
            *(_weights(5, 5, 1, 32), _biases(32, 0.0)),
            *(_weights(5, 5, 32, 64), _biases(64, 0.1)),
            *(_weights(IMAGE_SIZE // 4 * IMAGE_SIZE // 4 * 64, 512), _biases(512, 0.1)),
            *(_weights(512, NUM_LABELS), _biases(NUM_LABELS, 0.1)),
        ]
        self.train_logits = self._logits(is_training=True)
        self.probabilities = tf.nn.softmax(self._logits(is_training=False))
        self.loss = self._loss()
        self.batch = tf.Variable(0, name="batch", trainable=False)
        seen = self.batch * BATCH_SIZE
        self.learning_rate = tf.train.exponential_decay(0.01, seen, train_size, 0.95, staircase=True)
        self.train_op = tf.train.MomentumOptimizer(self.learning_rate, 0.9).minimize(self.loss, self.batch)
        self.train_prediction = tf.nn.softmax(self.train_logits)

    def _logits(self, is_training: bool) -> tf.Tensor:
        """[batch, 10]; dropout in training only."""
        filters1, biases1, filters2, biases2, weights3, biases3, weights4, biases4 = self._variables
        hidden = _convolved(self.images, filters1, biases1)
        hidden = _convolved(hidden, filters2, biases2)
        hidden = tf.reshape(hidden, [-1, weights3.get_shape().as_list()[0]])
        hidden = tf.nn.relu(tf.matmul(hidden, weights3) + biases3)
        if is_training:
            hidden = tf.nn.dropout(hidden, 0.5, seed=SEED)
        return tf.matmul(hidden, weights4) + biases4

    def _loss(self) -> tf.Tensor:
        """The mean cross entropy, plus the decay of the dense layers."""
        decay = tf.add_n([tf.nn.l2_loss(variable) for variable in self._variables[4:]])
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(self.train_logits, self.labels)
        return tf.reduce_mean(cross_entropy) + WEIGHT_DECAY * decay

    def predict(self, sess: tf.Session, images: Floats) -> Floats:
        """The classes' probabilities, [n, 10]."""
        starts = tqdm(range(0, len(images), EVALUATED_AT_ONCE), disable=None, leave=False, unit="batch")
        parts = [images[start : start + EVALUATED_AT_ONCE] for start in starts]
        return np.concatenate([sess.run(self.probabilities, {self.images: part}) for part in parts])


def _weights(*shape: int) -> tf.Variable:
    return tf.Variable(tf.truncated_normal(list(shape), stddev=0.1, seed=SEED))


def _biases(count: int, value: float) -> tf.Variable:
    return tf.Variable(tf.constant(value, shape=[count]))


def _convolved(images: tf.Tensor, filters: tf.Variable, biases: tf.Variable) -> tf.Tensor:
    """relu(images * filters + biases), and of that the maxima of squares of 2×2."""
    convolved = tf.nn.conv2d(images, filters, strides=[1, 1, 1, 1], padding="SAME")
    activations = tf.nn.relu(tf.nn.bias_add(convolved, biases))
    return tf.nn.max_pool(activations, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")


def error_rate(predictions: Floats, labels: npt.NDArray[Any]) -> float:
    """How many per cent of the rows have their label not first."""
    return 100.0 - 100.0 * float(np.mean(np.argmax(predictions, 1) == labels))


def load(data: input_data.DataSet) -> Examples:
    """All examples of a data set, as the network takes them."""
    return data.images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1) - np.float32(0.5), data.labels.astype(np.int64)


def train(model: Model, loop: training.Training, mnist: input_data.DataSets) -> None:
    """Goes through the examples, epoch after epoch, and says now and then how well it goes."""
    images, labels = load(mnist.train)
    validation = load(mnist.validation)
    for step in loop:
        start = (step - 1) * BATCH_SIZE % (len(labels) - BATCH_SIZE)
        batch = images[start : start + BATCH_SIZE], labels[start : start + BATCH_SIZE]
        if (step - 1) % loop.options.every == 0:
            tqdm.write(f"Epoch {(step - 1) * BATCH_SIZE / len(labels):.2f}")
            report(model, loop.sess, batch, validation)
        loop.note(loop.sess.run([model.loss, model.train_op], {model.images: batch[0], model.labels: batch[1]})[0])


def report(model: Model, sess: tf.Session, batch: Examples, validation: Examples) -> None:
    """Prints the errors on the batch that comes next and on the validation set."""
    fetched = [model.loss, model.learning_rate, model.train_prediction]
    loss, rate, predictions = sess.run(fetched, {model.images: batch[0], model.labels: batch[1]})
    tqdm.write(f"Minibatch loss: {loss:.3f}, learning rate: {rate:.6f}")
    tqdm.write(f"Minibatch error: {error_rate(predictions, batch[1]):.1f}%")
    tqdm.write(f"Validation error: {error_rate(model.predict(sess, validation[0]), validation[1]):.1f}%")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options' values."""
    parser = training.parser(__doc__, "data/convolutional", steps=NUM_EPOCHS * 55_000 // BATCH_SIZE)
    parser.add_argument("--data_dir", default="data", help="folder of MNIST, which is downloaded to it if need be")
    parser.add_argument("--self_test", action="store_true", help="a few steps on white images")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    mnist = input_data.read_data_sets(options.data_dir, fake_data=options.self_test)
    if options.self_test:
        options.steps = min(options.steps, 3)
        mnist = input_data.DataSets(*(input_data.DataSet(data.images[:256], data.labels[:256]) for data in mnist))
    with tf.Graph().as_default(), tf.Session() as sess:
        model = Model(mnist.train.num_examples)
        with training.Training(sess, model.batch, options, BATCH_SIZE) as loop:
            print("Initialized!")
            train(model, loop, mnist)
        images, labels = load(mnist.test)
        print(f"Test error: {error_rate(model.predict(sess, images), labels):.1f}%")
    training.draw_losses(loop.losses, options.folder / "loss.png", "loss")


if __name__ == "__main__":
    main()
