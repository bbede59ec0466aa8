"""Decoders that look back: at each step they weigh what the encoder put out, and read the weighted sum.

Source: O. Vinyals and others, "Grammar as a foreign language", 2014, http://arxiv.org/abs/1412.7449.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import float32
from flowc.framework.graph import Tensor
from flowc.ops.array_ops import expand_dims, reshape, shape, stop_gradient
from flowc.ops.constant_ops import zeros
from flowc.ops.joining_ops import concat, pack
from flowc.ops.math_ops import tanh
from flowc.ops.matmul_ops import matmul
from flowc.ops.nn_ops import embedding_lookup, softmax
from flowc.ops.reduction_ops import reduce_sum
from flowc.rnn.cells import RNNCell
from flowc.rnn.decoders import LoopFunction, check_projection, decoded, fed_back
from flowc.rnn.linear import linear
from flowc.rnn.unrolled import Sequences, rnn
from flowc.rnn.wrappers import EmbeddingWrapper, OutputProjectionWrapper
from flowc.variable_scope import get_variable, get_variable_scope, variable_scope

__all__ = ["attention_decoder", "embedding_attention_decoder", "embedding_attention_seq2seq"]


class _Heads:
    """Ways to look at the encoder's outputs [batch, length, size], each with weights of its own."""

    def __init__(self, attended: Tensor, count: int) -> None:
        sizes = attended.get_shape().with_rank(3).as_list()
        if sizes[1] is None or sizes[2] is None:
            raise ValueError(f"Shape[1] and [2] of attention_states must be known: {sizes}")
        self.attended, self.count, self.length, self.size = attended, count, sizes[1], sizes[2]
        rows = reshape(attended, [-1, self.size])
        self._keys, self._scales = [], []
        for head in range(count):
            weights = get_variable(f"AttnW_{head}", [1, 1, self.size, self.size])
            self._keys.append(reshape(matmul(rows, reshape(weights, [self.size, self.size])), [-1, *sizes[1:]]))
            self._scales.append(get_variable(f"AttnV_{head}", [self.size]))

    def look(self, query: Tensor) -> list[Tensor]:
        """What each head reads: v · tanh(W₁ · attended + W₂ · query) says how much of each."""
        read = []
        for head in range(self.count):
            with variable_scope(f"Attention_{head}"):
                place = expand_dims(linear(query, self.size, True), 1)
                weights = softmax(reduce_sum(self._scales[head] * tanh(self._keys[head] + place), 2))
                read.append(reduce_sum(expand_dims(weights, 2) * self.attended, 1))
        return read


def attention_decoder(
    decoder_inputs: Sequence[Any],
    initial_state: Any,
    attention_states: Any,
    cell: RNNCell,
    output_size: int | None = None,
    num_heads: int = 1,
    loop_function: LoopFunction | None = None,
    dtype: Any = float32,
    scope: Any = None,
) -> Sequences:
    """A decoder of vectors with attention.

    Args:
        decoder_inputs: a list of tensors [batch, cell.input_size].
        initial_state: shape [batch, cell.state_size].
        attention_states: what is attended to, shape [batch, length, size].
        cell: an RNNCell.
        output_size: the width of the outputs, by default `cell.output_size`.
        num_heads: how many times it looks, each in its own way.
        loop_function: makes each input but the first from the last output and the number of the step; None: they are
            those given.
        dtype: the type of what is read before the first step, which is zeros.
        scope: the variables' scope, by default "attention_decoder".

    Returns:
        A pair: outputs [batch, output_size], one a step, and the states, the first one and one after each step.

    Raises:
        ValueError: no inputs or no heads, or unknown sizes of `attention_states`.
    """
    if not decoder_inputs:
        raise ValueError("Must provide at least 1 input to attention decoder.")
    if num_heads < 1:
        raise ValueError("With less than 1 heads, use a non-attention decoder.")
    width = cell.output_size if output_size is None else output_size
    with variable_scope(scope or "attention_decoder"):
        heads = _Heads(convert_to_tensor(attention_states), num_heads)
        read = [_nothing(decoder_inputs[0], heads.size, dtype) for _ in range(num_heads)]
        states, outputs = [initial_state], list[Tensor]()
        for step, given in enumerate(decoder_inputs):
            if step > 0:
                get_variable_scope().reuse_variables()
            step_input = given
            if loop_function is not None and outputs:
                with variable_scope("loop_function", reuse=True):
                    step_input = stop_gradient(loop_function(outputs[-1], step))
            made, state = cell(linear([step_input, *read], cell.input_size, True), states[-1])
            read = heads.look(state)
            with variable_scope("AttnOutputProjection"):
                outputs.append(linear([made, *read], width, True))
            states.append(state)
    return outputs, states


def _nothing(like: Any, size: int, dtype: Any) -> Tensor:
    """Zeros [batch, size]: what was read before the first step."""
    batch = like.get_shape()[0].value
    result = zeros(pack([shape(like)[0], size]) if batch is None else [batch, size], dtype)
    result.set_shape([None, size])
    return result


def embedding_attention_decoder(
    decoder_inputs: Sequence[Any],
    initial_state: Any,
    attention_states: Any,
    cell: RNNCell,
    num_symbols: int,
    num_heads: int = 1,
    output_size: int | None = None,
    output_projection: tuple[Any, Any] | None = None,
    feed_previous: bool = False,
    dtype: Any = float32,
    scope: Any = None,
) -> Sequences:
    """A decoder of symbols, int32 [batch] each, with attention.

    Arguments as for `attention_decoder` and `flowc.rnn.decoders.embedding_rnn_decoder`.
    """
    width = cell.output_size if output_size is None else output_size
    check_projection(output_projection, width, num_symbols)
    with variable_scope(scope or "embedding_attention_decoder"):
        embedding = get_variable("embedding", [num_symbols, cell.input_size])
        following = fed_back(embedding, output_projection) if feed_previous else None
        embedded = [embedding_lookup(embedding, symbols) for symbols in decoder_inputs]
        return attention_decoder(embedded, initial_state, attention_states, cell, width, num_heads, following, dtype)


def embedding_attention_seq2seq(
    encoder_inputs: Sequence[Any],
    decoder_inputs: Sequence[Any],
    cell: RNNCell,
    num_encoder_symbols: int,
    num_decoder_symbols: int,
    num_heads: int = 1,
    output_projection: tuple[Any, Any] | None = None,
    feed_previous: Any = False,
    dtype: Any = float32,
    scope: Any = None,
) -> Sequences:
    """An encoder and a decoder of symbols, with attention to all that the encoder put out.

    Arguments as for `attention_decoder` and `flowc.rnn.decoders.embedding_rnn_seq2seq`.
    """
    with variable_scope(scope or "embedding_attention_seq2seq"):
        encoder = EmbeddingWrapper(cell, num_encoder_symbols)
        encoded, states = rnn(encoder, list(encoder_inputs), dtype=dtype)
        attended = concat(1, [reshape(output, [-1, 1, cell.output_size]) for output in encoded])
        output_size = None
        if output_projection is None:
            cell = OutputProjectionWrapper(cell, num_decoder_symbols)
            output_size = num_decoder_symbols

        def decoder(feeds_previous: bool) -> Sequences:
            return embedding_attention_decoder(
                decoder_inputs, states[-1], attended, cell, num_decoder_symbols, num_heads, output_size,
                output_projection, feeds_previous, dtype,
            )  # fmt: skip

        return decoded(decoder, feed_previous)
