"""Encoders and decoders, and the losses of sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.models.rnn import seq2seq as seq2seq_06
from tests.kernels.batch import Array

cells = tf.nn.rnn_cell
seq2seq = tf.nn.seq2seq
BATCH, UNITS = 2, 4


def constant(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def run_all(fetches: Any, feeds: dict[Any, Any] | None = None) -> Any:
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        return session.run(fetches, feeds)


# -- encoders and decoders ---------------------------------------------------------------------------------------------

SYMBOLS = 5


def symbols(steps: int) -> list[tf.Tensor]:
    return [tf.constant(value) for value in np.random.default_rng(steps).integers(0, SYMBOLS, (steps, BATCH), np.int32)]


def models(feed_previous: Any = False) -> dict[str, Callable[[], Any]]:
    cell = cells.BasicLSTMCell(UNITS)
    vectors = [tf.constant(constant(BATCH, UNITS)) for _ in range(3)]
    reads, writes = symbols(4), symbols(3)
    feeds = {"feed_previous": feed_previous}
    return {
        "basic": lambda: seq2seq.basic_rnn_seq2seq(vectors[:2], vectors, cell),
        "tied": lambda: seq2seq.tied_rnn_seq2seq(vectors[:2], vectors, cell),
        "embedding": lambda: seq2seq.embedding_rnn_seq2seq(reads, writes, cell, SYMBOLS, SYMBOLS, **feeds),
        "embedding_tied": lambda: seq2seq.embedding_tied_rnn_seq2seq(reads, writes, cell, SYMBOLS, **feeds),
        "attention": lambda: seq2seq.embedding_attention_seq2seq(
            reads, writes, cell, SYMBOLS, SYMBOLS, num_heads=2, **feeds
        ),
    }


@pytest.mark.parametrize("name", ["basic", "tied", "embedding", "embedding_tied", "attention"])
def test_models_have_the_shapes_they_say_and_gradients(name: str) -> None:
    with tf.Graph().as_default():
        outputs, state = models()[name]()
        width = UNITS if name in ("basic", "tied") else SYMBOLS
        assert [output.get_shape().as_list() for output in outputs] == [[BATCH, width]] * 3
        gradients = tf.gradients(tf.add_n([tf.reduce_sum(tf.square(y)) for y in outputs]), tf.trainable_variables())
        assert all(gradient is not None for gradient in gradients)
        values = run_all([*outputs, state, *map(tf.convert_to_tensor, gradients)])
    assert values[3].shape == (BATCH, 2 * UNITS)
    assert all(np.isfinite(value).all() for value in values)
    assert all(value.any() for value in values[4:])


def test_tied_models_share_variables() -> None:
    with tf.Graph().as_default():
        models()["tied"]()
        tied = len(tf.all_variables())
    with tf.Graph().as_default():
        models()["basic"]()
        assert len(tf.all_variables()) == 2 * tied


@pytest.mark.parametrize("name", ["embedding", "embedding_tied", "attention"])
def test_feeding_back_is_feeding_what_came_out(name: str) -> None:
    """A decoder that feeds back makes what one makes that is given the first one's symbols; a tensor can choose."""
    with tf.Graph().as_default():
        tf.set_random_seed(3)
        choice = tf.placeholder(tf.bool, [])
        with tf.variable_scope("model", initializer=tf.random_normal_initializer(stddev=0.5)) as scope:
            fed = tf.pack(models(True)[name]()[0])
        with tf.variable_scope(scope, reuse=True):
            given = tf.pack(models(False)[name]()[0])
        with tf.variable_scope(scope, reuse=True):
            chosen = tf.pack(models(choice)[name]()[0])
        with tf.Session() as session:
            session.run(tf.initialize_all_variables())
            yes, no, chosen_yes = session.run([fed, given, chosen], {choice: True})
            chosen_no = session.run(chosen, {choice: False})
    np.testing.assert_allclose(yes[0], no[0], rtol=1e-5)
    assert abs(yes[1:] - no[1:]).max() > 1e-4
    np.testing.assert_allclose(chosen_yes, yes, rtol=1e-5)
    np.testing.assert_allclose(chosen_no, no, rtol=1e-5)


def test_attention_reads_what_it_weighs() -> None:
    """With all weights of the query 0, every place counts alike: the mean is read."""
    states = constant(BATCH, 6, 3)

    def build() -> Any:
        zero = tf.zeros_initializer
        with tf.variable_scope("look", initializer=zero):
            outputs, _ = seq2seq.attention_decoder(
                [tf.zeros([BATCH, 2])], tf.zeros([BATCH, UNITS]), tf.constant(states), cells.GRUCell(UNITS), 3
            )
        return outputs[0]

    with tf.Graph().as_default():
        output = build()
        matrix = next(v for v in tf.all_variables() if v.op.name.endswith("AttnOutputProjection/Linear/Matrix"))
        with tf.Session() as session:
            session.run(tf.initialize_all_variables())
            session.run(tf.assign(matrix, np.concatenate([np.zeros((UNITS, 3)), np.eye(3)]).astype(np.float32)))
            np.testing.assert_allclose(session.run(output), states.mean(1), rtol=1e-5, atol=1e-6)


