"""`tf.nn.rnn_cell`: the cells of recurrent networks, and cells around them."""

from flowc.rnn.cells import BasicLSTMCell, BasicRNNCell, GRUCell, LSTMCell, RNNCell
from flowc.rnn.linear import linear
from flowc.rnn.wrappers import (
    DropoutWrapper,
    EmbeddingWrapper,
    InputProjectionWrapper,
    MultiRNNCell,
    OutputProjectionWrapper,
)

__all__ = [
    "BasicLSTMCell",
    "BasicRNNCell",
    "DropoutWrapper",
    "EmbeddingWrapper",
    "GRUCell",
    "InputProjectionWrapper",
    "LSTMCell",
    "MultiRNNCell",
    "OutputProjectionWrapper",
    "RNNCell",
    "linear",
]
