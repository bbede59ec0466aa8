"""Candidate sampling: a few classes drawn at random, in place of all, for losses over very many classes.

A sampler takes `true_classes`, int64 of shape [batch, num_true], and gives a tuple of

- `sampled_candidates`: the classes drawn, int64 of shape [num_sampled];
- `true_expected_count`: how often each true class was to be expected among them, float32 like `true_classes`;
- `sampled_expected_count`: the same of the sampled classes, float32 of shape [num_sampled].

With `unique`, no class is drawn twice; then a count is the probability that the class is drawn, estimated from how many
tries the draw took.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

from flowc.framework.building import apply_list
from flowc.framework.dtypes import DType, float32, int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape
from flowc.ops.random_ops import seed_attrs

__all__ = [
    "all_candidate_sampler",
    "compute_accidental_hits",
    "fixed_unigram_candidate_sampler",
    "learned_unigram_candidate_sampler",
    "log_uniform_candidate_sampler",
    "uniform_candidate_sampler",
]

Sample = tuple[Tensor, Tensor, Tensor]


def _sampled(ctx: ShapeContext) -> Shapes:
    true = ctx.shapes[0].merge_with([None, ctx.attrs["num_true"]])
    sampled = TensorShape([ctx.attrs["num_sampled"]])
    return (sampled, true, sampled)


def _sample_types(types: Sequence[DType], attrs: Any) -> list[DType]:
    return [int64, float32, float32]


_UNIGRAM_DEFAULTS = {
    "vocab_file": "",
    "distortion": 1.0,
    "num_reserved_ids": 0,
    "num_shards": 1,
    "shard": 0,
    "unigrams": [],
}
for _type in ("Uniform", "LogUniform", "LearnedUnigram", "FixedUnigram", "All"):
    define(
        f"{_type}CandidateSampler",
        shape=_sampled,
        allowed=(frozenset((int64,)),),
        result=_sample_types,
        stateful=True,
        inputs="true_classes",
        type_attrs="-",
        attrs={"seed": 0, "seed2": 0, **(_UNIGRAM_DEFAULTS if _type == "FixedUnigram" else {})},
    )
    not_differentiable(f"{_type}CandidateSampler")


def _draw(
    op_type: str,
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    attrs: dict[str, Any],
    name: str | None,
) -> Sample:
    for what, value in (("num_true", num_true), ("num_sampled", num_sampled), ("range_max", attrs.get("range_max", 1))):
        if value < 1:
            raise ValueError(f"{what} must be at least 1, not {value}.")
    own = {"num_true": num_true, "num_sampled": num_sampled, "unique": bool(unique), **attrs}
    classes, true_count, sampled_count = apply_list(op_type, [true_classes], own, name)
    return classes, true_count, sampled_count


def uniform_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int | None = None,
    name: str | None = None,
) -> Sample:
    """Classes from [0, range_max), all with the same probability.

    See the module's documentation for arguments and results; seed: see `set_random_seed`. More classes than there are,
    with `unique`, fail the run with InvalidArgumentError.
    """
    attrs = {"range_max": range_max, **seed_attrs(seed)}
    return _draw("UniformCandidateSampler", true_classes, num_true, num_sampled, unique, attrs, name)


def log_uniform_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int | None = None,
    name: str | None = None,
) -> Sample:
    """Classes from [0, range_max) by Zipf's law: P(k) = log((k + 2) / (k + 1)) / log(range_max + 1).

    Fits words that are numbered by falling frequency. Else as `uniform_candidate_sampler`.
    """
    attrs = {"range_max": range_max, **seed_attrs(seed)}
    return _draw("LogUniformCandidateSampler", true_classes, num_true, num_sampled, unique, attrs, name)


def learned_unigram_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int | None = None,
    name: str | None = None,
) -> Sample:
    """Classes from [0, range_max) by how often they were true classes: their weights are 1, and 1 more for each time.

    A session counts them from one run to the next. A true class out of range fails the run. Else as
    `uniform_candidate_sampler`.
    """
    attrs = {"range_max": range_max, **seed_attrs(seed)}
    return _draw("LearnedUnigramCandidateSampler", true_classes, num_true, num_sampled, unique, attrs, name)


def fixed_unigram_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    vocab_file: str = "",
    distortion: float = 1.0,
    num_reserved_ids: int = 0,
    num_shards: int = 1,
    shard: int = 0,
    unigrams: Sequence[float] = [],  # the API's default
    seed: int | None = None,
    name: str | None = None,
) -> Sample:
    """Classes by given weights, which come from a file or a list.

    Args:
        true_classes: see the module's documentation, as for the following two.
        num_true: an int.
        num_sampled: an int.
        unique: whether no class may be drawn twice.
        range_max: how many classes there are, the reserved ones included.
        vocab_file: a CSV file whose last column holds the weights, one class a line. It is read now; the graph holds
            the weights.
        distortion: each weight is raised to this power. 1: as they are; 0: all alike.
        num_reserved_ids: that many classes come before the listed ones, and are never drawn.
        num_shards: only each num_shards-th class is drawn, …
        shard: … from this one on.
        unigrams: the weights, in place of a file.
        seed: see `set_random_seed`.
        name: the operation's name.

    Raises:
        ValueError: both or neither of `vocab_file` and `unigrams`, or a shard that there is not.
        InvalidArgumentError: when run, if there are not as many weights as classes, or they leave too few to draw.
    """
    if bool(vocab_file) == bool(len(unigrams)):
        raise ValueError("Give either vocab_file or unigrams: the weights of the classes.")
    if not 0 <= shard < num_shards:
        raise ValueError(f"shard must be in [0, num_shards), not {shard} of {num_shards}.")
    attrs = {
        "range_max": range_max,
        "vocab_file": vocab_file,
        "distortion": float(distortion),
        "num_reserved_ids": num_reserved_ids,
        "num_shards": num_shards,
        "shard": shard,
        "unigrams": _weights_in(vocab_file) if vocab_file else [float(weight) for weight in unigrams],
        **seed_attrs(seed),
    }
    return _draw("FixedUnigramCandidateSampler", true_classes, num_true, num_sampled, unique, attrs, name)


def _weights_in(vocab_file: str) -> list[float]:
    with open(vocab_file, newline="") as lines:
        return [float(row[-1]) for row in csv.reader(lines) if row]


def all_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, seed: int | None = None, name: str | None = None
) -> Sample:
    """All classes from 0 to num_sampled - 1, each once: to test a loss without the error of sampling."""
    return _draw("AllCandidateSampler", true_classes, num_true, num_sampled, unique, seed_attrs(seed), name)


# -- accidental hits ---------------------------------------------------------------------------------------------------


def _hits(ctx: ShapeContext) -> Shapes:
    ctx.shapes[0].merge_with([None, ctx.attrs["num_true"]])
    ctx.shapes[1].with_rank(1)
    return (TensorShape([None]), TensorShape([None]), TensorShape([None]))


define(
    "ComputeAccidentalHits",
    shape=_hits,
    allowed=(frozenset((int64,)),),
    result=lambda types, attrs: [int32, int64, float32],
    inputs="true_classes sampled_candidates",
    type_attrs="- -",
    attrs={"seed": 0, "seed2": 0},
)
not_differentiable("ComputeAccidentalHits")


def compute_accidental_hits(
    true_classes: Any, sampled_candidates: Any, num_true: int, seed: int | None = None, name: str | None = None
) -> Sample:
    """Which sampled classes are true ones: their logits are to be taken out of a sampled softmax.

    Args:
        true_classes: int64 of shape [batch, num_true].
        sampled_candidates: int64 of shape [num_sampled], as a sampler gives them.
        num_true: an int.
        seed: no effect: nothing is random here.
        name: the operation's name.

    Returns:
        Three vectors with an element for each hit: `indices`, int32, its row; `ids`, int64, the place in
        `sampled_candidates`; `weights`, float32, each the least finite number, to be added to the hit's logit.
    """
    attrs = {"num_true": num_true, **seed_attrs(seed)}
    indices, ids, weights = apply_list("ComputeAccidentalHits", [true_classes, sampled_candidates], attrs, name)
    return indices, ids, weights
