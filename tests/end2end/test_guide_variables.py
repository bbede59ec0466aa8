"""The programs of the guide's chapter 3.1, letter for letter, and the statements of 2.4 that need a session.

What is changed: the import line, `print`, the dots that stand for a reader's own lines, and the folder `/tmp`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf

CREATION = """
# Create two variables.
weights = tf.Variable(tf.random_normal([784, 200], stddev=0.35), name
   = "weights")
biases = tf.Variable(tf.zeros([200]), name="biases")
"""

INITIALISATION = """
# Create two variables.
weights = tf.Variable(tf.random_normal([784, 200], stddev=0.35),
                      name="weights")
biases = tf.Variable(tf.zeros([200]), name="biases")
...
# Add an op to initialize the variables.
init_op = tf.initialize_all_variables()

# Later, when launching the model
with tf.Session() as sess:
    # Run the init operation.
    sess.run(init_op)
    ...
    # Use the model
    ...
    values = sess.run([weights, biases])
"""

FROM_ANOTHER = """
# Create a variable with a random value.
weights = tf.Variable(tf.random_normal([784, 200], stddev=0.35), name=
                      "weights")
# Create another variable with the same value as 'weights'.
w2 = tf.Variable(weights.initialized_value(), name="w2")
# Create another variable with twice the value of 'weights'
w_twice = tf.Variable(weights.initialized_value() * 0.2, name="
                      w_twice")
"""

SAVING = """
# Create some variables.
v1 = tf.Variable(.., name="v1")
v2 = tf.Variable(.., name="v2")
...
# Add an op to initialize the variables.
init_op = tf.initialize_all_variables()

# Add ops to save and restore all the variables.
saver = tf.train.Saver()

# Later, launch the model, initialize the variables, do some work,
#   save the
# variables to disk.
with tf.Session() as sess:
    sess.run(init_op)
    # Do some work with the model.
    ..
    # Save the variables to disk.
    save_path = saver.save(sess, "/tmp/model.ckpt")
    print "Model saved in file: ", save_path
"""

RESTORING = """
# Create some variables.
v1 = tf.Variable(.., name="v1")
v2 = tf.Variable(.., name="v2")
...
# Add ops to save and restore all the variables.
saver = tf.train.Saver()

# Later, launch the model, use the saver to restore variables from
#   disk, and
# do some work with the model.
with tf.Session() as sess:
    # Restore variables from disk.
    saver.restore(sess, "/tmp/model.ckpt")
    print "Model restored."
    # Do some work with the model
    ...
    values = sess.run([v1, v2])
"""

CHOOSING = """
# Create some variables.
v1 = tf.Variable(.., name="v1")
v2 = tf.Variable(.., name="v2")
...
# Add ops to save and restore only 'v2' using the name "my_v2"
saver = tf.train.Saver({"my_v2": v2})
# Use the saver object normally after that.
...
"""


@pytest.fixture(autouse=True)
def _empty_folder(graph: tf.Graph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def run(text: str, value: str = "[1.0, 2.0]") -> dict[str, Any]:
    """What a program names, with `value` where the guide has two dots."""
    text = re.sub(r"(?<=Variable\()\.\.(?=,)", value, text)
    text = re.sub(r"^( *)\.\.$", r"\1...", text, flags=re.MULTILINE)
    text = re.sub(r"print (\".*)$", r"print(\1)", text, flags=re.MULTILINE)
    text = text.replace("/tmp/", "").replace('name="\n                      ', 'name="')
    names: dict[str, Any] = {"tf": tf}
    exec(compile(text, "<guide>", "exec"), names)
    return names


def test_creation() -> None:
    names = run(CREATION)
    # "An op that holds the value, an initializer that in fact is tf.assign, ops for the initial value such as zeros."
    for name in ("weights", "biases"):
        variable = names[name]
        assert (variable.op.name, variable.op.type, variable.initializer.type) == (name, "Variable", "Assign")
    assert isinstance(names["weights"], tf.Variable)


def test_initialisation() -> None:
    weights, biases = run(INITIALISATION)["values"]
    assert abs(float(weights.std()) - 0.35) < 0.01
    np.testing.assert_array_equal(biases, np.zeros(200))


def test_initialisation_from_another_variable() -> None:
    names = run(FROM_ANOTHER)
    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        weights, w2, w_twice = sess.run([names[name] for name in ("weights", "w2", "w_twice")])
    np.testing.assert_array_equal(w2, weights)
    np.testing.assert_allclose(w_twice, weights * 0.2, rtol=1e-6)


def test_saving_and_restoring(capsys: pytest.CaptureFixture[str]) -> None:
    run(SAVING)
    assert capsys.readouterr().out == "Model saved in file:  model.ckpt\n"
    with tf.Graph().as_default():
        # "You do not need to initialise the variables that you restore."
        values = run(RESTORING, "[0.0, 0.0]")["values"]
    assert capsys.readouterr().out == "Model restored.\n"
    np.testing.assert_array_equal(values, [[1.0, 2.0]] * 2)


def test_choosing_what_to_save() -> None:
    names = run(CHOOSING)
    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        path = names["saver"].save(sess, "model.ckpt")
    assert tf.train.NewCheckpointReader(path).get_variable_to_shape_map() == {"my_v2": [2]}


def test_a_saver_of_chapter_2_4() -> None:
    """The guide saves to, and restores from, the name of the training folder with a step behind it."""
    v = tf.Variable(1.0)
    saver = tf.train.Saver()
    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        for step in (999, 1999):
            assert saver.save(sess, "data", global_step=step) == f"data-{step}"
        latest = tf.train.latest_checkpoint("")
        assert latest == "data-1999"
        sess.run(v.assign(0.0))
        saver.restore(sess, latest)
        assert sess.run(v) == 1.0


def test_the_example(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "examples" / "variables.py"
    answer = subprocess.run([sys.executable, script, tmp_path / "new"], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == [
        "Before initialisation, without a value: weights biases w_twice",
        f"Model saved in file: {tmp_path / 'new' / 'model.ckpt'}",
        "Model restored.",
        "weights: standard deviation 0.35; biases: at most 0; scale: 3",
    ]
