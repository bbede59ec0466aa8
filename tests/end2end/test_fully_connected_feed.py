"""The guide's chapter 2.4 as an example: trained on MNIST, interrupted, resumed, and looked at by TensorBoard."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import flowc as tf

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fully_connected_feed.py"])
    return importlib.import_module("fully_connected_feed")


def run_for(example: ModuleType, steps: int) -> float | None:
    example.FLAGS.max_steps = steps
    return example.run_training()


def test_it_learns_resumes_and_shows(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    halfway = run_for(example, 1000)
    output = capsys.readouterr().out
    for line in ("Step 900: loss = ", "Training Data Eval:", "Validation Data Eval:", "Test Data Eval:"):
        assert line in output
    assert "Num examples: 55000" in output
    assert halfway is not None
    assert halfway > 0.84  # six runs gave 0.861 to 0.877
    assert tf.train.latest_checkpoint("data") == os.path.join("data", "model.ckpt-1000")
    finished = run_for(example, 2000)
    assert "Goes on from data/model.ckpt-1000" in capsys.readouterr().out
    assert finished is not None
    assert finished > max(0.88, halfway)  # 0.899 to 0.906
    assert len(list(Path("data").glob("model.ckpt-*"))) == 2
    assert Path("data", "loss.png").read_bytes().startswith(b"\x89PNG")
    check_events(Path("data"))


def check_events(folder: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    first, second = (accumulator(str(path)).Reload() for path in sorted(folder.glob("events.out.tfevents.*")))
    losses = [event for board in (first, second) for event in board.Scalars("xentropy_mean")]
    assert [event.step for event in losses] == list(range(0, 2000, 100))
    assert losses[0].value > 2.0
    assert losses[-1].value < 0.8
    names = {node.name for node in first.Graph().node}
    assert {"hidden1/weights", "hidden2/biases", "softmax_linear/add", "xentropy", "global_step"} <= names


def test_ctrl_c_leaves_a_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-u", str(EXAMPLES / "fully_connected_feed.py"), "--fake_data", "--max_steps=10000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        assert run.stdout is not None
        while "Step 200" not in run.stdout.readline():
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        output = run.stdout.read()
    assert run.returncode == 0
    assert "Stopped: the next run goes on from data/model.ckpt-" in output
    path = tf.train.latest_checkpoint(str(tmp_path / "data"))
    assert path is not None
    assert tf.train.NewCheckpointReader(path).get_tensor("global_step") >= 200
