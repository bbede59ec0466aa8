"""A plan: everything one `Session.run` signature needs to execute, as plain data.

A plan holds no pointers and no Python callables of the graph, so that it can be written to disk, read by a process that
never saw the graph, and bound to memory there (`flowc.runtime.executor`). Its heart is a flat tape:

    entries   one row a kernel launch: which kernel, where its argument block starts, how many units of work, …
    words     all argument blocks, one after another, as int64 words
    relocations   which of those words are addresses, and of what; until it is bound, such a word holds a byte offset

A kernel is a native function `void kernel(int64 *args, int64 lo, int64 hi)`: it does the units of work `lo … hi-1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt


class Space(IntEnum):
    """What a relocated word points into. The relocation's `index` says which one."""

    ARENA = 0  # temporaries; index unused
    CONSTANT = 1  # Plan.constants[index]
    VARIABLE = 2  # Plan.variables[index], storage owned by the session
    FEED = 3  # Plan.feeds[index], patched at every run
    FETCH = 4  # Plan.fetches[index], patched at every run
    STATUS = 5  # the run's error record: int64[4] = (error id + 1 or 0, detail, detail, detail)
    STATE = 6  # Plan.state_words[index:], int64 words kept by the session between runs (random counters)
    SYMBOL = 7  # address of the external function Plan.symbols[index]
    TAPE = 8  # the tape's row whose number the word holds; index unused
    STACK = 9  # two words that the instance keeps: the address of memory that grows while it runs, and its bytes
    RUNTIME = 10  # address of what `Runtime(index)` is


class Runtime(IntEnum):
    """What kernels need of the runtime."""

    BLOCK = 0  # the instance's block
    RUN_ROWS = 1  # the function (block, address of a row, rows) that runs a part of the tape
    REALLOCATE = 2  # the C library's realloc


class Column(IntEnum):
    """Columns of `Plan.entries`."""

    KERNEL = 0  # index into Plan.kernels
    ARGS = 1  # index of the argument block's first word in Plan.words
    UNITS = 2  # units of work
    GRAIN = 3  # least units that are worth a chunk of their own: the launch splits into at most UNITS // GRAIN chunks
    GUARD = 4  # 1: skip this entry and all after it when an error is recorded (it overwrites a variable)
    BYTES = 5  # bytes read and written, for traces and explain()


ENTRY_WIDTH = len(Column)


@dataclass(frozen=True)
class Kernel:
    """One generated function; `source` is restricted Python, `name` the exported symbol."""

    name: str
    source: str


@dataclass(frozen=True)
class TensorSpec:
    """A feed, fetch or variable of the plan. `name` is the tensor's (`x:0`) or the variable's (`W`)."""

    name: str
    dtype: str  # a flowc dtype name: "float32", "string", …
    shape: tuple[int, ...]


@dataclass(frozen=True)
class VariableSpec(TensorSpec):
    reads: bool = True  # its value from before the run is read: it must be initialised
    writes: bool = False


@dataclass(frozen=True)
class FetchSpec(TensorSpec):
    """Where a fetched value comes from: a kernel's output buffer, or a value the host already has."""

    source: str = "kernel"  # "kernel" | "constant" (index: Plan.constants) | "feed" (index: Plan.feeds)
    index: int = 0


# After a variable's name: the memory of its value after a run that reads it in another shape.
RESHAPED: Final = ":reshaped"


class Detail(int):
    """A number that a kernel recorded. In a message `{0}` prints it, `{0:2,3}` the indices of that element of a tensor
    of shape [2, 3], with commas between them."""

    def __format__(self, shape: str) -> str:
        indices, rest = [], int(self)
        for size in reversed([int(n) for n in shape.split(",")] if shape else []):
            rest, index = divmod(rest, size)
            indices.append(str(index))
        return ",".join(reversed(indices)) or str(rest)


@dataclass(frozen=True)
class ErrorSite:
    """One place where a kernel can report bad values (a division of integers by zero, an index out of range)."""

    op: str  # name of the operation
    error: str  # class name in flowc.errors
    message: str  # may hold {0}, {1}, {2}: the details recorded by the kernel; see Detail

    def text(self, details: Sequence[int]) -> str:
        """The message with the recorded details."""
        return self.message.format(*map(Detail, details))


@dataclass
class Plan:
    """See the module's docstring. Arrays are little-endian and C-contiguous."""

    feeds: tuple[TensorSpec, ...]
    fetches: tuple[FetchSpec, ...]
    variables: tuple[VariableSpec, ...]
    constants: tuple[npt.NDArray[np.generic], ...]
    kernels: tuple[Kernel, ...]
    entries: npt.NDArray[np.int64]  # [launches, ENTRY_WIDTH]
    words: npt.NDArray[np.int64]
    relocations: npt.NDArray[np.int64]  # [n, 3]: word, space, index
    arena_size: int  # bytes
    region_rows: int = 0  # how many of the last entries a run does not go through: loops and conditionals run them
    stacks: int = 0  # how many of STACK
    state_words: int = 0  # how many int64 words of STATE
    state_keys: tuple[
        str, ...
    ] = ()  # one a state word: the op that owns it, so that plans of one session share counters
    symbols: tuple[str, ...] = ()  # names known to flowc.runtime.symbols, such as "cblas_sgemm"
    errors: tuple[ErrorSite, ...] = ()
    labels: tuple[str, ...] = ()  # one an entry: the ops it computes, for traces and errors
    explanation: dict[str, object] = field(default_factory=dict)  # JSON data that explain() prints
