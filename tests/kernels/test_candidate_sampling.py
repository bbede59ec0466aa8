"""Candidate samplers: their statistics, what they say of them, and the losses that stand on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.lower.sampling import alias_table
from tests.kernels.batch import Array, Batch

CLASSES = 7
WEIGHTS = [1.0, 5.0, 0.0, 2.0, 0.5, 3.0, 8.0]
TRUE = np.array([[0, 3], [6, 1]], np.int64)


def run(fetches: Any, feeds: dict[Any, Any] | None = None) -> Any:
    with tf.Session() as session:
        return session.run(fetches, feeds)


def uniform(number: int, unique: bool, **options: Any) -> Any:
    return tf.nn.uniform_candidate_sampler(TRUE, 2, number, unique, CLASSES, **options)


def log_uniform(number: int, unique: bool, **options: Any) -> Any:
    return tf.nn.log_uniform_candidate_sampler(TRUE, 2, number, unique, CLASSES, **options)


def fixed(number: int, unique: bool, **options: Any) -> Any:
    return tf.nn.fixed_unigram_candidate_sampler(TRUE, 2, number, unique, CLASSES, unigrams=WEIGHTS, **options)


ZIPF = np.diff(np.log(np.arange(1, CLASSES + 2))) / np.log(CLASSES + 1)
SAMPLERS: list[tuple[Callable[..., Any], Array]] = [
    (uniform, np.full(CLASSES, 1 / CLASSES)),
    (log_uniform, ZIPF),
    (fixed, np.array(WEIGHTS) / sum(WEIGHTS)),
]
IDS = ["uniform", "log_uniform", "fixed"]


def chi_squared(seen: Array, expected: Array) -> float:
    """About the number of classes, if what is seen follows what is expected."""
    some = expected > 0
    assert not seen[~some].any()
    return float((np.square(seen[some] - expected[some]) / expected[some]).sum())


@pytest.mark.parametrize(("sampler", "chances"), SAMPLERS, ids=IDS)
def test_draws_that_may_repeat(sampler: Callable[..., Any], chances: Array) -> None:
    sampled, true_count, sampled_count = run(sampler(20_000, False, seed=11))
    assert chi_squared(np.bincount(sampled, minlength=CLASSES), 20_000 * chances) < 30
    np.testing.assert_allclose(true_count, 20_000 * chances[TRUE], rtol=1e-5)
    np.testing.assert_allclose(sampled_count, 20_000 * chances[sampled], rtol=1e-5)


@pytest.mark.parametrize(("sampler", "chances"), SAMPLERS, ids=IDS)
def test_draws_that_do_not_repeat(sampler: Callable[..., Any], chances: Array) -> None:
    """How often a class is drawn is, on average, what the sampler says to expect."""
    classes = np.arange(CLASSES, dtype=np.int64)
    if sampler is fixed:
        classes = classes[np.array(WEIGHTS) > 0]
    fetches = sampler(3, True, seed=12)
    seen, counts = np.zeros(CLASSES), np.zeros(CLASSES)
    with tf.Session() as session:
        for _ in range(1500):
            sampled, true_count, sampled_count = session.run(fetches)
            assert len(set(sampled)) == 3
            seen[sampled] += 1
            counts[TRUE.ravel()] += true_count.ravel()
            by_class = {**dict(zip(TRUE.ravel(), true_count.ravel(), strict=True))}
            assert all(abs(by_class.get(c, n) - n) < 1e-6 for c, n in zip(sampled, sampled_count, strict=True))
    told = TRUE.ravel()
    np.testing.assert_allclose(counts[told], seen[told], atol=5 * np.sqrt(1500), rtol=0.1)
    assert (np.sort(np.argsort(seen)[-len(classes) :]) == classes).all()


def test_op_types_of_graphs() -> None:
    samples = [uniform(3, True), log_uniform(3, True), fixed(3, True)]
    samples.append(tf.nn.learned_unigram_candidate_sampler(TRUE, 2, 3, False, CLASSES))
    samples.append(tf.nn.all_candidate_sampler(TRUE, 2, 3, True))
    types = [sample[0].op.type for sample in samples]
    assert types == [
        "UniformCandidateSampler",
        "LogUniformCandidateSampler",
        "FixedUnigramCandidateSampler",
        "LearnedUnigramCandidateSampler",
        "AllCandidateSampler",
    ]
    for sample in samples:
        assert [tensor.get_shape().as_list() for tensor in sample] == [[3], [2, 2], [3]]
        assert sample[0].op.get_attr("num_sampled") == 3
    assert list(samples[2][0].op.get_attr("unigrams")) == WEIGHTS


def test_seeds_repeat_and_runs_differ() -> None:
    fetches = [uniform(50, False, seed=3)[0], uniform(50, False, seed=4)[0], uniform(50, False)[0]]
    with tf.Session() as session:
        first, second = session.run(fetches), session.run(fetches)
    again = run(fetches)
    for index in (0, 1):
        np.testing.assert_array_equal(first[index], again[index])
    assert all((a != b).any() for a, b in zip(first, second, strict=True))
    assert (first[2] != again[2]).any()
    assert (first[0] != first[1]).any()


def test_a_sampler_learns_from_true_classes() -> None:
    labels = tf.placeholder(tf.int64, [None, 1])
    sampled, true_count, _ = tf.nn.learned_unigram_candidate_sampler(labels, 1, 4000, False, CLASSES, seed=5)
    seen = np.ones(CLASSES)
    rng = np.random.default_rng(0)
    with tf.Session() as session:
        for _ in range(30):
            batch = rng.choice(CLASSES, (8, 1), p=ZIPF)
            drawn, counts = session.run([sampled, true_count], {labels: batch})
            chances = seen / seen.sum()
            np.testing.assert_allclose(counts, 4000 * chances[batch], rtol=1e-5)
            assert chi_squared(np.bincount(drawn, minlength=CLASSES), 4000 * chances) < 35
            np.add.at(seen, batch.ravel(), 1)
        with pytest.raises(tf.errors.InvalidArgumentError, match="is not in"):
            session.run(sampled, {labels: [[CLASSES]]})


@pytest.mark.parametrize("classes", [1, 2, 3, 8, 64, 100])
def test_a_learned_sampler_of_any_number_of_classes(classes: int) -> None:
    labels = np.array([[classes - 1], [0]], np.int64)
    sampled, true_count, _ = tf.nn.learned_unigram_candidate_sampler(labels, 1, classes, True, classes)
    with tf.Session() as session:
        for _ in range(3):
            drawn, counts = session.run([sampled, true_count])
            assert sorted(drawn) == list(range(classes))
            assert (counts <= 1.0001 * max(1, counts.max())).all()


def test_all_candidates() -> None:
    sampled, true_count, sampled_count = run(tf.nn.all_candidate_sampler(TRUE, 2, 7, True))
    np.testing.assert_array_equal(sampled, range(7))
    np.testing.assert_array_equal(true_count, np.ones((2, 2)))
    np.testing.assert_array_equal(sampled_count, np.ones(7))


# -- given weights -----------------------------------------------------------------------------------------------------


def test_weights_from_a_file_reserved_distorted_and_in_shards(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.csv"
    path.write_text("".join(f"word{i},{weight}\n" for i, weight in enumerate([1, 4, 9, 16])))
    common: dict[str, Any] = {"vocab_file": str(path), "num_reserved_ids": 1, "seed": 1}
    true = np.array([[1], [4]], np.int64)
    sampler = tf.nn.fixed_unigram_candidate_sampler
    rooted = sampler(true, 1, 4000, False, 5, distortion=0.5, **common)
    odd = sampler(true, 1, 4000, False, 5, num_shards=2, shard=1, **common)
    (drawn, expected, _), (drawn_odd, _, _) = run([rooted, odd])
    np.testing.assert_allclose(expected.ravel(), [400, 1600])
    assert chi_squared(np.bincount(drawn, minlength=5), 4000 * np.array([0, 0.1, 0.2, 0.3, 0.4])) < 25
    assert chi_squared(np.bincount(drawn_odd, minlength=5), 4000 * np.array([0, 0.1, 0, 0.9, 0])) < 25


@pytest.mark.parametrize("seed", range(5))
def test_alias_tables_give_the_chances_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.random(50) ** 8 * (rng.random(50) < 0.7)
    chances /= chances.sum()
    keep, aliases = alias_table(chances)
    assert ((keep >= 0) & (keep <= 1)).all()
    np.testing.assert_allclose((keep + np.bincount(aliases, 1 - keep, 50)) / 50, chances, atol=1e-12)
    assert (keep[chances == 0] == 0).all()


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="either vocab_file or unigrams"):
        tf.nn.fixed_unigram_candidate_sampler(TRUE, 2, 3, True, 7)
    with pytest.raises(ValueError, match="shard must be in"):
        fixed(3, True, num_shards=2, shard=2)
    with pytest.raises(ValueError, match="num_sampled must be at least 1"):
        uniform(0, True)
    with pytest.raises(ValueError, match="compatible"):
        tf.nn.uniform_candidate_sampler(TRUE, 1, 3, True, 7)
    for sampler in (uniform, fixed):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Sampler's range is too small"):
            run(sampler(8 if sampler is uniform else 7, True))
    with pytest.raises(tf.errors.InvalidArgumentError, match="range_max is 7, but there are 2"):
        run(tf.nn.fixed_unigram_candidate_sampler(TRUE, 2, 3, True, 7, unigrams=[1.0, 2.0]))


# -- accidental hits ---------------------------------------------------------------------------------------------------


def test_accidental_hits() -> None:
    batch = Batch()
    rng = np.random.default_rng(0)
    for rows, number, sampled in ((3, 2, 5), (10, 4, 30), (1, 1, 1), (0, 2, 4), (4, 3, 200)):
        true, drawn = rng.integers(0, 40, (rows, number)), rng.integers(0, 40, sampled)
        batch.op("ComputeAccidentalHits", batch.feed(true), batch.feed(drawn), num_true=number)
    batch.check()


# -- losses ------------------------------------------------------------------------------------------------------------

BATCH, DIM = 3, 4


class Loss:
    """The inputs of a loss, and its definition in NumPy."""

    def __init__(self, num_true: int) -> None:
        rng = np.random.default_rng(num_true)
        self.num_true = num_true
        self.weights, self.biases = rng.standard_normal((CLASSES, DIM)), rng.standard_normal(CLASSES)
        self.inputs, self.labels = rng.standard_normal((BATCH, DIM)), rng.integers(0, CLASSES, (BATCH, num_true))
        self.sampled = np.array([1, 0, 5, 2, 3])
        self.counts = rng.random((BATCH, num_true)), rng.random(5)

    def logits(self, remove_hits: bool) -> tuple[Array, Array]:
        true = np.einsum("bd,btd->bt", self.inputs, self.weights[self.labels]) + self.biases[self.labels]
        others = self.inputs @ self.weights[self.sampled].T + self.biases[self.sampled] - np.log(self.counts[1])
        if remove_hits:
            others[(self.labels[:, :, None] == self.sampled).any(1)] = -np.inf
        return true - np.log(self.counts[0]), others

    def nce(self, remove_hits: bool) -> Array:
        true, others = self.logits(remove_hits)
        of_true = np.logaddexp(0, true) - true / self.num_true
        return np.asarray(of_true.sum(1) + np.logaddexp(0, others).sum(1))

    def softmax(self, remove_hits: bool) -> Array:
        true, others = self.logits(remove_hits)
        total = np.log(np.exp(np.concatenate([true, others], 1)).sum(1))
        return np.asarray(total - true.mean(1))

    def build(self, function: Any, weights: Any, remove_hits: bool, biases: Any = None) -> Any:
        sample = (self.sampled, *(count.astype(np.float32) for count in self.counts))
        return function(
            weights,
            self.biases.astype(np.float32) if biases is None else biases,
            self.inputs.astype(np.float32),
            self.labels,
            5,
            CLASSES,
            self.num_true,
            sample,
            remove_accidental_hits=remove_hits,
        )


@pytest.mark.parametrize("num_true", [1, 2])
@pytest.mark.parametrize("remove_hits", [False, True])
def test_losses(num_true: int, remove_hits: bool) -> None:
    loss = Loss(num_true)
    weights = loss.weights.astype(np.float32)
    nce = loss.build(tf.nn.nce_loss, weights, remove_hits)
    softmax = loss.build(tf.nn.sampled_softmax_loss, weights, remove_hits)
    values = run([nce, softmax])
    np.testing.assert_allclose(values[0], loss.nce(remove_hits), rtol=1e-5)
    np.testing.assert_allclose(values[1], loss.softmax(remove_hits), rtol=1e-5)


def test_losses_of_sharded_weights() -> None:
    loss = Loss(1)
    shards = [loss.weights[i::2].astype(np.float32) for i in range(2)]
    value = run(loss.build(tf.nn.nce_loss, shards, False))
    np.testing.assert_allclose(value, loss.nce(False), rtol=1e-5)


@pytest.mark.parametrize("function", [tf.nn.nce_loss, tf.nn.sampled_softmax_loss])
def test_only_the_rows_of_a_batch_have_a_gradient(function: Any) -> None:
    loss = Loss(1)
    weights = tf.Variable(loss.weights.astype(np.float32))
    biases = tf.Variable(loss.biases.astype(np.float32))
    total = tf.reduce_sum(loss.build(function, weights, False, biases))
    gradients = tf.gradients(total, [weights, biases])
    assert all(isinstance(gradient, tf.IndexedSlices) for gradient in gradients)
    step = tf.train.GradientDescentOptimizer(0.1).minimize(total)
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        slices = session.run(gradients[0])
        session.run(step)
        after = session.run(weights)
    assert set(slices.indices) == {*loss.labels.ravel(), *loss.sampled}
    touched = np.zeros(CLASSES, bool)
    touched[slices.indices] = True
    np.testing.assert_array_equal(after[~touched], loss.weights[~touched].astype(np.float32))
    expected = loss.weights.copy()
    np.add.at(expected, slices.indices, -0.1 * slices.values)
    np.testing.assert_allclose(after, expected, rtol=1e-5)


def test_word2vec_learns() -> None:
    """Words that stand together come together: a text of pairs, 2k beside 2k + 1."""
    words, dim = 20, 8
    inputs, labels = tf.placeholder(tf.int32, [None]), tf.placeholder(tf.int32, [None, 1])
    embeddings = tf.Variable(tf.random_uniform([words, dim], -1.0, 1.0, seed=1))
    weights, biases = tf.Variable(tf.truncated_normal([words, dim], stddev=0.3, seed=2)), tf.Variable(tf.zeros([words]))
    embedded = tf.nn.embedding_lookup(embeddings, inputs)
    loss = tf.reduce_mean(tf.nn.nce_loss(weights, biases, embedded, labels, 5, words))
    step = tf.train.GradientDescentOptimizer(1.0).minimize(loss)
    rng = np.random.default_rng(0)
    losses = []
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for _ in range(600):
            batch = rng.integers(0, words, 32)
            losses.append(session.run([loss, step], {inputs: batch, labels: (batch ^ 1)[:, None]})[0])
    assert np.mean(losses[-50:]) < 0.5 * np.mean(losses[:50])


# -- embeddings of sets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("combiner", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_embeddings_of_sets(combiner: str, weighted: bool, shards: int) -> None:
    rng = np.random.default_rng(0)
    table = rng.random((9, 2, 3)).astype(np.float32)
    params: Any = table if shards == 1 else [table[i::shards] for i in range(shards)]
    rows, ids, weights = [0, 0, 1, 2, 2, 2], [3, 8, 3, 0, 3, 5], rng.random(6).astype(np.float32) + 0.5
    indices = np.array([[row, i] for i, row in enumerate(rows)])
    sp_ids = tf.SparseTensor(indices, np.array(ids), [3, 6])
    sp_weights = tf.SparseTensor(indices, weights, [3, 6]) if weighted else None
    result = run(tf.nn.embedding_lookup_sparse(params, sp_ids, sp_weights, combiner=combiner))
    factors = weights if weighted else np.ones(6)
    for row in range(3):
        mine = [i for i in range(6) if rows[i] == row]
        total = sum(factors[i] * table[ids[i]] for i in mine)
        expected = total / sum(factors[i] for i in mine) if combiner == "mean" else total
        np.testing.assert_allclose(result[row], expected, rtol=1e-5)


def test_mistakes_of_embeddings() -> None:
    table = np.zeros((3, 2), np.float32)
    ids = tf.SparseTensor([[0, 0]], [1], [1, 1])
    with pytest.raises(ValueError, match="'mean' or 'sum'"):
        tf.nn.embedding_lookup_sparse(table, ids, None, combiner="max")
    with pytest.raises(TypeError, match="must be SparseTensors"):
        tf.nn.embedding_lookup_sparse(table, tf.constant([1]), None)
