"""A fixed number of random graphs, compiled and by the reference. `make fuzz` runs as many as one likes."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import failures, report

GRAPHS = 150
PARTS = 6  # so that parallel test runners can share them


@pytest.mark.parametrize("part", range(PARTS))
def test_random_graphs_agree_with_the_reference(part: int) -> None:
    count = GRAPHS // PARTS
    found = [report(*case, seconds=20) for case in failures(range(part * count, (part + 1) * count), length=10)]
    assert not found, "\n\n".join(found)
