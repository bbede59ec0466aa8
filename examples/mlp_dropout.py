"""A network of two hidden layers with dropout, trained on MNIST by Adam: 97.8 % of the test images are recognised.

python mlp_dropout.py [--steps 3000]
"""

import argparse

import input_data

import flowc as tf

LAYERS = [784, 256, 128, 10]
BATCH = 100


def layer(inputs: tf.Tensor, rows: int, columns: int, name: str) -> tf.Tensor:
    """An affine layer: inputs [n, rows] times weights [rows, columns] plus a bias."""
    with tf.name_scope(name):
        weights = tf.Variable(tf.truncated_normal([rows, columns], stddev=(2.0 / rows) ** 0.5), name="weights")
        bias = tf.Variable(tf.zeros([columns]), name="bias")
        return tf.matmul(inputs, weights) + bias


def network(images: tf.Tensor, keep_prob: tf.Tensor) -> tf.Tensor:
    """The logits [n, 10] for images [n, 784]; a unit is kept with the probability `keep_prob`."""
    hidden1 = tf.nn.relu(layer(images, LAYERS[0], LAYERS[1], "hidden1"))
    hidden2 = tf.nn.relu(layer(tf.nn.dropout(hidden1, keep_prob), LAYERS[1], LAYERS[2], "hidden2"))
    return layer(tf.nn.dropout(hidden2, keep_prob), LAYERS[2], LAYERS[3], "logits")


def train(steps: int) -> float:
    """Train for `steps` batches; print the accuracy now and then and return that on the test set."""
    mnist = input_data.read_data_sets("MNIST_data", one_hot=True)
    images = tf.placeholder(tf.float32, [None, 784])
    labels = tf.placeholder(tf.float32, [None, 10])
    keep_prob = tf.placeholder(tf.float32)

    logits = network(images, keep_prob)
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(logits, labels))
    train_step = tf.train.AdamOptimizer(1e-3).minimize(loss)
    correct = tf.equal(tf.argmax(logits, 1), tf.argmax(labels, 1))
    accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))

    def score(data: input_data.DataSet) -> float:
        return sess.run(accuracy, feed_dict={images: data.images, labels: data.labels, keep_prob: 1.0})

    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        for step in range(1, steps + 1):
            batch = mnist.train.next_batch(BATCH)
            sess.run(train_step, feed_dict={images: batch[0], labels: batch[1], keep_prob: 0.8})
            if step % 500 == 0:
                print(f"step {step}: {score(mnist.validation):.4f} of the validation set")
        return score(mnist.test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    print(f"test accuracy: {train(parser.parse_args().steps):.4f}")


if __name__ == "__main__":
    main()
