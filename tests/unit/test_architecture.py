"""The house: imports point one way, frontend ← codegen ← runtime, in no circle; files and functions fit a head."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"frontend": ROOT / "flowc", "codegen": ROOT / "codegen", "runtime": ROOT / "runtime"}
PACKAGES = {"frontend": "flowc", "codegen": "flowc.codegen", "runtime": "flowc.runtime"}
FORBIDDEN = {"frontend": ("flowc.codegen", "flowc.runtime"), "codegen": ("flowc.runtime",), "runtime": ()}
SEES_ALL = {ROOT / "flowc" / "__init__.py", ROOT / "flowc" / "__main__.py"}  # the public namespace and the command line

MOST_LINES = 500  # of a file
MEDIAN_FILE = 250
MEDIAN_FUNCTION = 10


# -- what imports what -------------------------------------------------------------------------------------------------


@cache
def modules() -> dict[str, Path]:
    """All modules of the house by their full names; a package is its `__init__`."""
    found = {}
    for layer, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((PACKAGES[layer], *parts))] = path
    return found


def imported(path: Path, package: str) -> Iterator[tuple[str, str]]:
    """What a file of a package imports, anywhere in it: pairs (module, name in it, or "")."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            outer = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*outer, *([node.module] if node.module else [])])
            yield from ((base, alias.name) for alias in node.names)


@cache
def imports_of(module: str) -> frozenset[str]:
    """The modules of the house that one imports; a package itself only for names that its `__init__` makes."""
    path = modules()[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for base, name in imported(path, package):
        found.add(f"{base}.{name}" if f"{base}.{name}" in modules() else base)
    return frozenset(found & modules().keys() - {module})


# -- layers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", FOLDERS)
def test_imports_point_one_way(layer: str) -> None:
    wrong = {
        f"{module} imports {other}"
        for module, path in modules().items()
        if FOLDERS[layer] in path.parents and path not in SEES_ALL
        for other in imports_of(module)
        if other.startswith(FORBIDDEN[layer])
    }
    assert not wrong


def test_there_is_no_circle() -> None:
    """Imports inside functions and those for type checkers count."""
    try:
        TopologicalSorter({module: imports_of(module) for module in modules()}).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " ← ".join(error.args[1]))


def test_the_frontend_is_built_from_the_ground() -> None:
    """flowc/framework ← flowc/ops ← the rest of the frontend."""
    for ground, above in (
        ("flowc.framework", ("flowc.ops", "flowc.train", "flowc.nn", "flowc.variable", "flowc.autodiff")),
        ("flowc.ops", ("flowc.train", "flowc.nn", "flowc.variable", "flowc.autodiff")),
    ):
        wrong = {
            f"{module} imports {other}"
            for module in modules()
            if module.startswith(f"{ground}.")
            for other in imports_of(module)
            if other.startswith(above)
        }
        assert not wrong


@pytest.mark.parametrize("package", ["flowc.framework", "flowc.ops", "flowc.codegen.regions"])
def test_the_reading_order_is_right(package: str) -> None:
    """A package's docstring lists its modules such that each uses only those before it."""
    docstring = ast.get_docstring(ast.parse(modules()[package].read_text())) or ""
    order = [f"{package}.{name}" for name in re.findall(r"^    (\w+) ", docstring, re.MULTILINE)]
    assert sorted(order) == sorted(m for m in modules() if m.startswith(f"{package}."))
    for place, module in enumerate(order):
        assert not imports_of(module) & set(order[place:]), module


# -- sizes -------------------------------------------------------------------------------------------------------------


def test_files_fit_a_head() -> None:
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in modules().values()}
    assert not {str(path): n for path, n in lines.items() if n > MOST_LINES}
    assert median(n for n in lines.values() if n > 1) <= MEDIAN_FILE


def test_functions_fit_a_head() -> None:
    trees = [ast.parse(path.read_text()) for path in modules().values()]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert median((node.end_lineno or 0) - node.lineno + 1 for node in functions) <= MEDIAN_FUNCTION


# -- what is imported when ---------------------------------------------------------------------------------------------


def test_building_a_graph_imports_no_compiler() -> None:
    script = """
import sys
import flowc as tf
loss = tf.reduce_sum(tf.square(tf.Variable(tf.zeros([3])) - 1.0))
tf.train.GradientDescentOptimizer(0.1).minimize(loss)
heavy = [m for m in sys.modules if m.startswith(("flowc.codegen", "flowc.runtime", "llvmlite", "google"))]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_error_of_a_run_imports_no_messages() -> None:
    """They are made if `node_def` is asked for: every input pipeline ends by an error."""
    script = """
import sys
import flowc as tf
queue = tf.FIFOQueue(1, tf.int32, [()])
with tf.Session() as session:
    session.run(queue.close())
    try:
        session.run(queue.dequeue(name="get"))
    except tf.errors.OutOfRangeError as error:
        assert not any(name.startswith("google") for name in sys.modules)
        assert error.node_def.name == "get"
        sys.exit(0)
sys.exit("no error")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
