"""A language model: LSTM layers that learn to predict the next word of a text, and then write one.

Its measure is the perplexity: among how many equally likely words a guess of the next one would be as hard. With
dropout between the layers, gradients clipped by their global norm, and a rate of learning that falls after some epochs,
in the three sizes of the paper. `small` takes some minutes on two cores, the others hours.

    python ptb_word_lm.py [--model small] [--steps 6000]

The text is the documentation of Python and NumPy, in place of the Penn Treebank, which is not free.

Source: W. Zaremba and others, "Recurrent neural network regularization", http://arxiv.org/abs/1409.2329.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import texts
import training

import flowc as tf

Words = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Config:
    """The paper's sizes: of the network, and of its training."""

    layers: int = 2
    units: int = 200
    unrolled: int = 20  # steps
    batch: int = 20
    vocabulary: int = 10_000
    scale: float = 0.1  # of the first weights
    most_norm: float = 5.0  # of the gradient
    rate: float = 1.0
    full_rate_epochs: int = 4  # epochs before the rate begins to fall
    decay: float = 0.5  # of the rate, in each epoch after these
    keep: float = 1.0  # the probability that dropout keeps a value


CONFIGS = {
    "small": Config(),
    "medium": Config(units=650, unrolled=35, scale=0.05, full_rate_epochs=6, decay=0.8, keep=0.5),
    "large": Config(
        units=1500, unrolled=35, scale=0.04, most_norm=10.0, full_rate_epochs=14, decay=1 / 1.15, keep=0.35
    ),
}


