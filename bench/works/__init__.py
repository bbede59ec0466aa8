"""The works, one module each: the same computation in flowc, TensorFlow 2, JAX and PyTorch, side by side."""

from __future__ import annotations

from importlib import import_module

from bench.work import Work

#: In the order of the report. A module's name is its work's. The last is a yardstick, timed beside another.
NAMES = (
    "dispatch",
    "line_fit",
    "counter",
    "chain",
    "softmax",
    "layer_norm",
    "mul_add",
    "mnist_softmax",
    "mlp",
    "deep_mnist",
    "deep_mnist_classify_50",
    "deep_mnist_classify_1",
    "conv_layer",
    "conv_alexnet",
    "conv_vgg_a",
    "skinny_matmul",
    "cifar10",
    "cifar10_pipeline",
    "cifar10_piped",
    "language_model",
    "word2vec",
    "adam",
    "mandelbrot",
    "pde",
    "small_ops",
    "gradients",
    "while_loop",
    "py_func",
    "queue",
    "triad",
)


def load(name: str) -> Work:
    """The work called `name`."""
    if name not in NAMES:
        raise ValueError(f"no work called {name!r}; there are {', '.join(NAMES)}")
    work = import_module(f"bench.works.{name}").WORK
    assert isinstance(work, Work)
    return work
