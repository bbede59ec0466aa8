"""Guide, chapter 3.1: variables that are created, initialised, saved, and restored into another model.

python variables.py [folder]
"""

import argparse
import os

import flowc as tf


def save_a_model(path):
    """Creates and initialises variables, one of them from another, and saves all; returns the checkpoint's path."""
    with tf.Graph().as_default():
        weights = tf.Variable(tf.random_normal([784, 200], stddev=0.35), name="weights")
        tf.Variable(tf.zeros([200]), name="biases")
        # Initializers run in no given order: one that needs another variable's value asks for its initial value.
        tf.Variable(weights.initialized_value() * 2.0, name="w_twice")

        init_op = tf.initialize_all_variables()
        missing = tf.report_uninitialized_variables()
        saver = tf.train.Saver()

        with tf.Session() as sess:
            print("Before initialisation, without a value:", *(name.decode() for name in sess.run(missing)))
            sess.run(init_op)
            save_path = saver.save(sess, path)
            print("Model saved in file:", save_path)
            return save_path


def restore_parts(save_path):
    """Restores two of the saved variables, one by another name; a third is not in the file."""
    with tf.Graph().as_default():
        params = tf.Variable(tf.zeros([784, 200]), name="params")
        biases = tf.Variable(tf.ones([200]), name="biases")
        scale = tf.Variable(3.0, name="scale")
        saver = tf.train.Saver({"weights": params, "biases": biases})

        with tf.Session() as sess:
            # What is restored need not be initialised; the rest must be.
            sess.run(tf.initialize_variables([scale]))
            saver.restore(sess, save_path)
            print("Model restored.")
            deviation, largest, factor = sess.run(
                [tf.sqrt(tf.reduce_mean(tf.square(params))), tf.reduce_max(tf.abs(biases)), scale]
            )
            print(f"weights: standard deviation {deviation:.2f}; biases: at most {largest:.0f}; scale: {factor:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=".", help="where to put the checkpoint (default: here)")
    folder = parser.parse_args().folder
    os.makedirs(folder, exist_ok=True)
    restore_parts(save_a_model(os.path.join(folder, "model.ckpt")))


if __name__ == "__main__":
    main()
