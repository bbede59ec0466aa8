"""Sequence to sequence: an encoder reads a date letter by letter, a decoder that looks back at it writes its ISO form.

    tuesday, march the 3rd, 1998  →  1998-03-03

Sentences are put into buckets by their length; there is a network unrolled for each, and all share their variables. The
encoder is shown a sentence backwards, so that its beginning is nearest to that of the translation. In training the
decoder is fed the right letters, afterwards its own. More than 95 % of the dates are soon exact, letter for letter.

    python translate.py [--steps 1000]
    python translate.py --ask "the 2nd of may 2031"

Source: D. Bahdanau, K. Cho, Y. Bengio, "Neural machine translation by jointly learning to align and translate", 2014;
I. Sutskever, O. Vinyals, Q. Le, "Sequence to sequence learning with neural networks", 2014.
"""

from __future__ import annotations

import argparse
import string
from collections.abc import Sequence
from typing import Any

import dates
import numpy as np
import numpy.typing as npt
import training

import flowc as tf

PAD, GO, END = 0, 1, 2  # symbols before the letters
LETTERS = string.ascii_lowercase + string.digits + " .,/-"
SYMBOLS = 3 + len(LETTERS)
WRITTEN = 11  # steps of the decoder: ten letters of an ISO date, and END
BUCKETS = ((12, WRITTEN), (20, WRITTEN), (40, WRITTEN))

Pair = tuple[str, str]
Steps = list[npt.NDArray[Any]]


def encoded(sentence: str) -> list[int]:
    """The symbols of its letters. ValueError for others."""
    return [3 + LETTERS.index(letter) for letter in sentence]


def decoded(symbols: Sequence[int]) -> str:
    """The letters up to END; "?" for symbols that are none."""
    until_end = list(symbols)[: list(symbols).index(END)] if END in symbols else symbols
    return "".join(LETTERS[symbol - 3] if symbol >= 3 else "?" for symbol in until_end)


def bucket_of(sentence: str) -> int:
    """The smallest bucket that holds a sentence. ValueError if none does."""
    for bucket, (length, _) in enumerate(BUCKETS):
        if len(sentence) <= length:
            return bucket
    raise ValueError(f"{sentence!r} is longer than {BUCKETS[-1][0]} letters")


class Model:
    """The networks of all buckets, to train and to translate with."""

    def __init__(self, units: int, rate: float) -> None:
        self.encoder = [tf.placeholder(tf.int32, [None], name=f"encoder{i}") for i in range(BUCKETS[-1][0])]
        self.decoder = [tf.placeholder(tf.int32, [None], name=f"decoder{i}") for i in range(WRITTEN)]
        self.targets = [tf.placeholder(tf.int32, [None], name=f"target{i}") for i in range(WRITTEN)]
        weights = [tf.ones_like(tf.cast(target, tf.float32)) for target in self.targets]
        cell = tf.nn.rnn_cell.GRUCell(units)

        def with_feedback(feed_previous: bool) -> tuple[list[list[tf.Tensor]], list[tf.Tensor]]:
            return tf.nn.seq2seq.model_with_buckets(
                self.encoder, self.decoder, self.targets, weights, BUCKETS, SYMBOLS,
                lambda read, given: tf.nn.seq2seq.embedding_attention_seq2seq(
                    read, given, cell, SYMBOLS, SYMBOLS, feed_previous=feed_previous
                ),
            )  # fmt: skip

        with tf.variable_scope("translation"):
            _, self.losses = with_feedback(False)
            tf.get_variable_scope().reuse_variables()
            outputs, _ = with_feedback(True)
        self.answers = [tf.pack([tf.argmax(step, 1) for step in steps], name="answers") for steps in outputs]
        self.global_step = tf.Variable(0, name="global_step", trainable=False)
        optimizer = tf.train.AdamOptimizer(rate)
        self.train = [self._training_step(optimizer, loss) for loss in self.losses]

    def _training_step(self, optimizer: tf.train.Optimizer, loss: tf.Tensor) -> tf.Operation:
        trained = tf.trainable_variables()
        gradients, _ = tf.clip_by_global_norm(tf.gradients(loss, trained), 5.0)
        return optimizer.apply_gradients(zip(gradients, trained, strict=True), global_step=self.global_step)

    def feeds(self, pairs: Sequence[Pair], bucket: int) -> dict[tf.Tensor, npt.NDArray[Any]]:
        """Sentences and their translations, as many arrays [batch] as the bucket has steps."""
        read, written = BUCKETS[bucket]
        sources = _columns([[PAD] * (read - len(source)) + encoded(source)[::-1] for source, _ in pairs])
        targets = _columns([_filled([*encoded(target), END], written) for _, target in pairs])
        given = [np.full(len(pairs), GO, np.int32), *targets[:-1]]
        places = *self.encoder[:read], *self.decoder, *self.targets
        return dict(zip(places, (*sources, *given, *targets), strict=True))

    def translate(self, sess: tf.Session, sentences: Sequence[str]) -> list[str]:
        """Their translations."""
        answers = [""] * len(sentences)
        for bucket in range(len(BUCKETS)):
            chosen = [i for i, sentence in enumerate(sentences) if bucket_of(sentence) == bucket]
            if chosen:
                symbols = sess.run(self.answers[bucket], self.feeds([(sentences[i], "") for i in chosen], bucket))
                for i, column in zip(chosen, symbols.T, strict=True):
                    answers[i] = decoded(column.tolist())
        return answers


