"""Words as vectors: skip-gram with a noise-contrastive loss.

Each word of a text predicts the words around it, from its vector, among a few drawn at random; words that stand in the
same places come to have vectors that point the same way. A step reads and changes the rows of its words only. Ends with
the nearest neighbours of some words, and a map of the most frequent ones.

    python word2vec.py [--steps 200000]

Source: T. Mikolov and others, "Distributed representations of words and phrases and their compositionality", 2013.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import texts
import training
import tsne

import flowc as tf

Words = npt.NDArray[np.int32]
Vectors = npt.NDArray[np.float32]
SHOWN = ("list", "file", "integer", "returns", "array", "true", "server", "sum", "raised", "first")
MOST_FREQUENT = 1e-3  # of a text: words that are more of it are often left out


class Model:
    """The graph: `vocabulary` vectors of `size`, and what trains them."""

    def __init__(self, vocabulary: int, size: int, negatives: int, steps: int) -> None:
        self.words = tf.placeholder(tf.int32, [None])
        self.contexts = tf.placeholder(tf.int64, [None, 1])
        with tf.device("/cpu:0"):
            self.vectors = tf.Variable(tf.random_uniform([vocabulary, size], -1.0, 1.0), name="vectors")
            start = tf.truncated_normal([vocabulary, size], stddev=1.0 / math.sqrt(size))
            weights = tf.Variable(start, name="nce_weights")
            biases = tf.Variable(tf.zeros([vocabulary]), name="nce_biases")
            inputs = tf.nn.embedding_lookup(self.vectors, self.words)
            losses = tf.nn.nce_loss(weights, biases, inputs, self.contexts, negatives, vocabulary)
        self.loss = tf.reduce_mean(losses)
        self.global_step = tf.Variable(0, name="global_step", trainable=False)
        left = 1.0 - tf.cast(self.global_step, tf.float32) / float(max(steps, 1))
        rate = tf.maximum(left, 0.05)  # of a step of 1, that is, for the whole batch together
        self.train = tf.train.GradientDescentOptimizer(rate).minimize(self.loss, global_step=self.global_step)
        self.unit_vectors = tf.nn.l2_normalize(self.vectors, 1)
        self.asked = tf.placeholder(tf.int32, [None])
        asked_vectors = tf.nn.embedding_lookup(self.unit_vectors, self.asked)
        self.similarity = tf.matmul(asked_vectors, self.unit_vectors, transpose_b=True)


def pairs(text: Words, window: int, batch: int, seed: int | None) -> Iterator[tuple[Words, npt.NDArray[np.int64]]]:
    """Batches without end of words, [batch], and of words near them in the text, [batch, 1].

    Frequent words are left out at random, the more the more frequent they are, and each word looks 1 to `window` words
    back and ahead.
    """
    rng = np.random.default_rng(seed)
    frequency = np.bincount(text) / len(text)
    kept = np.sqrt(MOST_FREQUENT / np.maximum(frequency, MOST_FREQUENT))
    rest = np.zeros((0, 2), np.int32)
    while True:
        thinned = text[rng.random(len(text)) < kept[text]]
        for start in range(0, len(thinned) - 2 * window, 10_000):
            rest = np.concatenate([rest, _pairs_of(thinned[start : start + 10_000], window, rng)])
            full = len(rest) // batch * batch
            for i in range(0, full, batch):
                yield rest[i : i + batch, 0].copy(), rest[i : i + batch, 1:].astype(np.int64)
            rest = rest[full:]


def _pairs_of(part: Words, window: int, rng: np.random.Generator) -> Words:
    """All pairs (word, word near it) of a part of the text, shuffled: int32[pairs, 2]."""
    reach = rng.integers(1, window, len(part), endpoint=True)
    found = []
    for distance in range(1, window + 1):
        ahead = np.flatnonzero(reach[: len(part) - distance] >= distance)
        back = np.flatnonzero(reach[distance:] >= distance) + distance
        found.append(np.stack([part[ahead], part[ahead + distance]], 1))
        found.append(np.stack([part[back], part[back - distance]], 1))
    return rng.permutation(np.concatenate(found))


def train(model: Model, sess: tf.Session, corpus: texts.Corpus, options: argparse.Namespace) -> training.Training:
    """Train up to `options.steps`, or until Ctrl-C."""
    text = corpus.training[corpus.training != corpus.numbers[texts.END]]
    batches = pairs(text, options.window, options.batch, options.seed)
    step = sess.make_callable([model.loss, model.train], [model.words, model.contexts])
    with training.Training(sess, model.global_step, options, options.batch, "pairs") as going:
        for _ in going:
            going.note(step(*next(batches))[0])
    return going


def print_neighbours(
    model: Model, sess: tf.Session, corpus: texts.Corpus, shown: Sequence[str], count: int = 8
) -> None:
    """For each of the words that there are, those whose vectors point most nearly the same way."""
    numbers = corpus.numbers
    known = [name for name in shown if name in numbers]
    similarity = sess.run(model.similarity, {model.asked: [numbers[name] for name in known]})
    for name, row in zip(known, similarity, strict=True):
        nearest = np.argsort(-row)[1 : count + 1]
        print(f"{name:>10}: {', '.join(corpus.names[i] for i in nearest)}")


def draw_map(vectors: Vectors, names: Sequence[str], path: Path) -> None:
    """Draw words in a plane, those with similar vectors near each other, if there is matplotlib."""
    picture = training.figure(14, 14)
    if picture is None:
        return
    axes = picture.subplots()
    for (x, y), name in zip(tsne.embed(vectors), names, strict=True):
        axes.plot(x, y, ".", color="tab:blue", markersize=3)
        axes.annotate(name, (x, y), fontsize=7, xytext=(2, 2), textcoords="offset points")
    axes.set_axis_off()
    training.write(picture, path)


def main() -> None:
    parser = training.parser(__doc__, "word2vec", steps=200_000)
    parser.set_defaults(every=5000)
    parser.add_argument("--vocabulary", type=int, default=8000, help="how many words have a vector (8000)")
    parser.add_argument("--size", type=int, default=128, help="of the vectors (128)")
    parser.add_argument("--window", type=int, default=4, help="how far a word looks (4)")
    parser.add_argument("--negatives", type=int, default=64, help="words drawn against a batch's (64)")
    parser.add_argument("--batch", type=int, default=128, help="pairs a step (128)")
    parser.add_argument("--mapped", type=int, default=400, help="words on the map (400)")
    options = parser.parse_args()

    tf.set_random_seed(options.seed)
    corpus = texts.read(options.vocabulary)
    print(f"{len(corpus.training):,} words of text, {len(corpus.names):,} different ones")
    model = Model(len(corpus.names), options.size, options.negatives, options.steps)
    with tf.Session() as sess:
        going = train(model, sess, corpus, options)
        if going.interrupted:
            return
        print_neighbours(model, sess, corpus, SHOWN)
        training.draw_losses(going.losses, options.folder / "loss.png", "loss")
        mapped = slice(1, options.mapped + 1)  # not UNKNOWN
        draw_map(sess.run(model.unit_vectors)[mapped], corpus.names[mapped], options.folder / "words.png")


if __name__ == "__main__":
    main()
