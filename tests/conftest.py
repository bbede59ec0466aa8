"""Options and fixtures of all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowc as tf


def pytest_configure() -> None:
    """Ctrl-C works, here and in the processes that tests start, where a shell without job control runs the tests in the
    background and has them ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden files of generated source; look at the diff"
    )


class Golden:
    """Compares text with a file that is kept in the tree, or rewrites the file."""

    def __init__(self, folder: Path, update: bool) -> None:
        self._folder, self._update = folder, update

    def check(self, name: str, text: str) -> None:
        """Fails unless `text` is what `name` holds."""
        path = self._folder / name
        if self._update:
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"there is no {path.name}: make golden writes it"
        assert text == path.read_text(encoding="utf-8"), (
            f"{path.name} is not what is generated now. If the change is meant, run `make golden` and look at its diff."
        )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden files beside the test."""
    return Golden(request.path.parent / "files", request.config.getoption("--update-golden"))


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    """A new graph, the default one while the test runs: no test sees what another has built."""
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def session(graph: tf.Graph) -> Iterator[tf.Session]:
    """A session of that graph; it is not the default one."""
    with tf.Session(graph=graph) as session:
        yield session
