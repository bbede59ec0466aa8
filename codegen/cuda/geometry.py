"""How many threads run a kernel: it says so itself, in a comment on its first line.

# block of 256 threads     the kernel shares units out among blocks and their threads itself
(nothing)                  each thread takes units by itself
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

THREADS: Final = 256  # a block of a kernel that does not say
WAVES: Final = 8  # blocks for each multiprocessor, beyond which threads take several units
MOST_BLOCKS: Final = (1 << 31) - 1
_SHARED_OUT: Final = re.compile(r"# block of (\d+) threads(?:, (\d+) units)?\n")


@dataclass(frozen=True)
class Geometry:
    """Blocks of a launch, and threads of each."""

    blocks: int
    threads: int


def is_shared_out(source: str) -> bool:
    """Whether the kernel shares its units out itself."""
    return _SHARED_OUT.match(source) is not None


def heading(threads: int, units: int = 1) -> str:
    """The first line of a kernel whose blocks take `units` units at a time."""
    return f"# block of {threads} threads, {units} units\n"


def geometry_of(source: str, units: int, multiprocessors: int) -> Geometry:
    """The blocks and threads for a launch of so many units."""
    found = _SHARED_OUT.match(source)
    if found is None:
        threads = THREADS if units >= THREADS else -(-units // 32) * 32
        needed = -(-units // threads)
        return Geometry(min(needed, 8 * WAVES * multiprocessors), threads)
    each = int(found[2] or 1)
    return Geometry(min(-(-units // each), 8 * WAVES * multiprocessors, MOST_BLOCKS), int(found[1]))
