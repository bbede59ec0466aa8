"""Guide, chapter 2.4: the network of `fully_connected_feed.py`, in the stages inference, loss, training, evaluation."""

import math

import flowc as tf

NUM_CLASSES = 10
IMAGE_SIZE = 28
IMAGE_PIXELS = IMAGE_SIZE * IMAGE_SIZE


def _layer(inputs, units, name, activation=None):
    """`activation(inputs · weights + biases)`; its variables are `<name>/weights` and `<name>/biases`."""
    size = inputs.get_shape()[1].value
    with tf.name_scope(name):
        initial = tf.truncated_normal([size, units], stddev=1.0 / math.sqrt(float(size)))
        weights = tf.Variable(initial, name="weights")
        biases = tf.Variable(tf.zeros([units]), name="biases")
        outputs = tf.matmul(inputs, weights) + biases
        return outputs if activation is None else activation(outputs)


def inference(images, hidden1_units, hidden2_units):
    """The logits, [batch, 10], of images, [batch, 784]: two layers of relu and a linear one."""
    hidden1 = _layer(images, hidden1_units, "hidden1", tf.nn.relu)
    hidden2 = _layer(hidden1, hidden2_units, "hidden2", tf.nn.relu)
    return _layer(hidden2, NUM_CLASSES, "softmax_linear")


def loss(logits, labels):
    """The mean cross entropy of logits, [batch, 10], with labels, int32[batch]."""
    batch_size = tf.size(labels)
    labels = tf.expand_dims(labels, 1)
    indices = tf.expand_dims(tf.range(0, batch_size, 1), 1)
    concated = tf.concat(1, [indices, labels])
    onehot_labels = tf.sparse_to_dense(concated, tf.pack([batch_size, NUM_CLASSES]), 1.0, 0.0)
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits(logits, onehot_labels, name="xentropy")
    return tf.reduce_mean(cross_entropy, name="xentropy_mean")


def training(loss, learning_rate):
    """The operation that makes one step of gradient descent and counts it in the variable `global_step`."""
    tf.scalar_summary(loss.op.name, loss)
    optimizer = tf.train.GradientDescentOptimizer(learning_rate)
    global_step = tf.Variable(0, name="global_step", trainable=False)
    return optimizer.minimize(loss, global_step=global_step)


def evaluation(logits, labels):
    """How many of the batch have their label first among the logits."""
    correct = tf.nn.in_top_k(logits, labels, 1)
    return tf.reduce_sum(tf.cast(correct, tf.int32))
