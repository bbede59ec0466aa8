"""t-SNE: points of many dimensions in a plane, near each other where they are near. A helper of `word2vec.py`.

The embedding is found by gradient descent on a flowc graph; `tf.gradients` derives what the paper derives by hand.

Source: L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", 2008.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import flowc as tf

Points = npt.NDArray[np.float32]
EXAGGERATION, EXAGGERATED_STEPS = 12.0, 100  # at first, clusters are drawn together
SMALLEST = 1e-12


def embed(points: Points, perplexity: float = 20.0, steps: int = 500, seed: int = 0) -> Points:
    """Points [n, dimensions] as points [n, 2]; `perplexity`: about how many neighbours each is to keep."""
    closeness = neighbourhoods(points, perplexity)
    rate = len(points) / EXAGGERATION  # as gradients are the smaller, the more points share the closeness
    with tf.Graph().as_default(), tf.Session() as sess:
        exaggeration = tf.placeholder(tf.float32, [])
        start = np.random.default_rng(seed).normal(0, 1e-4, (len(points), 2)).astype(np.float32)
        places = tf.Variable(start)
        loss = divergence(tf.constant(closeness) * exaggeration, places)
        early = tf.train.MomentumOptimizer(rate, 0.5).minimize(loss)
        late = tf.train.MomentumOptimizer(rate, 0.8).minimize(loss)
        sess.run(tf.initialize_all_variables())
        for step in range(steps):
            first = step < EXAGGERATED_STEPS
            sess.run(early if first else late, {exaggeration: EXAGGERATION if first else 1.0})
        return sess.run(places)


def divergence(closeness: tf.Tensor, places: tf.Variable) -> tf.Tensor:
    """How far the closeness of places in the plane is from what it should be: Kullback and Leibler's divergence."""
    affinity = 1.0 / (1.0 + squared_distances(places))
    affinity *= 1.0 - np.eye(places.get_shape()[0].value, dtype=np.float32)
    share = affinity / tf.reduce_sum(affinity)
    return tf.reduce_sum(closeness * tf.log(tf.maximum(closeness, SMALLEST) / tf.maximum(share, SMALLEST)))


def squared_distances(places: tf.Variable) -> tf.Tensor:
    """[n, n], of points [n, dimensions]."""
    difference = tf.expand_dims(places, 1) - tf.expand_dims(places, 0)
    return tf.reduce_sum(tf.square(difference), 2)


def neighbourhoods(points: Points, perplexity: float) -> Points:
    """How much each two points are neighbours, [n, n], in sum 1: by normal distributions around each of them, so wide
    that their entropy is the logarithm of `perplexity`."""
    lengths = np.sum(points * points, 1)
    squared = np.maximum(lengths[:, None] + lengths[None, :] - 2 * points @ points.T, 0).astype(np.float64)
    np.fill_diagonal(squared, np.inf)
    narrow, wide = np.zeros((len(points), 1)), np.full((len(points), 1), np.inf)
    precision = np.ones((len(points), 1))
    for _ in range(60):  # bisection, of all points at once
        weight = np.exp(-precision * (squared - squared.min(1, keepdims=True)))
        share = weight / weight.sum(1, keepdims=True)
        entropy = -np.sum(share * np.log(np.maximum(share, SMALLEST)), 1, keepdims=True)
        too_wide = entropy > np.log(perplexity)
        narrow, wide = np.where(too_wide, precision, narrow), np.where(too_wide, wide, precision)
        precision = np.where(np.isinf(wide), 2 * precision, (narrow + np.minimum(wide, 1e300)) / 2)
    return ((share + share.T) / (2 * len(points))).astype(np.float32)
