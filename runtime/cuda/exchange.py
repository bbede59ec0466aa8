"""Feeds and fetches of a plan's runs on a GPU: which are on the host, which on the device, where kernels find them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from flowc.codegen.plan import Plan, Space
from flowc.framework.graph import Graph
from flowc.runtime import run_errors
from flowc.runtime.buffers import address_of
from flowc.runtime.cuda.captured_steps import Variant
from flowc.runtime.cuda.device_arrays import FedArray
from flowc.runtime.cuda.device_memory import DeviceMemory, size_of
from flowc.runtime.cuda.device_results import DeviceArray, DeviceBlock, DevicePool
from flowc.runtime.cuda.driver import Array, Gpu
from flowc.runtime.executor import numpy_dtype

_ACCESS: Final = 16  # bytes that a kernel reads at once
USUAL: Final = Variant()  # feeds and fetches on the host

Blocks = Sequence[DeviceBlock]  # one a fetch, for those that stay on the device; empty where they come to the host


class Exchange:
    """What goes in and comes out of one plan's runs. To be used with the GPU's lock held, the GPU entered."""

    def __init__(self, plan: Plan, gpu: Gpu, memory: DeviceMemory, pool: DevicePool, graph: Graph) -> None:
        self._plan, self._gpu, self._memory, self._pool, self._graph = plan, gpu, memory, pool, graph
        self._computed = [index for index, spec in enumerate(plan.fetches) if spec.source == "kernel"]
        self._sizes = [size_of(spec) for spec in plan.fetches]
        self._dtypes = [numpy_dtype(spec.dtype) for spec in plan.fetches]
        self._are_all_written = len(self._computed) == len(plan.fetches) and all(memory.can_be_fetched_to)
        self._copies = [view.copy for view in memory.fetches]
        self._is_usual = False  # whether kernels find feeds and fetches in the plan's own memory

    # -- before a run --------------------------------------------------------------------------------------------------

    def blocks(self) -> list[DeviceBlock]:
        """Memory for fetches that stay on the device. Raises DeviceMemoryError."""
        return [self._pool.take(size) for size in self._sizes]

    def bring(self, feeds: Sequence[Any], blocks: Blocks) -> Variant:
        """Feeds to where kernels find them, and their addresses and those of fetches to the kernels.

        Raises InvalidArgumentError for an array on another device.
        """
        if not blocks and FedArray not in map(type, feeds):
            for staged, fed in zip(self._memory.feeds, feeds, strict=True):
                staged[...] = fed
            if not self._is_usual:
                self._point(self._memory.own_feeds, self._memory.own_fetches)
                self._is_usual = True
            return USUAL
        self._is_usual = False
        addresses, on_device = self._placed(feeds)
        self._point(addresses, self._targets(blocks))
        return Variant(on_device, not blocks or not self._computed)

    def _point(self, feeds: Sequence[int], fetches: Sequence[int]) -> None:
        self._memory.point(tuple(feeds), tuple(fetches))
        self._memory.write_blocks()

    def _placed(self, feeds: Sequence[Any]) -> tuple[list[int], int]:
        """Where kernels find feeds, and a bit for each that is fed on the device."""
        addresses, on_device = list(self._memory.own_feeds), 0
        for index, fed in enumerate(feeds):
            if type(fed) is FedArray:
                on_device |= 1 << index
                addresses[index] = self._address(index, fed)
            else:
                self._memory.feeds[index][...] = fed
        return addresses, on_device

    def _address(self, index: int, fed: FedArray) -> int:
        """Where kernels can read an array of the user's: in its place, or copied within the device."""
        own = self._memory.own_feeds[index]
        if not fed.nbytes:
            return own
        if fed.gpu is not self._gpu and (fed.gpu is not None or not self._gpu.holds(fed.address)):
            raise run_errors.on_another_device(self._graph, fed.name, self._gpu.info)
        if fed.stream is not None:
            self._gpu.wait_for(fed.stream)
        if fed.address % _ACCESS == 0 and self._memory.blocks.can_point(Space.FEED, index):
            return fed.address
        self._gpu.copy(own, fed.address, fed.nbytes)
        return own

    def _targets(self, blocks: Blocks) -> Sequence[int]:
        """Where kernels write computed fetches."""
        own, free = self._memory.own_fetches, self._memory.can_be_fetched_to
        if not blocks:
            return own
        if self._are_all_written:
            return [block.address for block in blocks]
        return [blocks[i].address if free[n] else own[n] for n, i in enumerate(self._computed)]

    # -- after it ------------------------------------------------------------------------------------------------------

    def fetched(self, feeds: Sequence[Any]) -> list[Array]:
        """The fetches, on the host."""
        if len(self._copies) == len(self._plan.fetches):
            return [copy() for copy in self._copies]
        computed = iter(self._copies)
        known: dict[str, Sequence[Any]] = {"constant": self._plan.constants, "feed": feeds}
        return [
            next(computed)() if fetch.source == "kernel" else self._on_host(known[fetch.source][fetch.index])
            for fetch in self._plan.fetches
        ]

    def _on_host(self, value: Any) -> Array:
        """A constant or a feed as a fetch: a copy."""
        if type(value) is not FedArray:
            copied: Array = value.copy()
            return copied
        result = np.empty(value.shape, value.dtype)
        self._gpu.download(address_of(result), value.address, value.nbytes)
        self._gpu.synchronize()
        return result

    def kept(self, feeds: Sequence[Any], blocks: Blocks) -> list[DeviceArray]:
        """The fetches, in their blocks: copied there, where no kernel has written them there."""
        if not self._are_all_written:
            for number, index in enumerate(self._computed):
                if not self._memory.can_be_fetched_to[number]:
                    self._gpu.copy(blocks[index].address, self._memory.own_fetches[number], self._sizes[index])
            for index, spec in enumerate(self._plan.fetches):
                if spec.source == "constant":
                    self._gpu.copy(blocks[index].address, self._memory.constants[spec.index], self._sizes[index])
                elif spec.source == "feed":
                    self._copy_feed(blocks[index], spec.index, feeds[spec.index])
            self._gpu.synchronize()
        made = zip(self._plan.fetches, self._dtypes, blocks, strict=True)
        return [DeviceArray(spec.shape, dtype, spec.dtype, block) for spec, dtype, block in made]

    def _copy_feed(self, block: DeviceBlock, index: int, fed: Any) -> None:
        if type(fed) is FedArray:
            self._gpu.copy(block.address, fed.address, fed.nbytes)
        else:
            self._gpu.upload(block.address, address_of(self._memory.feeds[index]), fed.nbytes)