def test_decoder_mistakes() -> None:
    cell, state = cells.GRUCell(UNITS), tf.zeros([BATCH, UNITS])
    with pytest.raises(ValueError, match="at least 1 input"):
        seq2seq.attention_decoder([], state, tf.zeros([BATCH, 3, 2]), cell)
    with pytest.raises(ValueError, match="less than 1 heads"):
        seq2seq.attention_decoder([state], state, tf.zeros([BATCH, 3, 2]), cell, num_heads=0)
    with pytest.raises(ValueError, match="must be known"):
        seq2seq.attention_decoder([state], state, tf.placeholder(tf.float32, [BATCH, None, 2]), cell)
    projection = tf.zeros([UNITS, 3]), tf.zeros([3])
    with pytest.raises(ValueError, match="compatible"):
        seq2seq.embedding_rnn_decoder(symbols(2), state, cell, SYMBOLS, output_projection=projection)


def test_names_of_0_6_give_all_states() -> None:
    with tf.Graph().as_default():
        vectors = [tf.constant(constant(BATCH, UNITS)) for _ in range(3)]
        outputs, states = seq2seq_06.rnn_decoder(vectors, tf.zeros([BATCH, UNITS]), cells.GRUCell(UNITS))
        assert (len(outputs), len(states)) == (3, 4)
        made, last = run_all([outputs[-1], states[-1]])
    np.testing.assert_array_equal(made, last)


# -- losses ------------------------------------------------------------------------------------------------------------


def test_sequence_losses() -> None:
    scores = constant(3, BATCH, SYMBOLS)
    right = np.array([[1, 4], [0, 0], [2, 3]])
    weights = np.array([[1, 1], [1, 0.5], [0, 0.25]], np.float32)
    logits, targets = [tf.constant(x) for x in scores], [tf.constant(x, tf.int32) for x in right]
    given = [tf.constant(x) for x in weights]
    entropy = np.log(np.exp(scores).sum(-1)) - np.take_along_axis(scores, right[:, :, None], -1)[:, :, 0]
    total = (entropy * weights).sum(0)
    values = run_all(
        [
            seq2seq.sequence_loss_by_example(logits, targets, given, SYMBOLS),
            seq2seq.sequence_loss_by_example(logits, targets, given, SYMBOLS, average_across_timesteps=False),
            seq2seq.sequence_loss(logits, targets, given, SYMBOLS),
            seq2seq.sequence_loss(logits, targets, given, SYMBOLS, average_across_batch=False),
            seq2seq.sequence_loss_by_example(
                logits,
                targets,
                given,
                softmax_loss_function=lambda y, t: tf.to_float(t),
                average_across_timesteps=False,
            ),
        ]
    )
    mean = total / weights.sum(0)
    expected = [mean, total, mean.sum() / BATCH, mean.sum(), (right * weights).sum(0)]
    for value, want in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-5)
    with pytest.raises(ValueError, match="must be the same"):
        seq2seq.sequence_loss(logits, targets[:2], given)


def test_buckets() -> None:
    buckets = [(2, 2), (4, 3)]
    reads, writes, targets = symbols(4), symbols(3), symbols(3)
    weights = [tf.ones([BATCH])] * 3

    def model(encoder_inputs: Any, decoder_inputs: Any) -> Any:
        return seq2seq.embedding_attention_seq2seq(
            encoder_inputs, decoder_inputs, cells.GRUCell(UNITS), SYMBOLS, SYMBOLS
        )

    with tf.Graph().as_default():
        reads, writes, targets = symbols(4), symbols(3), symbols(3)
        weights = [tf.ones([BATCH])] * 3
        outputs, losses = seq2seq.model_with_buckets(reads, writes, targets, weights, buckets, SYMBOLS, model)
        count = len(tf.all_variables())
        assert [len(made) for made in outputs] == [2, 3]
        values = run_all(losses)
        assert np.isfinite(values).all()
        with pytest.raises(ValueError, match="at least that of last bucket"):
            seq2seq.model_with_buckets(reads[:3], writes, targets, weights, buckets, SYMBOLS, model)
    with tf.Graph().as_default():
        model(symbols(2), symbols(2))
        assert len(tf.all_variables()) == count


def test_a_model_learns_to_reverse() -> None:
    """Sequences of two symbols, written backwards."""
    length, words = 3, 4
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        reads = [tf.placeholder(tf.int32, [None]) for _ in range(length)]
        given = [tf.zeros_like(reads[0]), *reversed(reads[1:])]
        outputs, _ = seq2seq.embedding_attention_seq2seq(reads, given, cells.GRUCell(16), words, words)
        weights = [tf.ones_like(outputs[0][:, 0])] * length
        loss = seq2seq.sequence_loss(outputs, list(reversed(reads)), weights, words)
        train = tf.train.AdamOptimizer(0.02).minimize(loss)
        rng = np.random.default_rng(0)
        with tf.Session() as session:
            session.run(tf.initialize_all_variables())
            losses = []
            for _ in range(150):
                batch = rng.integers(1, words, (length, 32))
                losses.append(session.run([loss, train], dict(zip(reads, batch, strict=True)))[0])
    assert losses[-1] < 0.2 * losses[0]
