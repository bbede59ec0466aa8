"""A fixed number of random graphs, compiled and by the reference. `make fuzz` runs as many as one likes."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest

from flowc.codegen import assemble, fuse, memory, program, segments
from flowc.codegen.lower.registry import update_of
from flowc.codegen.reference import has_reference, is_random
from flowc.codegen.render import base, column_kernel, map_kernel
from flowc.runtime import plan_cache
from tests.fuzz.__main__ import failures, report

GRAPHS = 150
PARTS = 6  # so that parallel test runners can share them


@pytest.mark.parametrize("part", range(PARTS))
def test_random_graphs_agree_with_the_reference(part: int) -> None:
    count = GRAPHS // PARTS
    found = [report(*case, seconds=20) for case in failures(range(part * count, (part + 1) * count), length=10)]
    assert not found, "\n\n".join(found)


@pytest.fixture
def small_counts_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowers every size at which the compiler changes its ways, so that small arrays go the ways of large ones:
    reductions in blocks, results written over dying arguments or past the caches, inputs shared, many chunks."""
    monkeypatch.setattr(program, "SPLIT_SIZE", 8)
    monkeypatch.setattr(program, "SPLIT_BLOCK", 3)
    monkeypatch.setattr(memory, "REUSE_BYTES", 0)
    monkeypatch.setattr(fuse, "SIBLING_SIZE", 2)
    monkeypatch.setattr(base, "CHUNK_COST", 4.0)
    monkeypatch.setattr(column_kernel, "COLUMNS", 2)
    monkeypatch.setattr(map_kernel, "BLOCK", 3)
    monkeypatch.setattr(assemble, "STREAM_BYTES", 64)
    monkeypatch.setattr(plan_cache, "_key_or_none", lambda *run: None)  # such plans are not for keeping


@pytest.mark.usefixtures("small_counts_as_large")
@pytest.mark.parametrize("part", range(2))
def test_the_ways_of_large_arrays(part: int) -> None:
    found = [report(*case, seconds=20) for case in failures(range(900000 + 20 * part, 900020 + 20 * part), length=10)]
    assert not found, "\n\n".join(found)


@pytest.fixture
def some_ops_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts runs in many places: a fifth of all operations run on the host, by their definitions."""

    def is_host_op(op: Any) -> bool:
        is_pure = has_reference(op.type) and update_of(op.type) is None and not is_random(op.type)
        return is_pure and op.type not in ("Const", "Placeholder", "Variable") and crc32(op.name.encode()) % 5 == 0

    monkeypatch.setattr(segments, "is_host_op", is_host_op)
    monkeypatch.setattr(plan_cache, "_key_or_none", lambda *run: None)


@pytest.mark.usefixtures("some_ops_on_the_host")
@pytest.mark.parametrize("part", range(2))
def test_runs_cut_into_segments(part: int) -> None:
    found = [report(*case, seconds=20) for case in failures(range(800000 + 26 * part, 800026 + 26 * part), length=12)]
    assert not found, "\n\n".join(found)
