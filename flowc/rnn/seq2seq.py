"""`tf.nn.seq2seq`: networks that make sequences from sequences, and their losses.

Each network returns its outputs, one a step, and its last state. `flowc.models.rnn.seq2seq` has the same functions as
version 0.6 of the API had them, with the states of all steps.
"""

from flowc.rnn import attention, decoders
from flowc.rnn.losses import model_with_buckets, sequence_loss, sequence_loss_by_example
from flowc.rnn.unrolled import with_last_state

__all__ = [
    "attention_decoder",
    "basic_rnn_seq2seq",
    "embedding_attention_decoder",
    "embedding_attention_seq2seq",
    "embedding_rnn_decoder",
    "embedding_rnn_seq2seq",
    "embedding_tied_rnn_seq2seq",
    "model_with_buckets",
    "rnn_decoder",
    "sequence_loss",
    "sequence_loss_by_example",
    "tied_rnn_seq2seq",
]

attention_decoder = with_last_state(attention.attention_decoder)
basic_rnn_seq2seq = with_last_state(decoders.basic_rnn_seq2seq)
embedding_attention_decoder = with_last_state(attention.embedding_attention_decoder)
embedding_attention_seq2seq = with_last_state(attention.embedding_attention_seq2seq)
embedding_rnn_decoder = with_last_state(decoders.embedding_rnn_decoder)
embedding_rnn_seq2seq = with_last_state(decoders.embedding_rnn_seq2seq)
embedding_tied_rnn_seq2seq = with_last_state(decoders.embedding_tied_rnn_seq2seq)
rnn_decoder = with_last_state(decoders.rnn_decoder)
tied_rnn_seq2seq = with_last_state(decoders.tied_rnn_seq2seq)
