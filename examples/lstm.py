"""An LSTM of 28 unrolled steps that reads a digit row by row, built from basic ops: 97 % on MNIST.

    python lstm.py [--steps 1000]

The cell: S. Hochreiter, J. Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers et al., 2000.
"""

import argparse

import input_data
import numpy as np

import flowc as tf

ROWS, COLUMNS = 28, 28
UNITS = 64
CLASSES = 10
BATCH = 100


def parameters() -> dict[str, tf.Variable]:
    """The variables: one matrix and bias for the four gates, and the output layer. The forget gate starts open."""
    fan_in = COLUMNS + UNITS
    gate_bias = np.repeat(np.float32([0, 0, 1, 0]), UNITS)
    return {
        "gates": tf.Variable(tf.truncated_normal([fan_in, 4 * UNITS], stddev=fan_in**-0.5), name="gates"),
        "gate_bias": tf.Variable(gate_bias, name="gate_bias"),
        "output": tf.Variable(tf.truncated_normal([UNITS, CLASSES], stddev=UNITS**-0.5), name="output"),
        "output_bias": tf.Variable(tf.zeros([CLASSES]), name="output_bias"),
    }


def cell(
    row: tf.Tensor, hidden: tf.Tensor, memory: tf.Tensor, variables: dict[str, tf.Variable]
) -> tuple[tf.Tensor, tf.Tensor]:
    """One step: the new hidden state and memory, [BATCH, UNITS] each, after reading `row`, [BATCH, COLUMNS]."""
    summed = tf.matmul(tf.concat(1, [row, hidden]), variables["gates"]) + variables["gate_bias"]
    candidate, input_gate, forget_gate, output_gate = tf.split(1, 4, summed)
    memory = tf.sigmoid(forget_gate) * memory + tf.sigmoid(input_gate) * tf.tanh(candidate)
    return tf.sigmoid(output_gate) * tf.tanh(memory), memory


def network(images: tf.Tensor, variables: dict[str, tf.Variable]) -> tf.Tensor:
    """The logits [BATCH, 10] for images [BATCH, 784], from the hidden state after the last row."""
    hidden = memory = tf.zeros([BATCH, UNITS])
    for row in tf.split(1, ROWS, images):
        hidden, memory = cell(row, hidden, memory, variables)
    return tf.matmul(hidden, variables["output"]) + variables["output_bias"]


def train(steps: int) -> float:
    """Train for `steps` batches; print the loss now and then and return the accuracy on the test set."""
    mnist = input_data.read_data_sets("MNIST_data", one_hot=True)
    images = tf.placeholder(tf.float32, [BATCH, ROWS * COLUMNS])
    labels = tf.placeholder(tf.float32, [BATCH, CLASSES])

    variables = parameters()
    logits = network(images, variables)
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(logits, labels))
    trained = list(variables.values())
    gradients = tf.gradients(loss, trained)
    train_step = tf.train.AdamOptimizer(3e-3).apply_gradients(list(zip(gradients, trained, strict=True)))
    correct = tf.equal(tf.argmax(logits, 1), tf.argmax(labels, 1))
    accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))

    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        for step in range(1, steps + 1):
            batch = mnist.train.next_batch(BATCH)
            _, loss_now = sess.run([train_step, loss], feed_dict={images: batch[0], labels: batch[1]})
            if step % 100 == 0:
                print(f"step {step}: loss {loss_now:.4f}")
        scores = []
        for start in range(0, mnist.test.num_examples, BATCH):
            chosen = slice(start, start + BATCH)
            feeds = {images: mnist.test.images[chosen], labels: mnist.test.labels[chosen]}
            scores.append(sess.run(accuracy, feed_dict=feeds))
        return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    print(f"test accuracy: {train(parser.parse_args().steps):.4f}")


if __name__ == "__main__":
    main()