class Network:
    """The unrolled network, for `batch` texts at once, `unrolled` words of each. All share one set of variables."""

    def __init__(self, config: Config, batch: int, unrolled: int, keep: float) -> None:
        self.batch, self.unrolled = batch, unrolled
        self.words = tf.placeholder(tf.int32, [batch, unrolled])
        self.targets = tf.placeholder(tf.int32, [batch, unrolled])
        cell = tf.nn.rnn_cell.BasicLSTMCell(config.units, forget_bias=0.0)
        if keep < 1:
            cell = tf.nn.rnn_cell.DropoutWrapper(cell, output_keep_prob=keep)
        cell = tf.nn.rnn_cell.MultiRNNCell([cell] * config.layers)
        self.initial_state = tf.placeholder(tf.float32, [batch, cell.state_size])
        self.zeros = np.zeros([batch, cell.state_size], np.float32)

        embedding = tf.get_variable("embedding", [config.vocabulary, config.units])
        inputs = tf.nn.embedding_lookup(embedding, self.words)
        if keep < 1:
            inputs = tf.nn.dropout(inputs, keep)
        steps = [tf.squeeze(step, [1]) for step in tf.split(1, unrolled, inputs)]
        outputs, self.final_state = tf.nn.rnn(cell, steps, initial_state=self.initial_state)

        output = tf.reshape(tf.concat(1, outputs), [-1, config.units])
        softmax_w = tf.get_variable("softmax_w", [config.units, config.vocabulary])
        softmax_b = tf.get_variable("softmax_b", [config.vocabulary])
        self.logits = tf.matmul(output, softmax_w) + softmax_b
        right = tf.reshape(self.targets, [-1])
        losses = tf.nn.seq2seq.sequence_loss_by_example([self.logits], [right], [tf.ones([batch * unrolled])])
        self.loss = tf.reduce_sum(losses) / batch  # summed over the steps

    def parts(self, text: Words) -> Iterator[tuple[Words, Words]]:
        """The text, cut into `batch` texts of equal length: `unrolled` words of each, and the words after them."""
        rows = text[: (len(text) - 1) // self.batch * self.batch].reshape(self.batch, -1)
        following = text[1 : rows.size + 1].reshape(self.batch, -1)
        for start in range(0, rows.shape[1] - self.unrolled + 1, self.unrolled):
            part = slice(start, start + self.unrolled)
            yield rows[:, part], following[:, part]

    def perplexity(self, sess: tf.Session, text: Words) -> float:
        """Of a text."""
        state, total, steps = self.zeros, 0.0, 0
        for words, targets in self.parts(text):
            feeds = {self.words: words, self.targets: targets, self.initial_state: state}
            loss, state = sess.run([self.loss, self.final_state], feeds)
            total, steps = total + loss, steps + self.unrolled
        return float(np.exp(total / max(steps, 1)))


class Model:
    """Three networks with the same variables: for training, for the perplexity, and to write a text."""

    def __init__(self, config: Config) -> None:
        with tf.variable_scope("model", initializer=tf.random_uniform_initializer(-config.scale, config.scale)):
            self.training = Network(config, config.batch, config.unrolled, config.keep)
            tf.get_variable_scope().reuse_variables()
            self.valid = Network(config, config.batch, config.unrolled, 1.0)
            self.writer = Network(config, 1, 1, 1.0)
        self.rate = tf.placeholder(tf.float32, [])
        self.global_step = tf.Variable(0, name="global_step", trainable=False)
        trained = tf.trainable_variables()
        gradients, _ = tf.clip_by_global_norm(tf.gradients(self.training.loss, trained), config.most_norm)
        optimizer = tf.train.GradientDescentOptimizer(self.rate)
        self.train = optimizer.apply_gradients(zip(gradients, trained, strict=True), global_step=self.global_step)


def train(
    model: Model, sess: tf.Session, corpus: texts.Corpus, config: Config, options: argparse.Namespace
) -> training.Training:
    """Train up to `options.steps`, or until Ctrl-C. After each epoch, print the perplexity of the validation text."""
    network = model.training
    examples = config.batch * config.unrolled
    parts = list(network.parts(corpus.training))
    state = network.zeros
    with training.Training(sess, model.global_step, options, examples, "words") as going:
        for step in going:
            epoch, index = divmod(step - 1, len(parts))
            if index == 0:
                state = network.zeros
            rate = config.rate * config.decay ** max(epoch + 1 - config.full_rate_epochs, 0)
            words, targets = parts[index]
            feeds = {network.words: words, network.targets: targets, network.initial_state: state, model.rate: rate}
            loss, state, _ = sess.run([network.loss, network.final_state, model.train], feeds)
            going.note(loss / network.unrolled)
            if index == len(parts) - 1:
                perplexity = model.valid.perplexity(sess, corpus.validation)
                going.say(f"epoch {epoch + 1}: validation perplexity {perplexity:.2f}")
    return going


def write(model: Model, sess: tf.Session, corpus: texts.Corpus, count: int, seed: int | None) -> str:
    """A text of `count` words, each drawn as likely as the network says; UNKNOWN is never drawn."""
    rng = np.random.default_rng(seed)
    network, word = model.writer, corpus.numbers[texts.END]
    state, written = network.zeros, []
    for _ in range(count):
        feeds = {network.words: [[word]], network.initial_state: state}
        logits, state = sess.run([network.logits, network.final_state], feeds)
        chances = np.exp(logits[0] - logits[0].max())[: len(corpus.names)].astype(np.float64)
        chances[0] = 0.0
        word = int(rng.choice(len(chances), p=chances / chances.sum()))
        written.append(corpus.names[word])
    return " ".join(written).replace(f" {texts.END}", ".")


def main() -> None:
    parser = training.parser(__doc__, "ptb_word_lm", steps=6000)
    parser.add_argument("--model", choices=CONFIGS, default="small", help="the size of the network (small)")
    parser.add_argument("--written", type=int, default=60, help="words of text to write in the end (60)")
    options = parser.parse_args()

    tf.set_random_seed(options.seed)
    config = CONFIGS[options.model]
    corpus = texts.read(config.vocabulary)
    epoch = len(corpus.training) // (config.batch * config.unrolled)
    print(f"{len(corpus.training):,} words of text, {epoch} steps an epoch")
    model = Model(config)
    with tf.Session() as sess:
        going = train(model, sess, corpus, config, options)
        if going.interrupted:
            return
        print(f"validation perplexity {model.valid.perplexity(sess, corpus.validation):.2f}")
        print(f"test perplexity {model.valid.perplexity(sess, corpus.test):.2f}")
        print(write(model, sess, corpus, options.written, options.seed))
        perplexities = [(step, float(np.exp(loss))) for step, loss in going.losses]
        training.draw_losses(perplexities, options.folder / "perplexity.png", "perplexity of the training text")


if __name__ == "__main__":
    main()
