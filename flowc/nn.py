"""`tf.nn`: activations, losses, classification, embeddings."""

from flowc.ops.activation_ops import elu, relu, relu6, softplus, softsign
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

__all__ = [
    "bias_add",
    "dropout",
    "elu",
    "embedding_lookup",
    "l2_loss",
    "l2_normalize",
    "log_softmax",
    "moments",
    "relu",
    "relu6",
    "relu_layer",
    "sigmoid",
    "sigmoid_cross_entropy_with_logits",
    "softmax",
    "softmax_cross_entropy_with_logits",
    "softplus",
    "softsign",
    "sparse_softmax_cross_entropy_with_logits",
    "tanh",
    "xw_plus_b",
    "zero_fraction",
]
