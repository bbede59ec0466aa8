"""Processes that are killed while they save: what they last reported as saved can be restored, whole.

FLOWC_TEST_KILLS=200 pytest tests/end2end/test_saver_kills.py
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import flowc as tf

KILLS = int(os.environ.get("FLOWC_TEST_KILLS", "12"))
ELEMENTS = 1 << 16


def build() -> tuple[tf.Variable, tf.Variable, tf.train.Saver]:
    step = tf.Variable(0, name="step")
    table = tf.Variable(tf.fill([ELEMENTS], 0.0), name="table")
    return step, table, tf.train.Saver(max_to_keep=2)


def save_for_ever(folder: str, first: int, reports: int) -> None:
    """Saves one checkpoint after another, in which every element is the step, and reports each that is saved."""
    with tf.Graph().as_default(), tf.Session() as session:
        step, table, saver = build()
        advance = tf.group(step.assign_add(1), table.assign_add(tf.ones([ELEMENTS])))
        start = tf.group(step.assign(first), table.assign(tf.fill([ELEMENTS], float(first))))
        session.run(start)
        if previous := tf.train.get_checkpoint_state(folder):
            saver.set_last_checkpoints(list(previous.all_model_checkpoint_paths))
        while True:
            session.run(advance)
            number = tf.train.global_step(session, step)
            saver.save(session, os.path.join(folder, "model.ckpt"), global_step=number)
            os.write(reports, number.to_bytes(8, "little"))


def killed_while_saving(folder: str, first: int, after: float) -> int:
    """Kills a saving process so many seconds after its first report; returns the last step that it reported."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            save_for_ever(folder, first, writer)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as reports:
        saved = reports.read(8)
        assert saved, "the process died before it was killed"
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        saved += reports.read()
    return int.from_bytes(saved[-8:], "little")


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_the_last_checkpoint_survives_kills(tmp_path: Path) -> None:
    folder, reached = str(tmp_path), 0
    moments = random.Random(1)
    with tf.Graph().as_default(), tf.Session() as session:
        step, table, saver = build()
        for _ in range(KILLS):
            reported = killed_while_saving(folder, reached, moments.uniform(0, 0.05))
            newest = tf.train.latest_checkpoint(folder)
            assert newest is not None
            saver.restore(session, newest)
            reached, values = session.run([step, table])
            assert reached >= reported
            np.testing.assert_array_equal(values, np.full(ELEMENTS, reached))
            for path in tf.train.get_checkpoint_state(folder).all_model_checkpoint_paths:
                assert os.path.exists(path)
