"""Sequences from sequences: an encoder reads one, and from its last state a decoder makes the other.

Sequences of vectors are lists of tensors [batch, size], sequences of symbols lists of int32 tensors [batch], one a
step. Every function gives the decoder's outputs, one a step, and its states: the first one and one after each step.

With `feed_previous`, a bool or a bool scalar tensor, a decoder is fed what it put out last, after the first symbol
("GO"), as when it is used; without it, the symbols given, as in training.

Source: I. Sutskever, O. Vinyals, Q. Le, "Sequence to sequence learning with neural networks", 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import float32
from flowc.framework.graph import Tensor
from flowc.ops.array_ops import stop_gradient
from flowc.ops.logic_ops import select
from flowc.ops.nn_ops import embedding_lookup, xw_plus_b
from flowc.ops.reduction_ops import argmax
from flowc.rnn.cells import RNNCell
from flowc.rnn.unrolled import Sequences, rnn
from flowc.rnn.wrappers import EmbeddingWrapper, OutputProjectionWrapper
from flowc.variable_scope import get_variable, get_variable_scope, variable_scope
from flowc.variables import Variable

__all__ = [
    "basic_rnn_seq2seq",
    "embedding_rnn_decoder",
    "embedding_rnn_seq2seq",
    "embedding_tied_rnn_seq2seq",
    "rnn_decoder",
    "tied_rnn_seq2seq",
]

LoopFunction = Callable[[Tensor, int], Any]  # (last output, step) -> next input


def rnn_decoder(
    decoder_inputs: Sequence[Any],
    initial_state: Any,
    cell: RNNCell,
    loop_function: LoopFunction | None = None,
    scope: Any = None,
) -> Sequences:
    """A decoder: `cell` at each step, from `initial_state` on.

    Args:
        decoder_inputs: a list of tensors [batch, cell.input_size].
        initial_state: shape [batch, cell.state_size].
        cell: an RNNCell.
        loop_function: makes each input but the first from the last output and the number of the step; None: they are
            those given.
        scope: the variables' scope, by default "rnn_decoder".
    """
    states, outputs = [initial_state], list[Tensor]()
    with variable_scope(scope or "rnn_decoder"):
        for step, given in enumerate(decoder_inputs):
            step_input = given
            if loop_function is not None and outputs:
                with variable_scope("loop_function", reuse=True):
                    step_input = stop_gradient(loop_function(outputs[-1], step))
            if step > 0:
                get_variable_scope().reuse_variables()
            output, state = cell(step_input, states[-1])
            outputs.append(output)
            states.append(state)
    return outputs, states


def basic_rnn_seq2seq(
    encoder_inputs: Sequence[Any], decoder_inputs: Sequence[Any], cell: RNNCell, dtype: Any = float32, scope: Any = None
) -> Sequences:
    """An encoder and a decoder with cells of one kind, but variables of their own; of vectors."""
    with variable_scope(scope or "basic_rnn_seq2seq"):
        _, states = rnn(cell, list(encoder_inputs), dtype=dtype)
        return rnn_decoder(decoder_inputs, states[-1], cell)


def tied_rnn_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    cell: RNNCell,
    loop_function: LoopFunction | None = None,
    dtype: Any = float32,
    scope: Any = None,
) -> Sequences:
    """An encoder and a decoder that share their variables, in the scope "tied_rnn_seq2seq"; of vectors."""
    with variable_scope(scope or "combined_tied_rnn_seq2seq"):
        shared = scope or "tied_rnn_seq2seq"
        _, states = rnn(cell, list(encoder_inputs), dtype=dtype, scope=shared)
        get_variable_scope().reuse_variables()
        return rnn_decoder(decoder_inputs, states[-1], cell, loop_function, shared)


# -- of symbols --------------------------------------------------------------------------------------------------------


def embedding_rnn_decoder(
    decoder_inputs: Sequence[Any],
    initial_state: Any,
    cell: RNNCell,
    num_symbols: int,
    output_projection: tuple[Any, Any] | None = None,
    feed_previous: bool = False,
    scope: Any = None,
) -> Sequences:
    """A decoder of symbols, which it embeds as vectors of width `cell.input_size`.

    Args:
        decoder_inputs: symbols.
        initial_state: shape [batch, cell.state_size].
        cell: an RNNCell.
        num_symbols: how many symbols there are.
        output_projection: weights [cell.output_size, num_symbols] and biases [num_symbols] by which outputs become
            scores of symbols; None: they are such scores. Only with `feed_previous`.
        feed_previous: see the module's documentation; a bool.
        scope: the variables' scope, by default "embedding_rnn_decoder".

    Raises ValueError for a projection whose shapes do not fit.
    """
    check_projection(output_projection, cell.output_size, num_symbols)
    with variable_scope(scope or "embedding_rnn_decoder"):
        embedding = get_variable("embedding", [num_symbols, cell.input_size])
        following = fed_back(embedding, output_projection) if feed_previous else None
        embedded = [embedding_lookup(embedding, symbols) for symbols in decoder_inputs]
        return rnn_decoder(embedded, initial_state, cell, following)


def check_projection(projection: tuple[Any, Any] | None, width: int, num_symbols: int) -> None:
    """Raises ValueError unless weights and biases take outputs of `width` to scores of so many symbols."""
    if projection is not None:
        weights, biases = (convert_to_tensor(x) for x in projection)
        weights.get_shape().assert_is_compatible_with([width, num_symbols])
        biases.get_shape().assert_is_compatible_with([num_symbols])


def fed_back(embedding: Variable, projection: tuple[Any, Any] | None) -> LoopFunction:
    """The function that embeds the symbol with the greatest score in the last output. It passes no gradient on."""

    def embed_last(output: Tensor, _: int) -> Tensor:
        scores = output if projection is None else xw_plus_b(output, *projection)
        return embedding_lookup(embedding, stop_gradient(argmax(scores, 1)))

    return embed_last


def embedding_rnn_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    cell: RNNCell,
    num_encoder_symbols: int,
    num_decoder_symbols: int,
    output_projection: tuple[Any, Any] | None = None,
    feed_previous: Any = False,
    dtype: Any = float32,
    scope: Any = None,
) -> Sequences:
    """An encoder and a decoder of symbols, each with an embedding of its own.

    Arguments as for `embedding_rnn_decoder`. Without a projection, a layer makes scores of the outputs.
    """
    with variable_scope(scope or "embedding_rnn_seq2seq"):
        _, states = rnn(EmbeddingWrapper(cell, num_encoder_symbols), list(encoder_inputs), dtype=dtype)
        if output_projection is None:
            cell = OutputProjectionWrapper(cell, num_decoder_symbols)

        def decoder(feeds_previous: bool) -> Sequences:
            return embedding_rnn_decoder(
                decoder_inputs, states[-1], cell, num_decoder_symbols, output_projection, feeds_previous
            )

        return decoded(decoder, feed_previous)


def embedding_tied_rnn_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    cell: RNNCell,
    num_symbols: int,
    output_projection: tuple[Any, Any] | None = None,
    feed_previous: Any = False,
    dtype: Any = float32,
    scope: Any = None,
) -> Sequences:
    """An encoder and a decoder of symbols that share their variables, the embedding too.

    Arguments as for `embedding_rnn_decoder`. Without a projection, a layer makes scores of the outputs.
    """
    check_projection(output_projection, cell.output_size, num_symbols)
    with variable_scope(scope or "embedding_tied_rnn_seq2seq"):
        embedding = get_variable("embedding", [num_symbols, cell.input_size])
        read = [embedding_lookup(embedding, symbols) for symbols in encoder_inputs]
        given = [embedding_lookup(embedding, symbols) for symbols in decoder_inputs]
        if output_projection is None:
            cell = OutputProjectionWrapper(cell, num_symbols)

        def decoder(feeds_previous: bool) -> Sequences:
            following = fed_back(embedding, output_projection) if feeds_previous else None
            return tied_rnn_seq2seq(read, given, cell, following, dtype)

        return decoded(decoder, feed_previous)


def decoded(decoder: Callable[[bool], Sequences], feed_previous: Any) -> Sequences:
    """What a decoder makes, with `feed_previous` as a bool; where that is a tensor, both are built, and one chosen."""
    if isinstance(feed_previous, bool):
        return decoder(feed_previous)
    with_feedback = decoder(True)
    get_variable_scope().reuse_variables()
    without = decoder(False)
    outputs, states = (
        [select(feed_previous, *pair) for pair in zip(yes, no, strict=True)]
        for yes, no in zip(with_feedback, without, strict=True)
    )
    return outputs, states
