"""Guide, chapter 2.4: a small network for MNIST, with summaries, checkpoints and evaluation on three splits.

    python fully_connected_feed.py
    tensorboard --logdir data

The loss is drawn to data/loss.png where there is matplotlib (pip install 'flowc[plot]'). Ctrl-C leaves a checkpoint;
the next run goes on from the latest one (`--noresume` begins anew).
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

import input_data
import mnist
import training
from tqdm import tqdm

import flowc as tf

flags = tf.app.flags
FLAGS = flags.FLAGS
flags.DEFINE_float("learning_rate", 0.01, "Initial learning rate.")
flags.DEFINE_integer("max_steps", 2000, "Number of steps to run the trainer.")
flags.DEFINE_integer("hidden1", 128, "Number of units in hidden layer 1.")
flags.DEFINE_integer("hidden2", 32, "Number of units in hidden layer 2.")
flags.DEFINE_integer("batch_size", 100, "Batch size. Must divide evenly into the dataset sizes.")
flags.DEFINE_string("train_dir", "data", "Directory to put the training data, the checkpoints and the events.")
flags.DEFINE_boolean("fake_data", False, "If true, uses fake data for unit testing.")
flags.DEFINE_boolean("resume", True, "If true, goes on from the latest checkpoint.")


class Model(NamedTuple):
    """What is fed, run and fetched."""

    images_placeholder: tf.Tensor
    labels_placeholder: tf.Tensor
    loss: tf.Tensor
    train_op: tf.Operation
    eval_correct: tf.Tensor
    summary_op: tf.Tensor


def placeholder_inputs(batch_size):
    """Placeholders for a batch: images, float32[batch_size, 784], and labels, int32[batch_size]."""
    images_placeholder = tf.placeholder(tf.float32, shape=(batch_size, mnist.IMAGE_PIXELS))
    labels_placeholder = tf.placeholder(tf.int32, shape=(batch_size,))
    return images_placeholder, labels_placeholder


def build_model():
    images_placeholder, labels_placeholder = placeholder_inputs(FLAGS.batch_size)
    logits = mnist.inference(images_placeholder, FLAGS.hidden1, FLAGS.hidden2)
    loss = mnist.loss(logits, labels_placeholder)
    train_op = mnist.training(loss, FLAGS.learning_rate)
    eval_correct = mnist.evaluation(logits, labels_placeholder)
    return Model(images_placeholder, labels_placeholder, loss, train_op, eval_correct, tf.merge_all_summaries())


def fill_feed_dict(data_set, model):
    """The feeds for the next batch of a data set."""
    images_feed, labels_feed = data_set.next_batch(FLAGS.batch_size, FLAGS.fake_data)
    return {model.images_placeholder: images_feed, model.labels_placeholder: labels_feed}


def do_eval(sess, model, data_set):
    """Prints, and returns, how much of a data set is recognised."""
    true_count = 0
    steps_per_epoch = data_set.num_examples // FLAGS.batch_size
    num_examples = steps_per_epoch * FLAGS.batch_size
    for _ in range(steps_per_epoch):
        true_count += sess.run(model.eval_correct, feed_dict=fill_feed_dict(data_set, model))
    precision = true_count / num_examples
    tqdm.write(f"  Num examples: {num_examples}  Num correct: {true_count}  Precision @ 1: {precision:0.04f}")
    return precision


def evaluate(sess, model, data_sets):
    """The precision on the test data, after that on the others was printed."""
    precision = 0.0
    for name, data_set in zip(("Training", "Validation", "Test"), data_sets, strict=True):
        tqdm.write(f"{name} Data Eval:")
        precision = do_eval(sess, model, data_set)
    return precision


def train(sess, model, data_sets, saver, first_step):
    """Trains from `first_step` on; returns the precision on the test data."""
    batch_size, max_steps = FLAGS.batch_size, FLAGS.max_steps
    progress = tqdm(total=max_steps * batch_size, initial=first_step * batch_size, unit="examples", unit_scale=True)
    losses = []
    with progress, tf.train.SummaryWriter(FLAGS.train_dir, graph_def=sess.graph_def) as summary_writer:
        start_time = time.time()
        for step in range(first_step, max_steps):
            feed_dict = fill_feed_dict(data_sets.train, model)
            _, loss_value = sess.run([model.train_op, model.loss], feed_dict=feed_dict)
            progress.update(batch_size)
            if step % 100 == 0:
                duration, start_time = time.time() - start_time, time.time()
                tqdm.write(f"Step {step}: loss = {loss_value:.2f} ({duration:.3f} sec)")
                progress.set_postfix(loss=f"{loss_value:.2f}")
                losses.append((step, float(loss_value)))
                summary_writer.add_summary(sess.run(model.summary_op, feed_dict=feed_dict), step)
            if (step + 1) % 1000 == 0 and step + 1 < max_steps:
                save(sess, saver)
                evaluate(sess, model, data_sets)
        save(sess, saver)
        training.draw_losses(losses, Path(FLAGS.train_dir, "loss.png"), "cross entropy")
        return evaluate(sess, model, data_sets)


def save(sess, saver):
    return saver.save(sess, os.path.join(FLAGS.train_dir, "model.ckpt"), global_step="global_step:0")


def restore_latest(sess, saver):
    """Restores the latest checkpoint, if there is one; returns the step to go on from."""
    state = tf.train.get_checkpoint_state(FLAGS.train_dir) if FLAGS.resume else None
    if state is None:
        return 0
    saver.restore(sess, state.model_checkpoint_path)
    saver.set_last_checkpoints(state.all_model_checkpoint_paths)
    print(f"Goes on from {state.model_checkpoint_path}")
    return tf.train.global_step(sess, "global_step:0")


def run_training():
    """Trains, and returns the precision on the test data; None if it was interrupted."""
    data_sets = input_data.read_data_sets(FLAGS.train_dir, FLAGS.fake_data)
    with tf.Graph().as_default(), tf.Session() as sess:
        model = build_model()
        saver = tf.train.Saver()
        sess.run(tf.initialize_all_variables())
        first_step = restore_latest(sess, saver)
        try:
            return train(sess, model, data_sets, saver, first_step)
        except KeyboardInterrupt:
            print(f"\nStopped: the next run goes on from {save(sess, saver)}")
            return None


def main(_):
    run_training()


if __name__ == "__main__":
    tf.app.run()
