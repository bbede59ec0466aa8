"""Flags of the command line, and `tf.app.run`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import flowc as tf
from flowc import flags

PROGRAM = """
import flowc as tf
flags = tf.app.flags
flags.DEFINE_string("train_dir", "/tmp/data", "where to write; 100% sure")
flags.DEFINE_integer("max_steps", 1000, "how many steps")
flags.DEFINE_float("learning_rate", 0.5, "the rate")
flags.DEFINE_boolean("fake_data", False, "whether to fake")
flags.DEFINE_bool("log", True, "whether to log")
FLAGS = flags.FLAGS

def main(argv):
    print(FLAGS.train_dir, FLAGS.max_steps, FLAGS.learning_rate, FLAGS.fake_data, FLAGS.log, argv[1:])
    return 3

if __name__ == "__main__":
    tf.app.run()
"""


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> flags.FlagValues:
    """Flags of the test's own."""
    values = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(sys, "argv", ["program"])
    return values


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "/tmp/data 1000 0.5 False True []"),
        (["--max_steps=5", "--train_dir", "x"], "x 5 0.5 False True ['--max_steps=5', '--train_dir', 'x']"),
        (["--fake_data", "--nolog"], "/tmp/data 1000 0.5 True False ['--fake_data', '--nolog']"),
        (["--learning_rate=1e-3", "--log=false"], "/tmp/data 1000 0.001 False False"),
        (["--unknown", "word"], "/tmp/data 1000 0.5 False True ['--unknown', 'word']"),
    ],
)
def test_a_program(arguments: list[str], printed: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    done = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith(printed)


def test_help_and_bad_values(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    done = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "where to write; 100% sure" in done.stdout
    assert "--nofake_data" not in done.stdout
    done = subprocess.run([sys.executable, path, "--max_steps=many"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid int value: 'many'" in done.stderr
    done = subprocess.run([sys.executable, path, "--log=maybe"], capture_output=True, text=True, check=False)
    assert "neither true nor false" in done.stderr


def test_a_program_sets_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("steps", 3, "")
    assert values.steps == 3
    values.steps = 7
    assert values.steps == 7
    flags.DEFINE_string("name", None, "")
    assert (values.steps, values.name) == (7, None)
    assert {"name", "steps"} <= set(dir(values))


def test_the_last_definition_counts(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("steps", 3, "")
    values.steps = 7
    flags.DEFINE_float("steps", 0.5, "")
    flags.DEFINE_boolean("log", True, "")
    flags.DEFINE_boolean("log", False, "")
    assert (values.steps, values.log) == (0.5, False)


def test_flags_that_are_not_defined(values: flags.FlagValues) -> None:
    with pytest.raises(AttributeError, match="no flag 'steps'"):
        _ = values.steps
    assert not hasattr(values, "steps")


def test_run_calls_main(values: flags.FlagValues) -> None:
    seen = []
    with pytest.raises(SystemExit) as end:
        tf.app.run(lambda argv: seen.append(argv))
    assert (end.value.code, seen) == (None, [["program"]])
    assert tf.flags is tf.app.flags
