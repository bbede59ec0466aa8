"""A fixed number of random nests of conditionals and loops, compiled and by the reference."""

from __future__ import annotations

import pytest

from tests.fuzz.control_flow import failures

GRAPHS, PARTS = 16, 4  # parts, so that parallel test runners can share them


@pytest.mark.parametrize("part", range(PARTS))
def test_nests_agree_with_the_reference(part: int) -> None:
    count = GRAPHS // PARTS
    assert not list(failures(range(part * count, (part + 1) * count)))
