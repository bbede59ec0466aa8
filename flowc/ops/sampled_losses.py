"""Losses over very many classes, from a sample of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import int64
from flowc.framework.graph import Tensor
from flowc.framework.scopes import op_scope
from flowc.ops.array_ops import cast, expand_dims, ones_like, reshape, stop_gradient, zeros_like
from flowc.ops.candidate_sampling_ops import log_uniform_candidate_sampler
from flowc.ops.joining_ops import concat
from flowc.ops.logic_ops import equal
from flowc.ops.math_ops import log
from flowc.ops.matmul_ops import matmul
from flowc.ops.nn_ops import embedding_lookup, sigmoid_cross_entropy_with_logits, softmax_cross_entropy_with_logits
from flowc.ops.reduction_ops import reduce_any, reduce_sum

__all__ = ["nce_loss", "sampled_softmax_loss"]

Sample = Sequence[Any]


class _Logits(NamedTuple):
    """The scores of the true classes, [batch, num_true], and of the sampled ones, [batch, num_sampled]."""

    true: Tensor
    sampled: Tensor


def _sampled_logits(
    weights: Any, biases: Any, inputs: Any, labels: Any, num_true: int, sample: Sample, remove_accidental_hits: bool
) -> _Logits:
    """Scores less the logarithm of how often each class was expected, which makes them those of the full softmax."""
    sampled, true_count, sampled_count = (stop_gradient(convert_to_tensor(x)) for x in sample)
    true_weights = embedding_lookup(weights, labels)
    true = reduce_sum(expand_dims(inputs, 1) * true_weights, 2) + embedding_lookup(biases, labels)
    true.set_shape([None, num_true])
    others = matmul(inputs, embedding_lookup(weights, sampled), transpose_b=True) + embedding_lookup(biases, sampled)
    if remove_accidental_hits:
        others = others + _hits(labels, sampled) * np.float32(np.finfo(np.float32).min)
    return _Logits(true - log(true_count), others - log(sampled_count))


def _hits(labels: Tensor, sampled: Tensor) -> Tensor:
    """1 where a sampled class is a true one of the row, else 0: [batch, num_sampled]. No shape depends on values."""
    is_hit = equal(expand_dims(labels, 2), reshape(sampled, [1, 1, -1]))
    return cast(reduce_any(is_hit, 1), np.float32)


def _labels_and_sample(
    labels: Any, num_true: int, num_sampled: int, num_classes: int, sample: Any
) -> tuple[Tensor, Any]:
    labels = cast(labels, int64)
    if sample is None:
        sample = log_uniform_candidate_sampler(labels, num_true, num_sampled, unique=True, range_max=num_classes)
    return labels, sample


def nce_loss(
    weights: Any,
    biases: Any,
    inputs: Any,
    labels: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = False,
    name: str = "nce_loss",
) -> Tensor:
    """The noise-contrastive estimation loss: a logistic regression that tells true classes from sampled ones.

    Args:
        weights: the classes' weights, shape [num_classes, dim]; or a list of tensors as for `embedding_lookup`.
        biases: the classes' biases, shape [num_classes].
        inputs: what the classes are predicted from, shape [batch, dim].
        labels: the true classes, int64 of shape [batch, num_true].
        num_sampled: how many classes are drawn for the whole batch.
        num_classes: how many there are.
        num_true: true classes of each example.
        sampled_values: what a candidate sampler gave; by default `log_uniform_candidate_sampler` draws.
        remove_accidental_hits: whether sampled classes that are true ones are left out.
        name: a name for the operations.

    Returns:
        The loss of each example, shape [batch].

    Source: M. Gutmann, A. Hyvärinen, "Noise-contrastive estimation", 2010.
    """
    with op_scope([*_flat(weights), biases, inputs, labels], name, "nce_loss"):
        labels, sample = _labels_and_sample(labels, num_true, num_sampled, num_classes, sampled_values)
        scores = _sampled_logits(weights, biases, inputs, labels, num_true, sample, remove_accidental_hits)
        # each of num_true true classes counts as 1/num_true of a label
        of_true = sigmoid_cross_entropy_with_logits(scores.true, ones_like(scores.true) / float(num_true))
        of_sampled = sigmoid_cross_entropy_with_logits(scores.sampled, zeros_like(scores.sampled))
        return reduce_sum(of_true, 1) + reduce_sum(of_sampled, 1)


def sampled_softmax_loss(
    weights: Any,
    biases: Any,
    inputs: Any,
    labels: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = True,
    name: str = "sampled_softmax_loss",
) -> Tensor:
    """The cross entropy of a softmax over the true and the sampled classes: below that over all of them, and for
    training only.

    Arguments and result as for `nce_loss`.

    Source: S. Jean and others, "On using very large target vocabulary for neural machine translation", 2014.
    """
    with op_scope([*_flat(weights), biases, inputs, labels], name, "sampled_softmax_loss"):
        labels, sample = _labels_and_sample(labels, num_true, num_sampled, num_classes, sampled_values)
        scores = _sampled_logits(weights, biases, inputs, labels, num_true, sample, remove_accidental_hits)
        targets = concat(1, [ones_like(scores.true) / float(num_true), zeros_like(scores.sampled)])
        return softmax_cross_entropy_with_logits(concat(1, list(scores)), targets)


def _flat(weights: Any) -> list[Any]:
    return list(weights) if isinstance(weights, list | tuple) else [weights]
