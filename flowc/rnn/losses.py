"""Losses of sequences, and models for buckets: sequences of about one length share a network unrolled so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowc.framework.graph import Tensor
from flowc.framework.scopes import op_scope
from flowc.ops.arithmetic_ops import add_n
from flowc.ops.array_ops import cast, shape
from flowc.ops.nn_ops import sparse_softmax_cross_entropy_with_logits
from flowc.ops.reduction_ops import reduce_sum
from flowc.variable_scope import get_variable_scope, variable_scope

__all__ = ["model_with_buckets", "sequence_loss", "sequence_loss_by_example"]

LossFunction = Callable[[Any, Any], Tensor]  # (outputs, targets), of one step -> losses [batch]
Model = Callable[[list[Any], list[Any]], tuple[list[Tensor], Any]]  # (encoder and decoder inputs) -> outputs, states


def sequence_loss_by_example(
    logits: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    num_decoder_symbols: int | None = None,
    average_across_timesteps: bool = True,
    softmax_loss_function: LossFunction | None = None,
    name: str | None = None,
) -> Tensor:
    """The weighted cross entropy of each sequence, its perplexity's logarithm: shape [batch].

    Args:
        logits: scores of symbols, a list of tensors [batch, num_decoder_symbols], one a step.
        targets: the right symbols, a list of int32 tensors [batch].
        weights: a list of float tensors [batch].
        num_decoder_symbols: how many symbols there are; the logits tell it, too.
        average_across_timesteps: divide by the sum of the weights.
        softmax_loss_function: (outputs, targets) -> losses of one step, in place of the softmax's cross entropy.
        name: a name for the operations.

    Raises:
        ValueError: lists of different lengths.
    """
    if not len(logits) == len(targets) == len(weights):
        raise ValueError(
            f"Lengths of logits, weights, and targets must be the same {len(logits)}, {len(weights)}, {len(targets)}."
        )
    loss = softmax_loss_function or sparse_softmax_cross_entropy_with_logits
    with op_scope([*logits, *targets, *weights], name, "sequence_loss_by_example"):
        total = add_n([loss(y, t) * w for y, t, w in zip(logits, targets, weights, strict=True)])
        if not average_across_timesteps:
            return total
        return total / (add_n(list(weights)) + 1e-12)  # of a sequence without weight: 0


def sequence_loss(
    logits: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    num_decoder_symbols: int | None = None,
    average_across_timesteps: bool = True,
    average_across_batch: bool = True,
    softmax_loss_function: LossFunction | None = None,
    name: str | None = None,
) -> Tensor:
    """The sum of `sequence_loss_by_example`, divided by the batch's size if `average_across_batch`: a scalar."""
    with op_scope([*logits, *targets, *weights], name, "sequence_loss"):
        losses = sequence_loss_by_example(
            logits, targets, weights, num_decoder_symbols, average_across_timesteps, softmax_loss_function
        )
        cost = reduce_sum(losses)
        if not average_across_batch:
            return cost
        batch = targets[0].get_shape()[0].value
        return cost / (cast(shape(targets[0])[0], cost.dtype.base_dtype) if batch is None else float(batch))


def model_with_buckets(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    buckets: Sequence[tuple[int, int]],
    num_decoder_symbols: int,
    seq2seq: Model,
    softmax_loss_function: LossFunction | None = None,
    name: str | None = None,
) -> tuple[list[list[Tensor]], list[Tensor]]:
    """A model for each bucket; all share their variables.

    Args:
        encoder_inputs: inputs of the largest bucket, of which smaller ones use the first.
        decoder_inputs: the same for the decoder.
        targets: the right symbols for its outputs.
        weights: and their weights.
        buckets: pairs (steps of the encoder, steps of the decoder), from the smallest to the largest.
        num_decoder_symbols: how many symbols there are.
        seq2seq: makes a model: (encoder inputs, decoder inputs) -> outputs and states.
        softmax_loss_function: see `sequence_loss_by_example`.
        name: a name for the operations.

    Returns:
        A pair: the outputs of each bucket's model, and its loss.

    Raises:
        ValueError: inputs, targets or weights that are fewer than the last bucket's steps.
    """
    most_in, most_out = buckets[-1]
    given = {
        "encoder_inputs": (encoder_inputs, most_in),
        "targets": (targets, most_out),
        "weights": (weights, most_out),
    }
    for what, (values, steps) in given.items():
        if len(values) < steps:
            raise ValueError(f"Length of {what} ({len(values)}) must be at least that of last bucket ({steps}).")
    outputs, losses = [], []
    with op_scope([*encoder_inputs, *decoder_inputs, *targets, *weights], name, "model_with_buckets"):
        for index, (read, written) in enumerate(buckets):
            with variable_scope(get_variable_scope(), reuse=True if index else None):
                made, _ = seq2seq(list(encoder_inputs[:read]), list(decoder_inputs[:written]))
            outputs.append(made)
            part = made, targets[:written], weights[:written], num_decoder_symbols
            losses.append(sequence_loss(*part, softmax_loss_function=softmax_loss_function))
    return outputs, losses
