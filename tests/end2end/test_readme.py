"""The README's worked example runs, fused and differentiated; all that the pages name is there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.__main__ import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = ["README.md", "examples/README.md", "docs/architecture.md"]

SETUP = """
import numpy as np
import flowc as tf
from flowc.framework import shape_rules
from flowc.framework.dtypes import REAL
from flowc.framework.building import apply
from flowc.framework.registry import define, gradient
from flowc.codegen.lower.registry import lowering
from flowc.ops import math_ops
"""

CHECK = """
x = np.linspace(-3, 3, 7, dtype=np.float32)
inputs = tf.placeholder(tf.float32, [None])
values = swish(inputs)
slope = tf.gradients(values, inputs)[0]
with tf.Session() as sess:
    y, dy = sess.run([values, slope], {inputs: x})
    launches = len(sess.plan([values, slope], {inputs: x}).plan.entries)
s = 1 / (1 + np.exp(-x))
np.testing.assert_allclose(y, x * s, rtol=1e-6)
np.testing.assert_allclose(dy, s + x * s * (1 - s), rtol=1e-5, atol=1e-6)
assert launches == 1, launches
"""


def test_adding_an_op() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    frontend, lowering = (block for block in blocks if "Swish" in block)
    script = f"{SETUP}\nexec({lowering!r}, dict(globals()))\n{frontend}{CHECK}"  # two modules, hence two namespaces
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_first_lines_run() -> None:
    block = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(block, names)
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        assert session.run(names["y"], {names["x"]: np.ones((2, 784))}).sum() == pytest.approx(2)


def test_the_make_targets_are_there() -> None:
    named = set(re.findall(r"(?:`|^)make (\w+)", README.read_text(), re.MULTILINE))
    assert named >= {"demo", "test", "bench", "docs"}
    assert not named - set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_commands_are_those_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    for command in set(re.findall(r"python -m flowc (\w+)", README.read_text())):
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        assert left.value.code == 0
        assert f"flowc {command}" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_are_there(page: str) -> None:
    text, folder = (ROOT / page).read_text(), (ROOT / page).parent
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert not [link for link in links if link and not (folder / link).exists()]
    for name in re.findall(r"`(\w+(?:/\w+)*\.py)`", text):
        places = [ROOT / place / name for place in ("", "examples", "flowc", "flowc/framework", "codegen", "runtime")]
        assert any(place.exists() for place in places), name
