"""Plans bound to memory: `Executable(plan, kernel_addresses, storage)` runs a plan on NumPy arrays.

The short way is for the caller to make the outputs and call the builtin, some 0.3 µs for a plan of one kernel:

    done = executable.entry(*feeds, *outputs)    # True: run. None: raise executable.take_fault(). False:
    executable.run(feeds)

It declines whatever is out of the ordinary (arrays that are not exactly as planned, threads not started, variables
whose memory moved, an instance that another thread uses); `run` handles all of that, and says what is wrong with a
feed.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flowc.codegen.plan import Column, ErrorSite, Plan, Space, TensorSpec
from flowc.framework.dtypes import as_dtype
from flowc.runtime import native
from flowc.runtime.buffers import OutputArrays, Words, address_of
from flowc.runtime.instance import Instance, Storage
from flowc.runtime.layout import Block
from flowc.runtime.native_code import FAULT, LOCKED, STALE
from flowc.runtime.pool import pool

Array = npt.NDArray[Any]

# A shorter run keeps the GIL: threads that hand it over to each other sleep and wake at each run, some 10 µs a time.
_SHORT_RUN_NS = 30000
_SHORT_LOOP_NS = 2000  # where loops repeat what is counted once
_ENTRY_NS = 5
_CHUNK_NS = 5000  # what `grain` units of work take
_BYTES_PER_NS = 8


class KernelFault(Exception):
    """A kernel reported bad values. The session makes the public error of it: `site.error`, with the op's line."""

    def __init__(self, site_index: int, site: ErrorSite, details: tuple[int, int, int]) -> None:
        super().__init__(site.text(details))
        self.site_index, self.site, self.details = site_index, site, details


