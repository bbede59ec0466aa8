"""Each test builds in a graph of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flowc as tf


@pytest.fixture
def graph() -> Iterator[tf.Graph]:
    """A new graph, the default one while the test runs."""
    with tf.Graph().as_default() as graph:
        yield graph
