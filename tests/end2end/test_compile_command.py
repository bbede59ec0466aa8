"""`python -m flowc compile` and `show`, run as a user runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import flowc as tf

SCRIPT = """
import flowc as tf
from sizes import BATCH  # a module beside the script

def build():
    x = tf.placeholder(tf.float32, [BATCH, 3], name="x")
    w = tf.Variable(tf.ones([3, 2]) * 2, name="W")
    return tf.matmul(x, w, name="y"), [x], tf.initialize_all_variables()

def by_name():
    return build()[:2]

def with_session():
    y, feeds, init = build()
    session = tf.Session()
    session.run(init)
    return {"fetches": {"y": y}, "feeds": {feeds[0]: (BATCH, 3)}, "session": session}

def wrong():
    return 3
"""


def flowc(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m flowc ARGUMENTS`."""
    command = [sys.executable, "-m", "flowc", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "sizes.py").write_text("BATCH = 4\n")
    (tmp_path / "model.py").write_text(SCRIPT)
    return tmp_path / "model.py"


@pytest.mark.parametrize("function", ["build", "with_session", "by_name"])
def test_a_script_becomes_a_file_that_runs(script: Path, function: str) -> None:
    output = script.parent / "model.flowc"
    run = flowc("compile", f"{script}:{function}", "-o", output)
    assert run.returncode == 0, run.stderr
    assert "x:0 float32[4, 3] → y:0 float32[4, 2]" in run.stdout
    plan = tf.load_plan(output)
    if function == "by_name":
        assert "1 variables by their names" in run.stdout
        plan.variables["W"] = np.full((3, 2), 2)
    result = plan(np.ones((4, 3)))
    np.testing.assert_array_equal(result["y"] if function == "with_session" else result, np.full((4, 2), 6))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("model.py", "SCRIPT.py:FUNCTION is expected"),
        ("absent.py:build", "there is no file"),
        ("model.py:absent", "has no function 'absent'"),
        ("model.py:wrong", "must return (fetches, feeds)"),
    ],
)
def test_what_is_wrong_is_said(script: Path, place: str, message: str) -> None:
    run = flowc("compile", script.parent / place, "-o", script.parent / "model.flowc")
    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert not (script.parent / "model.flowc").exists()


def test_show_tells_what_a_file_holds(script: Path) -> None:
    output = script.parent / "model.flowc"
    flowc("compile", f"{script}:build", "-o", output)
    run = flowc("show", output, "--source")
    assert run.returncode == 0, run.stderr
    expected = ("target   ", "bytes of object code", "feed     x:0 float32[4, 3]", "variable W float32[3, 2], read")
    for part in (*expected, f"op       y  ({script}:8)", "launch 0: ", "def "):
        assert part in run.stdout, part


def test_show_refuses_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "model.flowc"
    path.write_bytes(b"flowcpln" + bytes(100))
    run = flowc("show", path)
    assert run.returncode == 1
    assert "cannot be used" in run.stderr
    assert flowc("show", tmp_path / "absent").returncode == 1
