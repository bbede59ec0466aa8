"""`tf.nn`: activations, losses, classification, embeddings, recurrent networks."""

from flowc.ops.activation_ops import elu, relu, relu6, softplus, softsign
from flowc.ops.candidate_sampling_ops import (
    all_candidate_sampler,
    compute_accidental_hits,
    fixed_unigram_candidate_sampler,
    learned_unigram_candidate_sampler,
    log_uniform_candidate_sampler,
    uniform_candidate_sampler,
)
from flowc.ops.conv_ops import conv2d, conv2d_transpose, depthwise_conv2d, separable_conv2d
from flowc.ops.embedding_ops import embedding_lookup_sparse
from flowc.ops.later_ops import batch_normalization, crelu
from flowc.ops.math_ops import sigmoid, tanh
from flowc.ops.nn_ops import (
    bias_add,
    dropout,
    embedding_lookup,
    l2_loss,
    l2_normalize,
    log_softmax,
    moments,
    relu_layer,
    sigmoid_cross_entropy_with_logits,
    softmax,
    softmax_cross_entropy_with_logits,
    sparse_softmax_cross_entropy_with_logits,
    xw_plus_b,
    zero_fraction,
)
from flowc.ops.normalization_ops import batch_norm_with_global_normalization, local_response_normalization, lrn
from flowc.ops.pooling_ops import avg_pool, max_pool, max_pool_with_argmax
from flowc.ops.sampled_losses import nce_loss, sampled_softmax_loss
from flowc.ops.top_k_ops import in_top_k, top_k
from flowc.rnn import rnn_cell, seq2seq, unrolled
from flowc.rnn.unrolled import bidirectional_rnn, with_last_state

__all__ = [
    "all_candidate_sampler",
    "avg_pool",
    "batch_norm_with_global_normalization",
    "batch_normalization",
    "bias_add",
    "bidirectional_rnn",
    "compute_accidental_hits",
    "conv2d",
    "conv2d_transpose",
    "crelu",
    "depthwise_conv2d",
    "dropout",
    "elu",
    "embedding_lookup",
    "embedding_lookup_sparse",
    "fixed_unigram_candidate_sampler",
    "in_top_k",
    "l2_loss",
    "l2_normalize",
    "learned_unigram_candidate_sampler",
    "local_response_normalization",
    "log_softmax",
    "log_uniform_candidate_sampler",
    "lrn",
    "max_pool",
    "max_pool_with_argmax",
    "moments",
    "nce_loss",
    "relu",
    "relu6",
    "relu_layer",
    "rnn",
    "rnn_cell",
    "sampled_softmax_loss",
    "separable_conv2d",
    "seq2seq",
    "sigmoid",
    "sigmoid_cross_entropy_with_logits",
    "softmax",
    "softmax_cross_entropy_with_logits",
    "softplus",
    "softsign",
    "sparse_softmax_cross_entropy_with_logits",
    "state_saving_rnn",
    "tanh",
    "top_k",
    "uniform_candidate_sampler",
    "xw_plus_b",
    "zero_fraction",
]

rnn = with_last_state(unrolled.rnn)
state_saving_rnn = with_last_state(unrolled.state_saving_rnn)