def _columns(rows: list[list[int]]) -> Steps:
    """A batch of sentences as one array a step."""
    return list(np.array(rows, np.int32).T.copy())


def _filled(symbols: list[int], length: int) -> list[int]:
    return [*symbols, *[PAD] * (length - len(symbols))]


class Pairs:
    """Batches of random dates without end, each of one bucket."""

    def __init__(self, batch: int, seed: int | None) -> None:
        self.batch, self.rng = batch, np.random.default_rng(seed)
        self.waiting: list[list[Pair]] = [[] for _ in BUCKETS]

    def next_batch(self) -> tuple[int, list[Pair]]:
        """(bucket, pairs)."""
        while True:
            pair = dates.random_pair(self.rng)
            bucket = bucket_of(pair[0])
            self.waiting[bucket].append(pair)
            if len(self.waiting[bucket]) == self.batch:
                full, self.waiting[bucket] = self.waiting[bucket], []
                return bucket, full


def exact(model: Model, sess: tf.Session, pairs: Sequence[Pair]) -> float:
    """The fraction that is translated without a wrong letter."""
    answers = model.translate(sess, [source for source, _ in pairs])
    return float(np.mean([answer == target for answer, (_, target) in zip(answers, pairs, strict=True)]))


def train(model: Model, sess: tf.Session, options: argparse.Namespace) -> training.Training:
    """Train up to `options.steps`, or until Ctrl-C; now and then print how many of 500 dates are exact."""
    batches = Pairs(options.batch, options.seed)
    rng = np.random.default_rng(1)
    validation = [dates.random_pair(rng) for _ in range(500)]
    with training.Training(sess, model.global_step, options, options.batch, "dates") as going:
        for step in going:
            bucket, pairs = batches.next_batch()
            loss, _ = sess.run([model.losses[bucket], model.train[bucket]], model.feeds(pairs, bucket))
            going.note(loss)
            if step % options.validate_every == 0:
                going.say(f"step {step}: {exact(model, sess, validation):.1%} exact")
    return going


def main() -> None:
    parser = training.parser(__doc__, "translate", steps=1000)
    parser.add_argument("--units", type=int, default=128, help="of the networks (128)")
    parser.add_argument("--batch", type=int, default=64, help="dates a step (64)")
    parser.add_argument("--rate", type=float, default=0.002, help="of learning (0.002)")
    parser.add_argument("--validate-every", type=int, default=500, help="steps from one validation to the next (500)")
    parser.add_argument("--ask", action="append", help="a date to translate in the end; may be given several times")
    options = parser.parse_args()

    tf.set_random_seed(options.seed)
    model = Model(options.units, options.rate)
    rng = np.random.default_rng(2)
    with tf.Session() as sess:
        going = train(model, sess, options)
        if going.interrupted:
            return
        print(f"{exact(model, sess, [dates.random_pair(rng) for _ in range(2000)]):.2%} of 2,000 new dates are exact")
        asked = options.ask or [dates.random_pair(rng)[0] for _ in range(5)]
        for sentence, answer in zip(asked, model.translate(sess, [s.lower() for s in asked]), strict=True):
            print(f"{sentence} → {answer}")
        training.draw_losses(going.losses, options.folder / "loss.png", "loss by letter")


if __name__ == "__main__":
    main()
