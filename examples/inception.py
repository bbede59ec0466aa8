"""A small network of Inception modules that recognises ten kinds of shapes and patterns, in pictures of any size.

Trained on images that are drawn on the way; leaves a graph definition, a checkpoint and the classes' names in a folder,
which `classify_image.py` and `deep_dream.py` load. Ctrl-C leaves a checkpoint, from which the next run goes on.

    python inception.py [--steps 800] [--folder inception]

Source: C. Szegedy and others, "Going deeper with convolutions", 2014.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import training

import flowc as tf
from flowc.models.image.cifar10 import make_data

SIZE = 32  # of the images that it is trained on
BATCH = 64
CLASSES = tuple(make_data.SHAPES)
GRAPH, NAMES = "graph.pb", "classes.txt"
LAYERS = ("conv1", "conv2", "mixed1", "mixed2", "mixed3")
OUTPUT = "output"  # of a layer: the tensor "mixed1/output:0"

Images = npt.NDArray[np.uint8]

# -- the network -------------------------------------------------------------------------------------------------------


def network(images: tf.Tensor) -> tf.Tensor:
    """The logits, [n, 10], of float32 images in 0 … 255, [n, height, width, 3]."""
    hidden = convolution("conv1", images / 64.0 - 2.0, 3, 24)
    hidden = pooled(convolution("conv2", hidden, 3, 48))
    hidden = pooled(inception("mixed1", hidden, single=16, triple=(16, 32), quintuple=(8, 16), projected=16))
    hidden = inception("mixed2", hidden, single=32, triple=(24, 48), quintuple=(8, 24), projected=24)
    hidden = inception("mixed3", hidden, single=32, triple=(32, 64), quintuple=(16, 32), projected=32)
    mean = tf.reduce_mean(hidden, [1, 2], name="mean")
    with tf.variable_scope("softmax_linear"):
        weights = tf.get_variable("weights", [depth(hidden), len(CLASSES)], initializer=spread(depth(hidden)))
        biases = tf.get_variable("biases", [len(CLASSES)], initializer=tf.constant_initializer(0.0))
        return tf.matmul(mean, weights) + biases


def inception(
    name: str, images: tf.Tensor, single: int, triple: tuple[int, int], quintuple: tuple[int, int], projected: int
) -> tf.Tensor:
    """Convolutions of several sizes side by side; pairs say how many channels a 1×1 one leaves before the other."""
    with tf.variable_scope(name):
        neighbourhood = tf.nn.max_pool(images, ksize=[1, 3, 3, 1], strides=[1, 1, 1, 1], padding="SAME")
        parts = [
            convolution("1x1", images, 1, single),
            convolution("3x3", convolution("to_3x3", images, 1, triple[0]), 3, triple[1]),
            convolution("5x5", convolution("to_5x5", images, 1, quintuple[0]), 5, quintuple[1]),
            convolution("pool", neighbourhood, 1, projected),
        ]
        return tf.concat(3, parts, name=OUTPUT)


def convolution(name: str, images: tf.Tensor, size: int, channels: int) -> tf.Tensor:
    """relu(images * filters + biases)."""
    with tf.variable_scope(name):
        shape = [size, size, depth(images), channels]
        filters = tf.get_variable("weights", shape, initializer=spread(size * size * depth(images)))
        biases = tf.get_variable("biases", [channels], initializer=tf.constant_initializer(0.0))
        convolved = tf.nn.conv2d(images, filters, [1, 1, 1, 1], padding="SAME")
        return tf.nn.relu(tf.nn.bias_add(convolved, biases), name=OUTPUT)


def pooled(images: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool(images, ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="SAME")


def depth(images: tf.Tensor) -> int:
    """How many channels they have."""
    return images.get_shape().as_list()[3]


def spread(inputs: int) -> Callable[..., Any]:
    """Initial weights at which relu keeps the signal's size, for sums of so many inputs."""
    return tf.truncated_normal_initializer(stddev=(2 / inputs) ** 0.5)


# -- training and saving -----------------------------------------------------------------------------------------------


def train(options: argparse.Namespace) -> None:
    """Trains the network, and saves it with its graph."""
    tf.set_random_seed(options.seed)
    random = np.random.default_rng(options.seed)
    images = tf.placeholder(tf.float32, [None, SIZE, SIZE, 3])
    labels = tf.placeholder(tf.int32, [None])
    logits = network(images)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(logits, labels))
    right = tf.reduce_mean(tf.cast(tf.nn.in_top_k(logits, labels, 1), tf.float32))
    global_step = tf.Variable(0, name="global_step", trainable=False)
    train_op = tf.train.AdamOptimizer(2e-3).minimize(loss, global_step=global_step)
    with tf.Session() as sess, training.Training(sess, global_step, options, BATCH) as loop:
        for _ in loop:
            pixels, classes = examples(BATCH, random)
            loop.note(sess.run([loss, train_op], {images: pixels, labels: classes})[0])
        pixels, classes = examples(500, random)
        print(f"accuracy on 500 new images: {sess.run(right, {images: pixels, labels: classes}):.3f}")
    save_graph(options.folder)
    training.draw_losses(loop.losses, options.folder / "loss.png", "loss")


def examples(count: int, random: np.random.Generator) -> tuple[Images, npt.NDArray[np.int64]]:
    """New images, and the numbers of their classes."""
    labels = random.integers(0, len(CLASSES), count)
    return make_data.draw(labels, SIZE, random), labels


def save_graph(folder: Path) -> None:
    """Writes the graph of the network without its training, and with operations that restore it; and the classes."""
    with tf.Graph().as_default() as graph:
        tf.nn.softmax(network(tf.placeholder(tf.float32, [None, None, None, 3], name="input")), name="softmax")
        tf.train.Saver()
        print("wrote", tf.train.write_graph(graph.as_graph_def(), str(folder), GRAPH, as_text=False))
    (folder / NAMES).write_text("".join(f"{name}\n" for name in CLASSES))


# -- loading -----------------------------------------------------------------------------------------------------------


def ready(folder: Path) -> None:
    """Trains a network into the folder, unless there is one."""
    if not (folder / GRAPH).exists():
        print(f"there is no network in {folder} yet: this trains one, as inception.py does, for some minutes")
        with tf.Graph().as_default():
            train(parser().parse_args(["--folder", str(folder)]))


def load(folder: Path, images: tf.Tensor, results: list[str]) -> list[tf.Tensor]:
    """Adds the network of a folder to the default graph, applied to `images`; the tensors of these names in it."""
    graph_def = tf.GraphDef.FromString((folder / GRAPH).read_bytes())
    return tf.import_graph_def(graph_def, input_map={"input:0": images}, return_elements=results, name="network")


def restore(folder: Path, sess: tf.Session) -> None:
    """Gives the variables of a graph that `load` added the values of the folder's checkpoint."""
    checkpoint = tf.train.latest_checkpoint(str(folder))
    sess.run("network/save/restore_all", {"network/save/Const:0": checkpoint})


def parser() -> argparse.ArgumentParser:
    return training.parser(__doc__, "inception", steps=800)


if __name__ == "__main__":
    train(parser().parse_args())
