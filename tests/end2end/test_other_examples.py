"""The examples that are not from the guide: short runs, compared with NumPy or with a known accuracy."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import flowc as tf

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, graph: tf.Graph, request: pytest.FixtureRequest
) -> ModuleType:
    """The example module of the test's parameter."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    return importlib.import_module(request.param)


def use(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [name], indirect=True, ids=[name])


@use("mandelbrot")
def test_mandelbrot_counts_as_numpy_does(example: ModuleType) -> None:
    steps = 25
    counts = example.escape_counts(steps)
    imaginary, real = np.mgrid[-1.3:1.3:0.005, -2:1:0.005]
    c = (real + 1j * imaginary).astype("complex64")
    z, expected = c.copy(), np.zeros(c.shape, np.float32)
    with np.errstate(all="ignore"):
        for _ in range(steps):
            z = z * z + c
            expected += np.abs(z) < 4
    assert counts.shape == (520, 600)
    # Points next to the border may escape a step earlier or later by rounding.
    assert np.mean(counts != expected) < 1e-3
    assert counts.max() == steps


@use("pond")
def test_pond_moves_as_numpy_says(example: ModuleType) -> None:
    steps = 20
    start = example.drops(seed=1)
    level, speed = start.copy(), np.zeros_like(start)
    size = example.SIZE
    for _ in range(steps):
        padded = np.pad(level, 1)
        stencil = np.ndenumerate(example.STENCIL)
        laplacian = sum(w * padded[r : r + size, c : c + size] for (r, c), w in stencil)
        level, speed = (
            level + example.TIME_STEP * speed,
            speed + example.TIME_STEP * (laplacian - example.DAMPING * speed),
        )
    np.testing.assert_allclose(example.simulate(start, steps), level, rtol=1e-4, atol=1e-6)


@use("mlp_dropout")
def test_mlp_with_dropout_learns(example: ModuleType) -> None:
    assert example.train(600) > 0.94  # six runs gave 0.955 to 0.964


@use("lstm")
def test_lstm_learns(example: ModuleType) -> None:
    assert example.train(200) > 0.85  # six runs gave 0.879 to 0.912


@pytest.mark.parametrize("name", ["mandelbrot.py", "pond.py"])
def test_a_picture_is_written(tmp_path: Path, name: str) -> None:
    command = [sys.executable, str(EXAMPLES / name), "picture.ppm", "--steps", "2"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "wrote picture.ppm\n"
    header, *_ = (tmp_path / "picture.ppm").read_bytes().split(b"\n", 1)
    assert header.split()[0] == b"P6"
    width, height = (int(number) for number in header.split()[1:3])
    assert (tmp_path / "picture.ppm").stat().st_size == len(header) + 1 + 3 * width * height
