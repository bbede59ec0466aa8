"""The guide's convolutional model as examples/mnist_deep.py: what it prints, keeps and draws."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import flowc as tf

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, graph: tf.Graph) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("mnist_deep")


class Images:
    """A few images of MNIST's, drawn at random; after `batches` of them, Ctrl-C."""

    def __init__(self, batches: int) -> None:
        rng = np.random.default_rng(0)
        self.images = rng.random((100, 784), np.float32)
        self.labels = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 100)]
        self.num_examples = 100
        self.batches = batches

    def next_batch(self, size: int) -> tuple[Any, Any]:
        if not self.batches:
            raise KeyboardInterrupt
        self.batches -= 1
        return self.images[:size], self.labels[:size]


def options(tmp_path: Path, **given: int) -> argparse.Namespace:
    return argparse.Namespace(**{"steps": 100, "every": 2, "validate_every": 2, **given}, checkpoint=f"{tmp_path}/best")


def test_what_an_interruption_leaves(example: ModuleType, tmp_path: Path) -> None:
    """The best variables are in the session, and on disk for another one."""
    model, sets = example.Model(), argparse.Namespace(train=Images(5), validation=Images(0))
    with tf.Session() as sess:
        history = example.train(model, sess, sets, options(tmp_path))
        assert [step for step, _ in history.validation] == [2, 4]
        assert [step for step, _ in history.training] == [2, 4]
        score = model.score(sess, sets.validation)
    assert score == history.best == max(value for _, value in history.validation)
    with tf.Session() as later:
        tf.train.Saver().restore(later, f"{tmp_path}/best")
        assert model.score(later, sets.validation) == score


def test_an_interruption_before_anything_is_kept(example: ModuleType, tmp_path: Path) -> None:
    model, sets = example.Model(), argparse.Namespace(train=Images(1), validation=Images(0))
    with tf.Session() as sess:
        history = example.train(model, sess, sets, options(tmp_path))
        assert not history.validation
        assert 0 <= model.score(sess, sets.validation) <= 1
    assert not list(tmp_path.iterdir())


def test_it_learns(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "mnist_deep.py"), "--steps=100", "--every=50", "--checkpoint=kept/best"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert answer.returncode == 0, answer.stderr
    *steps, last = answer.stdout.splitlines()
    assert [re.sub(r"[\d.]+", "#", line) for line in steps] == ["step #, training accuracy #, loss #"] * 2
    assert float(last.removeprefix("test accuracy ")) > 0.7
    assert (tmp_path / "kept" / "best").exists()


def test_a_plot_needs_matplotlib(tmp_path: Path) -> None:
    if importlib.util.find_spec("matplotlib"):
        pytest.skip("matplotlib is installed")
    command = [sys.executable, str(EXAMPLES / "mnist_deep.py"), "--plot", "curves.png"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert answer.returncode == 2
    assert "flowc[plot]" in answer.stderr


def test_the_plot(example: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    history = example.History([(1, 2.0), (2, 1.0)], [(1, 0.5), (2, 0.6)], [(2, 0.55)])
    example.plot(history, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
