"""Where a queue keeps its elements: one column a component, and an order that says which slot comes next.

An element is a tuple with one array a component. Elements are copied in and out, so that neither side sees the other's
memory. The store grows as it fills: a queue without a bound, or with a large one, holds no more memory than its
elements at most needed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

_FIRST_SLOTS: Final = 16
_COPIED_WITH_GIL: Final = 500  # elements: from here on NumPy lets other threads run while it copies
_BYTE_FORMATS: Final = frozenset("?bBhHiIlLqQefd")  # which memoryview can look at as bytes


class Order(Protocol):
    """Which slots are taken, and which element is the next to go."""

    count: int

    def put(self) -> int:
        """A free slot, now taken."""

    def take(self) -> int:
        """The slot of the element that goes next, now free."""

    def put_back(self) -> int:
        """A free slot, now taken, whose element is the next to go where that is defined."""

    def grow(self, slots: int) -> list[int]:
        """Makes room for `slots` elements; the old slots in the order in which the new ones 0, 1, … follow them."""


class FirstInFirstOut:
    """Slots of a ring."""

    def __init__(self) -> None:
        self.count = 0
        self._head = 0
        self._slots = _FIRST_SLOTS

    def put(self) -> int:
        slot = (self._head + self.count) % self._slots
        self.count += 1
        return slot

    def take(self) -> int:
        slot = self._head
        self._head = (slot + 1) % self._slots
        self.count -= 1
        return slot

    def put_back(self) -> int:
        self._head = (self._head - 1) % self._slots
        self.count += 1
        return self._head

    def grow(self, slots: int) -> list[int]:
        old = [(self._head + i) % self._slots for i in range(self._slots)]
        self._head, self._slots = 0, slots
        return old


class Shuffled:
    """A permutation of all slots, the taken ones first; each element is as likely as any other to go next."""

    def __init__(self, seed: int | None) -> None:
        self.count = 0
        self._slots = list(range(_FIRST_SLOTS))
        self._random = random.Random(seed).random

    def put(self) -> int:
        slot = self._slots[self.count]
        self.count += 1
        return slot

    put_back = put

    def take(self) -> int:
        slots = self._slots
        self.count -= 1
        last, chosen = self.count, int(self._random() * (self.count + 1))
        slot = slots[chosen]
        slots[chosen], slots[last] = slots[last], slot
        return slot

    def grow(self, slots: int) -> list[int]:
        old = list(range(len(self._slots)))
        self._slots.extend(range(len(old), slots))
        return old


class Column(Protocol):
    """One component of the elements, by slot."""

    def put(self, slot: int, value: Array) -> None:
        """Copies a value in."""

    def take(self, slot: int) -> Array:
        """The value, which the slot gives up."""

    def put_many(self, slots: list[int], values: Array) -> None:
        """Copies one row a slot in."""

    def grow(self, old: list[int], slots: int) -> None:
        """Makes room for `slots`, the first of them with what the slots `old` hold."""


class Rows:
    """Values of one shape: the rows of an array."""

    def __init__(self, dtype: Any, shape: tuple[int, ...]) -> None:
        self._set(np.empty((_FIRST_SLOTS, *shape), dtype))

    def _set(self, rows: Array) -> None:
        self._rows = rows
        row = rows[0, ...]
        # One value is copied faster than threads take turns, and the one that runs meanwhile waits for the queue.
        as_bytes = row.size > _COPIED_WITH_GIL and row.dtype.char in _BYTE_FORMATS
        self._size, self._bytes = (row.nbytes, rows.data.cast("B")) if as_bytes else (0, memoryview(b""))

    def put(self, slot: int, value: Array) -> None:
        size = self._size
        if size and value.flags.c_contiguous:
            self._bytes[slot * size : (slot + 1) * size] = value.data.cast("B")
        else:
            self._rows[slot, ...] = value  # the ellipsis, so that a string is not stored as an array of one

    def take(self, slot: int) -> Array:
        value: Array = self._rows[slot, ...].copy()
        return value

    def put_many(self, slots: list[int], values: Array) -> None:
        self._rows[slots] = values

    def take_many(self, slots: list[int], out: Array) -> None:
        """The values, as the rows of `out`."""
        np.take(self._rows, slots, axis=0, out=out, mode="clip")  # the mode "raise" would buffer the output

    def grow(self, old: list[int], slots: int) -> None:
        larger = np.empty((slots, *self._rows.shape[1:]), self._rows.dtype)
        larger[: len(old)] = self._rows[old]
        self._set(larger)


class Values:
    """Values of any shapes."""

    def __init__(self) -> None:
        self._values: list[Any] = [None] * _FIRST_SLOTS

    def put(self, slot: int, value: Array) -> None:
        self._values[slot] = value.copy()

    def take(self, slot: int) -> Array:
        value: Array = self._values[slot]
        self._values[slot] = None
        return value

    def put_many(self, slots: list[int], values: Array) -> None:
        for slot, index in zip(slots, range(len(slots)), strict=True):
            self._values[slot] = values[index, ...].copy()

    def grow(self, old: list[int], slots: int) -> None:
        self._values = [self._values[slot] for slot in old] + [None] * (slots - len(old))


class Store:
    """The elements of a queue. Not safe for threads: the queue's lock guards it.

    shapes: one a component, None where its values may have any; `take_many` needs all of them.
    """

    def __init__(self, dtypes: Sequence[Any], shapes: Sequence[tuple[int, ...] | None], order: Order) -> None:
        self._order = order
        self._slots = _FIRST_SLOTS
        self._columns: list[Column] = [
            Values() if shape is None else Rows(dtype, shape) for dtype, shape in zip(dtypes, shapes, strict=True)
        ]

    def __len__(self) -> int:
        return self._order.count

    def put(self, element: Sequence[Array]) -> None:
        """Adds one element."""
        self._make_room(1)
        slot = self._order.put()
        for column, value in zip(self._columns, element, strict=True):
            column.put(slot, value)

    def take(self) -> list[Array]:
        """Removes the next element."""
        slot = self._order.take()
        return [column.take(slot) for column in self._columns]

    def put_many(self, rows: Sequence[Array], start: int, stop: int) -> None:
        """Adds the elements `start` to `stop` of arrays with one row an element."""
        self._make_room(stop - start)
        slots = [self._order.put() for _ in range(start, stop)]
        for column, values in zip(self._columns, rows, strict=True):
            column.put_many(slots, values[start:stop])

    def put_back(self, rows: Sequence[Array], count: int) -> None:
        """Adds the first `count` rows such that they are the next to go, in their order."""
        self._make_room(count)
        slots = [self._order.put_back() for _ in range(count)][::-1]
        for column, values in zip(self._columns, rows, strict=True):
            column.put_many(slots, values[:count])

    def take_many(self, rows: Sequence[Array], start: int, stop: int) -> None:
        """Removes the next elements, into the rows `start` to `stop` of one array a component."""
        slots = [self._order.take() for _ in range(start, stop)]
        for column, out in zip(self._columns, rows, strict=True):
            assert isinstance(column, Rows)
            column.take_many(slots, out[start:stop])

    def _make_room(self, count: int) -> None:
        while self._order.count + count > self._slots:
            old = self._order.grow(2 * self._slots)
            for column in self._columns:
                column.grow(old, 2 * self._slots)
            self._slots *= 2
