"""Patterns of ops that go by index: segments, partitions, sequences, sets, diagonals, products of stacks.

Outputs whose size a run finds are fetched or taken further at once; sets are of integers, which rounding leaves alone.
"""

from __future__ import annotations

import numpy as np

from tests.fuzz.generate import Generator, api, pattern
from tests.fuzz.program import Array, Ref

SEGMENTS = ["segment_sum", "segment_sum", "segment_mean", "segment_max", "segment_min", "segment_prod"]
SPARSE_SEGMENTS = ["sparse_segment_sum", "sparse_segment_mean"]


def _with_rows(g: Generator, kinds: str = "fiubc") -> Ref | None:
    return g.pick(kinds, lambda r: len(g.shape(r)) >= 1 and g.shape(r)[0] > 0)


def _segment_ids(g: Generator, rows: int) -> Array:
    """Sorted and consecutive, from 0 on."""
    steps = g.numpy.random(rows) < g.random.choice([0.1, 0.5, 0.9])
    steps[0] = False
    return np.cumsum(steps).astype(g.random.choice([np.int32, np.int64]))


# -- segments ----------------------------------------------------------------------------------------------------------


@pattern(0.8)
def segments(g: Generator) -> None:
    if x := _with_rows(g, "fiu"):
        g.add(api(SEGMENTS, g), x, _segment_ids(g, g.shape(x)[0]))


@pattern(0.5)
def sparse_segments(g: Generator) -> None:
    if x := _with_rows(g, "f"):
        count = g.random.randint(1, 2 * min(g.shape(x)[0], 20))
        indices = g.numpy.integers(0, g.shape(x)[0], count).astype(np.int32)
        g.add(api(SPARSE_SEGMENTS, g), x, indices, _segment_ids(g, count).astype(np.int32))


@pattern(0.4)
def unsorted_segments(g: Generator) -> None:
    if x := _with_rows(g, "fiuc"):
        count = g.random.randint(1, 6)
        ids = g.numpy.integers(0, count, g.shape(x)[: g.random.choice([1, min(2, len(g.shape(x)))])])
        g.add("unsorted_segment_sum", x, ids.astype(np.int32), count)


# -- partitions --------------------------------------------------------------------------------------------------------


@pattern(0.4)
def partition(g: Generator) -> None:
    """Dealt out, and put together again where they were or in the partitions' order."""
    x = _with_rows(g)
    if x is None:
        return
    rows, count = g.shape(x)[0], g.random.randint(1, 4)
    numbers = g.numpy.integers(0, count, rows).astype(np.int32)
    parts = g.add("dynamic_partition", x, numbers, count)
    refs = [Ref(parts.name, i) for i in range(count)]
    if g.chance(0.5):
        places = [np.flatnonzero(numbers == i).astype(np.int32) for i in range(count)]
        g.add("dynamic_stitch", places, refs)
    elif g.kind(x) in "fiuc":
        g.add("reduce_sum", g.random.choice(refs), 0)


@pattern(0.3)
def stitch(g: Generator) -> None:
    if x := _with_rows(g):
        rows = g.shape(x)[0]
        places = g.numpy.integers(0, rows + 2, rows).astype(np.int32)
        g.add("dynamic_stitch", [places, np.arange(rows, dtype=np.int32)], [x, g.partner(x, broadcast=False)])


# -- sequences and sets ------------------------------------------------------------------------------------------------


@pattern(0.5)
def reverse_sequence(g: Generator) -> None:
    if x := g.pick(where=lambda r: len(g.shape(r)) >= 2):
        along, batch = g.random.sample(range(len(g.shape(x))), 2)
        lengths = g.numpy.integers(0, g.shape(x)[along] + 1, g.shape(x)[batch])
        g.add("reverse_sequence", x, lengths, along, batch)


@pattern(0.4)
def sets(g: Generator) -> None:
    if x := g.pick("iu", lambda r: 0 < g.size(r) < 2000):
        flat = g.add("reshape", x, [-1])
        if g.chance(0.5):
            found = g.add("unique", flat)
            g.add("gather", Ref(found.name, 0), Ref(found.name, 1))
        else:
            found = g.add("listdiff", flat, g.array((3,), g.dtype(x)))
            g.add("reduce_sum", Ref(found.name, 0))


@pattern(0.3)
def where(g: Generator) -> None:
    if x := g.pick("b"):
        g.add("size", g.add("where", x))


@pattern(0.3)
def permutation(g: Generator) -> None:
    if x := _with_rows(g):
        order = g.feed(g.numpy.permutation(g.shape(x)[0]).astype(np.int32))
        g.add("gather", x, g.add("invert_permutation", order))


# -- matrices ----------------------------------------------------------------------------------------------------------


@pattern(0.4)
def diagonals(g: Generator) -> None:
    if x := g.pick("fiuc", lambda r: g.size(r) <= 33 and len(g.shape(r)) <= 2):
        square = g.add("diag", x)
        if g.chance(0.4):
            g.add("diag_part", g.add("mul", square, g.array((), g.dtype(x))))


@pattern(0.6)
def batch_matmul(g: Generator) -> None:
    if x := g.pick("f", lambda r: len(g.shape(r)) == 3):
        batch, rows, inner = g.shape(x)
        adj_x, adj_y = g.chance(0.3), g.chance(0.3)
        inner = rows if adj_x else inner
        columns = g.random.choice([1, 2, 5])
        y = g.constant((batch, columns, inner) if adj_y else (batch, inner, columns), g.dtype(x))
        g.add("batch_matmul", x, y, adj_x, adj_y)


@pattern(0.4)
def greatest(g: Generator) -> None:
    if x := g.pick("fiu", lambda r: len(g.shape(r)) >= 1 and g.shape(r)[-1] > 0):
        g.add("nn.top_k", x, g.random.randint(1, min(g.shape(x)[-1], 5)))
