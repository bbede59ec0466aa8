"""`tf.train`: optimizers, and what a training loop needs around them."""

from flowc.train.adagrad import AdagradOptimizer
from flowc.train.adam import AdamOptimizer
from flowc.train.ftrl import FtrlOptimizer
from flowc.train.gradient_descent import GradientDescentOptimizer
from flowc.train.learning_rate_decay import exponential_decay
from flowc.train.momentum import MomentumOptimizer
from flowc.train.optimizer import Optimizer
from flowc.train.rmsprop import RMSPropOptimizer

__all__ = [
    "AdagradOptimizer",
    "AdamOptimizer",
    "FtrlOptimizer",
    "GradientDescentOptimizer",
    "MomentumOptimizer",
    "Optimizer",
    "RMSPropOptimizer",
    "exponential_decay",
]