class Executable:
    """One plan, its kernels and the memory of as many simultaneous runs as there were.

    Without `storage` the plan may have neither variables nor state words. Threads may call everything at once; runs of
    plans that share a storage's variables take turns, others run in parallel.

    Attributes: `entry`, the short way; `outputs`, one `OutputArrays` for each fetch that a kernel computes.
    """

    def __init__(self, plan: Plan, kernel_addresses: Sequence[int], storage: Storage | None = None) -> None:
        if storage is None and (plan.variables or plan.state_keys):
            raise ValueError("a plan with variables or state needs a storage")
        self.plan = plan
        self._kernels = np.array([*kernel_addresses, 0], np.int64)
        self._storage = storage
        self._lock = threading.Lock()
        self._computed = [i for i, fetch in enumerate(plan.fetches) if fetch.source == "kernel"]
        self.outputs = [OutputArrays(plan.fetches[i].shape, numpy_dtype(plan.fetches[i].dtype)) for i in self._computed]
        self.is_short = estimated_ns(plan) < (_SHORT_LOOP_NS if plan.region_rows else _SHORT_RUN_NS)
        self._instances = [self._new_instance()]
        primary = self._instances[0]
        self.entry: Callable[..., bool | None] = (
            self._enter_slowly if native.entry_problem() else native.make_entry(primary.block, primary)
        )
        if primary.needs_threads:
            pool().start()
        _executables.add(self)

    def call(self, *feeds: Array) -> list[Array]:
        """The plan's fetches for these feeds, in the order of `plan.fetches`; the short way where it can be taken."""
        outputs = [output.take() for output in self.outputs]
        done = self.entry(*feeds, *outputs)
        if done:
            return self.fetched(feeds, outputs)
        if done is None:
            raise self.take_fault()
        return self.run(feeds)

    def run(self, feeds: Sequence[Array]) -> list[Array]:
        """The same, with checks that say what is wrong. Raises TypeError, ValueError (feeds) and KernelFault."""
        arrays = self._checked(feeds)
        outputs = [output.take() for output in self.outputs]
        done = self.entry(*arrays, *outputs)
        if done is None:
            raise self.take_fault()
        if not done:
            self._run_on_some_instance([*arrays, *outputs], times=None)
        return self.fetched(arrays, outputs)

    def run_timed(self, feeds: Sequence[Array]) -> tuple[list[Array], Words]:
        """Also the start and the stop of each entry of the tape, in ns of CLOCK_MONOTONIC: int64 [entries, 2]."""
        times = np.zeros((len(self.plan.entries), 2), np.int64)
        arrays = self._checked(feeds)
        outputs = [output.take() for output in self.outputs]
        self._run_on_some_instance([*arrays, *outputs], times)
        return self.fetched(arrays, outputs), times

    def take_fault(self) -> KernelFault:
        """The error that `entry` answered None for; the instance is free again."""
        return self._fault(self._instances[0])

    def _run_on_some_instance(self, arrays: Sequence[Array], times: Words | None) -> None:
        if self._instances[0].needs_threads:
            pool().start()
        instance = self._claim()
        try:
            instance.patch(arrays)
            instance.block[Block.TIMES] = 0 if times is None else address_of(times)
            while (outcome := self._outcome(instance)) == STALE:
                instance.bind_variables()
            instance.block[Block.TIMES] = 0
            if outcome == FAULT:
                raise self._fault(instance)
        finally:
            instance.block[Block.BUSY] = 0

    def _outcome(self, instance: Instance) -> int:
        """Of a native run. A short one keeps the GIL here, too: else those that come meanwhile had to give it up."""
        outcome = native.try_run(instance.address) if self.is_short else LOCKED
        return native.run(instance.address) if outcome == LOCKED else outcome

    def _enter_slowly(self, *arrays: Array) -> bool | None:
        """`entry` where the builtin cannot be: the same contract."""
        instance = self._instances[0]
        ready = pool().is_running or not instance.needs_threads
        if not ready or not instance.fits(arrays) or not native.try_lock(instance.address):
            return False
        instance.patch(arrays)
        outcome = native.run(instance.address)
        if outcome == FAULT:
            return None
        instance.block[Block.BUSY] = 0
        return bool(outcome != STALE)

    def _fault(self, instance: Instance) -> KernelFault:
        error, *details = (int(word) for word in instance.block[Block.STATUS : Block.STATUS + 4])
        instance.block[Block.BUSY] = 0
        return KernelFault(error - 1, self.plan.errors[error - 1], (details[0], details[1], details[2]))

    def _claim(self) -> Instance:
        """An instance that nobody uses, now busy."""
        with self._lock:
            for instance in self._instances:
                if native.try_lock(instance.address):
                    return instance
            instance = self._new_instance()
            instance.block[Block.BUSY] = 1
            self._instances.append(instance)
            return instance

    def _new_instance(self) -> Instance:
        return Instance(self.plan, self._kernels, self._storage, self._computed, keep_gil=self.is_short)

    def _checked(self, feeds: Sequence[Array]) -> list[Array]:
        if len(feeds) != len(self.plan.feeds):
            raise ValueError(f"the plan takes {len(self.plan.feeds)} feeds, not {len(feeds)}")
        return [_checked_feed(feed, spec) for feed, spec in zip(feeds, self.plan.feeds, strict=True)]

    def fetched(self, feeds: Sequence[Array], outputs: list[Array]) -> list[Array]:
        """All fetches after a run by `entry`: its outputs, and copies of what the host already has."""
        if len(outputs) == len(self.plan.fetches):
            return outputs
        computed = iter(outputs)
        known = {"constant": self.plan.constants, "feed": feeds}
        return [
            next(computed) if fetch.source == "kernel" else known[fetch.source][fetch.index].copy()
            for fetch in self.plan.fetches
        ]

    def forget_runs(self) -> None:
        """In a forked child: the parent's other threads, which may have been in a run, are not here."""
        self._lock = threading.Lock()
        for instance in self._instances:
            instance.block[Block.BUSY] = 0


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of a plan's: strings are Python objects, bfloat16 the bits of it."""
    dtype: np.dtype[Any] = np.dtype(as_dtype(name).as_numpy_dtype)
    return dtype


def estimated_ns(plan: Plan) -> float:
    """About how long a run takes on one thread: what each entry moves or, if more, what its grains are said to cost."""
    entries = plan.entries.reshape(-1, len(Column)).astype(np.float64)
    moved = entries[:, Column.BYTES] / _BYTES_PER_NS
    computed = entries[:, Column.UNITS] / np.maximum(entries[:, Column.GRAIN], 1) * _CHUNK_NS
    return float(np.sum(_ENTRY_NS + np.maximum(moved, computed)))


def _checked_feed(feed: Array, spec: TensorSpec) -> Array:
    array, dtype = np.asarray(feed), numpy_dtype(spec.dtype)
    if array.dtype != dtype:
        raise TypeError(f"{spec.name} is fed {array.dtype}; the plan was made for {spec.dtype}")
    if array.shape != spec.shape:
        raise ValueError(f"{spec.name} is fed shape {array.shape}; the plan was made for {spec.shape}")
    return array if array.flags.carray else np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


_executables: weakref.WeakSet[Executable] = weakref.WeakSet()


def _after_fork() -> None:
    for executable in _executables:
        executable.forget_runs()


os.register_at_fork(after_in_child=_after_fork)

__all__ = ["Executable", "KernelFault", "Space", "Storage", "numpy_dtype"]
