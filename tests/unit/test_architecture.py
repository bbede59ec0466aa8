"""The house: imports point one way, frontend ← codegen ← runtime, and warm starts stay free of the compiler."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"frontend": ROOT / "flowc", "codegen": ROOT / "codegen", "runtime": ROOT / "runtime"}
FORBIDDEN = {"frontend": ("flowc.codegen", "flowc.runtime"), "codegen": ("flowc.runtime",), "runtime": ()}
SEES_ALL = {ROOT / "flowc" / "__init__.py", ROOT / "flowc" / "__main__.py"}  # the public namespace and the command line


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("layer", FOLDERS)
def test_imports_point_one_way(layer: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {module}"
        for path in FOLDERS[layer].rglob("*.py")
        if path not in SEES_ALL
        for module in imported(path)
        if module.startswith(FORBIDDEN[layer])
    }
    assert not wrong


def test_building_a_graph_imports_no_compiler() -> None:
    script = """
import sys
import flowc as tf
loss = tf.reduce_sum(tf.square(tf.Variable(tf.zeros([3])) - 1.0))
tf.train.GradientDescentOptimizer(0.1).minimize(loss)
heavy = [m for m in sys.modules if m.startswith(("flowc.codegen", "flowc.runtime", "numba", "llvmlite"))]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)
