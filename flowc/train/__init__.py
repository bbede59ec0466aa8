"""`tf.train`: optimizers, and what a training loop needs around them."""

from typing import Any

from flowc.train.adagrad import AdagradOptimizer
from flowc.train.adam import AdamOptimizer
from flowc.train.checkpoint_files import CheckpointReader as NewCheckpointReader
from flowc.train.checkpoint_state import (
    checkpoint_exists,
    generate_checkpoint_state_proto,
    get_checkpoint_state,
    latest_checkpoint,
    update_checkpoint_state,
)
from flowc.train.coordinator import Coordinator
from flowc.train.ftrl import FtrlOptimizer
from flowc.train.gradient_descent import GradientDescentOptimizer
from flowc.train.input import (
    batch,
    batch_join,
    limit_epochs,
    match_filenames_once,
    range_input_producer,
    shuffle_batch,
    shuffle_batch_join,
    slice_input_producer,
    string_input_producer,
)
from flowc.train.learning_rate_decay import exponential_decay
from flowc.train.meta_graph import export_meta_graph
from flowc.train.momentum import MomentumOptimizer
from flowc.train.moving_averages import ExponentialMovingAverage
from flowc.train.optimizer import Optimizer
from flowc.train.queue_runner import QueueRunner, add_queue_runner, start_queue_runners
from flowc.train.rmsprop import RMSPropOptimizer
from flowc.train.saver import Saver, import_meta_graph
from flowc.train.summary_writer import SummaryWriter, summary_iterator
from flowc.train.training_util import global_step, write_graph

__all__ = [
    "AdagradOptimizer",
    "AdamOptimizer",
    "Coordinator",
    "ExponentialMovingAverage",
    "FtrlOptimizer",
    "GradientDescentOptimizer",
    "MomentumOptimizer",
    "NewCheckpointReader",
    "Optimizer",
    "QueueRunner",
    "RMSPropOptimizer",
    "Saver",
    "SummaryWriter",
    "add_queue_runner",
    "batch",
    "batch_join",
    "checkpoint_exists",
    "exponential_decay",
    "export_meta_graph",
    "generate_checkpoint_state_proto",
    "get_checkpoint_state",
    "global_step",
    "import_meta_graph",
    "latest_checkpoint",
    "limit_epochs",
    "match_filenames_once",
    "range_input_producer",
    "shuffle_batch",
    "shuffle_batch_join",
    "slice_input_producer",
    "start_queue_runners",
    "string_input_producer",
    "summary_iterator",
    "update_checkpoint_state",
    "write_graph",
]

# Messages of stored examples: classes of protocol buffers, made when they are first asked for.
_MESSAGES = (
    "BytesList",
    "Example",
    "Feature",
    "FeatureList",
    "FeatureLists",
    "Features",
    "FloatList",
    "Int64List",
    "SequenceExample",
)


def __getattr__(name: str) -> Any:
    if name not in _MESSAGES:
        raise AttributeError(f"module 'flowc.train' has no attribute {name!r}")
    from flowc.framework import protos

    return protos.message(name)
