"""One instance of a plan in memory: its arena, argument words with addresses in them, tape and control block."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flowc.codegen.plan import Column, Plan, Runtime, Space
from flowc.framework.dtypes import as_dtype
from flowc.runtime import blas, native
from flowc.runtime.buffers import Words, address_of, aligned_bytes, aligned_words
from flowc.runtime.layout import Block, Check, Row
from flowc.runtime.pool import pool
from flowc.runtime.session_lock import SessionLock

_NEVER_BOUND = -1  # no epoch: the first run finds the instance stale and binds its variables


class Storage(Protocol):
    """Where a plan's variables and state words live: the session, or a plan loaded from a file.

    The two addresses are asked for at an executable's first run and after the epoch advanced, with the lock held.
    """

    @property
    def lock(self) -> SessionLock:
        """Held while a plan runs that touches variables or state words; its epoch says when their memory changed."""

    def address(self, name: str, dtype: str, shape: tuple[int, ...]) -> int:
        """Address of the variable's memory, valid until the epoch advances."""

    def state_address(self, key: str) -> int:
        """Address of the int64 word that the op `key` keeps between runs."""


class Instance:
    """What one run of a plan works on; `block` is the part that native code starts from.

    Public state: `block`, its `address`, and `needs_threads`: whether the pool must have been started.
    An instance is used by whoever made BUSY, the block's first word, 1.
    """

    def __init__(
        self, plan: Plan, kernels: Words, storage: Storage | None, computed: list[int], *, keep_gil: bool
    ) -> None:
        self._plan, self._storage = plan, storage
        self._arena = aligned_bytes(plan.arena_size)
        self._words = aligned_words(len(plan.words))
        self._stacks = _stacks(self, plan.stacks)
        self._relocations = plan.relocations.reshape(-1, 3)
        self.block = aligned_words(Block.SIZE)
        self.address = address_of(self.block)
        self._arrays = [*((Space.FEED, i) for i in range(len(plan.feeds))), *((Space.FETCH, i) for i in computed)]
        self._patches = [self._patches_of(space, index) for space, index in self._arrays]
        self._dtypes = [np.dtype(as_dtype(s.dtype).as_numpy_dtype) for s in self._specs()]
        self._checks = self._make_checks()
        self._tape = self._make_tape(kernels)
        self.needs_threads = bool((self._tape[:, Row.SPLIT] >= 4).any())  # two chunks or more
        self._fill_block(keep_gil)
        self._bind_fixed()

    def patch(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Writes the addresses of feeds and computed fetches into the words that want them."""
        for array, (where, offsets) in zip(arrays, self._patches, strict=True):
            self._words[where] = address_of(array) + offsets

    def fits(self, arrays: Sequence[npt.NDArray[Any]]) -> bool:
        """Whether `patch` may be called with these arrays: what the builtin tests natively."""
        return len(arrays) == len(self._patches) and all(
            type(array) is np.ndarray
            and array.dtype == dtype
            and array.shape == spec.shape
            and array.flags.num & flags == flags
            for array, spec, dtype, flags in zip(arrays, self._specs(), self._dtypes, self._flags(), strict=True)
        )

    def bind_variables(self) -> None:
        """Writes the addresses of variables and state words as they are at the storage's present epoch."""
        storage = self._storage
        assert storage is not None
        with storage.lock.held():
            self.block[Block.BOUND_EPOCH] = storage.lock.epoch
            variables = [storage.address(v.name, v.dtype, v.shape) for v in self._plan.variables]
            states = [storage.state_address(key) for key in self._plan.state_keys]
        self._relocate(Space.VARIABLE, variables)
        self._relocate(Space.STATE, states)

    def _specs(self) -> list[Any]:
        known: dict[Space, Sequence[Any]] = {Space.FEED: self._plan.feeds, Space.FETCH: self._plan.fetches}
        return [known[space][index] for space, index in self._arrays]

    def _flags(self) -> list[int]:
        needed = native.ARRAY_IS_CONTIGUOUS_ALIGNED
        return [needed | (native.ARRAY_IS_WRITEABLE if space == Space.FETCH else 0) for space, _ in self._arrays]

    def _bind_fixed(self) -> None:
        plan = self._plan
        self._words[:] = plan.words
        self._relocate(Space.ARENA, address_of(self._arena))
        self._relocate(Space.STATUS, self.address + 8 * Block.STATUS)
        self._relocate(Space.CONSTANT, [address_of(constant) for constant in plan.constants])
        self._relocate(Space.SYMBOL, [blas.symbol_address(plan, name) for name in plan.symbols])
        if plan.region_rows or plan.stacks:
            self._bind_regions()

    def _bind_regions(self) -> None:
        where, _, _ = self._relocations[self._relocations[:, 1] == Space.TAPE].T
        self._words[where] = address_of(self._tape) + 8 * Row.SIZE * self._plan.words[where]
        stacks = address_of(self._stacks)
        self._relocate(Space.STACK, [stacks + 16 * index for index in range(self._plan.stacks)])
        others = [which for which in Runtime if which is not Runtime.BLOCK]
        self._relocate(Space.RUNTIME, [self.address, *map(native.runtime_address, others)])

    def _relocate(self, space: Space, base: int | Sequence[int]) -> None:
        """Makes words that point into `space` the address of its base (or `base[index]`) plus their offset."""
        where, _, index = self._relocations[self._relocations[:, 1] == space].T
        if len(where):
            self._words[where] = self._plan.words[where] + (base if isinstance(base, int) else np.array(base)[index])

    def _patches_of(self, space: Space, index: int) -> tuple[Words, Words]:
        rows = self._relocations[(self._relocations[:, 1] == space) & (self._relocations[:, 2] == index)]
        where = np.ascontiguousarray(rows[:, 0])
        return where, self._plan.words[where]

    def _make_checks(self) -> Words:
        words: list[int] = []
        base = address_of(self._words)
        for spec, dtype, flags, (where, offsets) in zip(
            self._specs(), self._dtypes, self._flags(), self._patches, strict=True
        ):
            check = [0] * Check.SIZE
            check[Check.DTYPE], check[Check.FLAGS] = id(dtype), flags
            check[Check.NDIM], check[Check.PATCHES] = len(spec.shape), len(where)
            words += [*check, *spec.shape]
            words += np.stack([base + 8 * where, offsets], axis=1).ravel().tolist()
        return np.array([*words, 0], np.int64)

    def _make_tape(self, kernels: Words) -> Words:
        entries = self._plan.entries.reshape(-1, len(Column))
        tape = aligned_words(Row.SIZE * len(entries)).reshape(-1, Row.SIZE)
        units = entries[:, Column.UNITS]
        tape[:, Row.KERNEL] = kernels[entries[:, Column.KERNEL]]
        tape[:, Row.ARGS] = address_of(self._words) + 8 * entries[:, Column.ARGS]
        tape[:, Row.UNITS] = units
        most_chunks = units // np.maximum(entries[:, Column.GRAIN], 1)
        tape[:, Row.SPLIT] = most_chunks * 2 + (entries[:, Column.GUARD] != 0)
        return tape

    def _fill_block(self, keep_gil: bool) -> None:
        block, plan = self.block, self._plan
        block[Block.RUN], block[Block.HOST] = native.run_address(), native.host_address()
        block[Block.POOL] = pool().address
        block[Block.KEEP_GIL], block[Block.NEEDS_THREADS] = keep_gil, self.needs_threads
        block[Block.BLAS] = blas.guard_address() if plan.symbols else 0
        block[Block.TAPE], block[Block.LENGTH] = address_of(self._tape), len(self._tape) - plan.region_rows
        block[Block.ARRAYS], block[Block.CHECKS] = len(self._arrays), address_of(self._checks)
        if self._storage is not None and (plan.variables or plan.state_keys):
            block[Block.LOCK] = self._storage.lock.lock_address
            block[Block.EPOCH], block[Block.BOUND_EPOCH] = self._storage.lock.epoch_address, _NEVER_BOUND


def _stacks(instance: Instance, count: int) -> Words:
    """The words of the stacks; the memory that they hold is freed with the instance."""
    words = aligned_words(2 * count)
    if count:
        weakref.finalize(instance, _free, words)
    return words


def _free(stacks: Words) -> None:
    for address in stacks[::2]:
        if address:
            ctypes.CDLL(None).free(ctypes.c_void_p(int(address)))
