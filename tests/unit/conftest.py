"""What the unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowc.framework import registry


@pytest.fixture(autouse=True)
def _forget_ops_of_tests() -> Iterator[None]:
    """Op types that a test defines are called `Test…`; none outlives its test."""
    yield
    for table in (registry._ops, registry._gradients, registry._user_shape_rules):
        for op_type in [name for name in table if name.startswith("Test")]:
            del table[op_type]
