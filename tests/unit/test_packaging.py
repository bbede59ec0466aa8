"""pyproject.toml names every package by hand, since two of them stand outside flowc/: none may be forgotten."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_of_the_tree_is_installed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = set()
    for name, folder in setuptools["package-dir"].items():
        for file in (ROOT / folder).rglob("*.py"):
            found.add(".".join([name, *file.parent.relative_to(ROOT / folder).parts]))
    assert set(setuptools["packages"]) == found


def test_data_files_of_mnist_are_there() -> None:
    names = sorted(path.name for path in (ROOT / "examples/data/mnist").glob("*.gz"))
    assert names == [
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]
