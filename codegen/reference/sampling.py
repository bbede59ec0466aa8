"""What candidate samplers mean, up to chance; and accidental hits."""

from __future__ import annotations

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference
from flowc.codegen.unigrams import class_weights


@reference("UniformCandidateSampler", "LearnedUnigramCandidateSampler", random=True)
def _uniform(op: ReferenceOp, true: Array) -> list[Array]:
    """All classes alike: so is a learned distribution in its first run."""
    n = op.attrs["range_max"]
    return _sampled(op, true, np.full(n, 1 / n))


@reference("LogUniformCandidateSampler", random=True)
def _log_uniform(op: ReferenceOp, true: Array) -> list[Array]:
    """P(k) = (log(k + 2) - log(k + 1)) / log(range + 1)."""
    n = op.attrs["range_max"]
    return _sampled(op, true, np.diff(np.log(np.arange(1, n + 2))) / np.log(n + 1))


@reference("FixedUnigramCandidateSampler", random=True)
def _fixed_unigram(op: ReferenceOp, true: Array) -> list[Array]:
    weights = class_weights(op.attrs)
    return _sampled(op, true, weights / weights.sum())


def _sampled(op: ReferenceOp, true: Array, chances: Array) -> list[Array]:
    """Draws until there are enough; how often each class is expected depends on the number of draws."""
    number, unique = op.attrs["num_sampled"], op.attrs["unique"]
    if unique and number > np.count_nonzero(chances):
        invalid("Sampler's range is too small.")
    drawn: list[int] = []
    tries = 0
    while len(drawn) < number:
        tries += 1
        candidate = int(op.generator.choice(len(chances), p=chances))
        if not unique or candidate not in drawn:
            drawn.append(candidate)
    expected = number * chances if tries == number else 1 - (1 - chances) ** tries
    return [np.array(drawn, np.int64), expected[true], expected[drawn]]


@reference("AllCandidateSampler")
def _all(op: ReferenceOp, true: Array) -> list[Array]:
    number = op.attrs["num_sampled"]
    return [np.arange(number), np.ones(true.shape), np.ones(number)]


@reference("ComputeAccidentalHits")
def _accidental_hits(op: ReferenceOp, true: Array, sampled: Array) -> list[Array]:
    """For each true class that was sampled: its row and the last place where it was, and the lowest of floats."""
    places = {int(candidate): place for place, candidate in enumerate(sampled)}
    hits = [(row, places[int(label)]) for row, labels in enumerate(true) for label in labels if int(label) in places]
    rows, where = (np.array([hit[i] for hit in hits], np.int64) for i in (0, 1))
    return [rows, where, np.full(len(hits), np.finfo(np.float32).min)]
