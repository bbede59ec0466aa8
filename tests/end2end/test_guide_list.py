"""docs/guide.md: each program that it lists runs, by the command that stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^    (python .*?)(?:  # (.*))?$")


def blocks() -> list[list[str]]:
    """The commands of each block of the page, with what makes them short."""
    found: list[list[str]] = [[]]
    for line in (ROOT / "docs" / "guide.md").read_text().splitlines():
        match = LINE.match(line)
        if match:
            found[-1].append(" ".join(filter(None, match.groups())))
        elif found[-1]:
            found.append([])
    return [block for block in found if block]


def name_of(block: list[str]) -> str:
    """`"word2vec"`: the last program of a block, as the test's name."""
    words = [re.search(r"examples/(\w+)\.py|-m [\w.]+\.(\w+)", command) for command in block]
    return next((match[1] or match[2] for match in reversed(words) if match), "others")


def test_all_programs_are_listed() -> None:
    listed = {name for block in blocks() for command in block for name in re.findall(r"examples/\w+\.py", command)}
    programs = {
        f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py") if "__main__" in path.read_text()
    } - {"examples/lstm.py", "examples/mlp_dropout.py"}  # which are not the guide's
    assert programs <= listed


@pytest.mark.parametrize("block", blocks(), ids=name_of)
def test_a_block_of_commands_runs(block: list[str], tmp_path: Path) -> None:
    for command in block:
        _, first, *rest = shlex.split(command)
        program = str(ROOT / first) if first.startswith("examples/") else first
        answer = subprocess.run(
            [sys.executable, program, *rest], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert answer.returncode == 0, f"{command}\n{answer.stderr}"
