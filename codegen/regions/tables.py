"""The tables of a plan that is being made, and how the plans of a region's parts are linked into them.

A part's rows do not belong to the tape that a run goes through: they come after it, and a control kernel has them run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowc.codegen.ir import Array
from flowc.codegen.memory import Place
from flowc.codegen.plan import ENTRY_WIDTH, Column, ErrorSite, Kernel, Plan, Space

Entry = tuple[int, ...]  # by Column


@dataclass(frozen=True)
class Rows:
    """Entries of regions: where they start, counted from the first such, and how many they are."""

    start: int
    count: int


@dataclass
class Tables:
    """What kernels are called with. Numbers of kernels, symbols, state words: in the order of first use."""

    words: list[int] = field(default_factory=list)
    relocations: list[tuple[int, int, int]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    rows: list[Entry] = field(default_factory=list)  # of regions
    row_labels: list[str] = field(default_factory=list)
    errors: list[ErrorSite] = field(default_factory=list)
    kernels: dict[Kernel, int] = field(default_factory=dict)
    symbols: dict[str, int] = field(default_factory=dict)
    state: dict[str, int] = field(default_factory=dict)
    constants: list[Array] = field(default_factory=list)
    stacks: int = 0
    _constant_numbers: dict[int, int] = field(default_factory=dict)

    def constant(self, number: int, array: Array) -> int:
        """The plan's number of the program's constant `number`."""
        found = self._constant_numbers.get(number)
        if found is None:
            found = self._constant_numbers[number] = len(self.constants)
            self.constants.append(array)
        return found

    def relocated(self, space: Space, index: int, offset: int) -> None:
        """Adds a word that is an address."""
        self.relocations.append((len(self.words), space, index))
        self.words.append(offset)

    def symbol(self, name: str) -> int:
        """The number of an external function."""
        return self.symbols.setdefault(name, len(self.symbols))

    def state_word(self, key: str) -> int:
        """The number of a word that the session keeps."""
        return self.state.setdefault(key, len(self.state))

    def entry(self, kernel: Kernel, args: int, units: int, grain: int, guard: int, moved: int, label: str) -> None:
        """Adds a launch."""
        number = self.kernels.setdefault(kernel, len(self.kernels))
        self.entries.append((number, args, units, grain, guard, moved))
        self.labels.append(label)

    # -- linking -------------------------------------------------------------------------------------------------------

    def link(self, plan: Plan, place: Callable[[Space, int], Place]) -> Rows:
        """Adds a part's plan. `place`: where in this plan its arena, its feeds and its variables lie."""
        first_word, first_error, first_row = len(self.words), len(self.errors), len(self.rows)
        kernels = [self.kernels.setdefault(kernel, len(self.kernels)) for kernel in plan.kernels]
        self.errors.extend(plan.errors)
        self.words.extend(plan.words.tolist())
        renumber = self._renumbering(plan, place)
        for word, number, index in plan.relocations.tolist():
            space = Space(number)
            at = first_word + word
            moved = renumber(space, index)
            self.relocations.append((at, moved.space, moved.index))
            self.words[at] += first_row if space is Space.TAPE else moved.offset
            if space is Space.STATUS:
                self.words[at + 1] += first_error  # the number of the error follows the record's address
        self.stacks += plan.stacks
        for row in plan.entries.tolist():
            row[Column.KERNEL] = kernels[row[Column.KERNEL]]
            row[Column.ARGS] += first_word
            self.rows.append(tuple(row))
        self.row_labels.extend(plan.labels)
        return Rows(first_row, len(plan.entries) - plan.region_rows)

    def _renumbering(self, plan: Plan, place: Callable[[Space, int], Place]) -> Callable[[Space, int], Place]:
        first_constant, first_stack = len(self.constants), self.stacks
        self.constants.extend(plan.constants)
        symbols = [self.symbol(name) for name in plan.symbols]
        state = [self.state_word(key) for key in plan.state_keys]

        def renumber(space: Space, index: int) -> Place:
            if space in (Space.ARENA, Space.FEED, Space.VARIABLE):
                return place(space, index)
            tables: dict[Space, Sequence[int]] = {Space.SYMBOL: symbols, Space.STATE: state}
            firsts = {Space.CONSTANT: first_constant, Space.STACK: first_stack}
            return Place(space, tables[space][index] if space in tables else firsts.get(space, 0) + index)

        return renumber

    # -- the end -------------------------------------------------------------------------------------------------------

    def finished(self) -> dict[str, Any]:
        """The fields of the plan: the tape's entries first, then the regions' rows."""
        words = np.array(self.words, np.int64)
        relocations = np.array(self.relocations, np.int64).reshape(-1, 3)
        words[relocations[relocations[:, 1] == Space.TAPE, 0]] += len(self.entries)
        return {
            "constants": tuple(self.constants),
            "kernels": tuple(self.kernels),
            "entries": np.array(self.entries + self.rows, np.int64).reshape(-1, ENTRY_WIDTH),
            "words": words,
            "relocations": relocations,
            "region_rows": len(self.rows),
            "stacks": self.stacks,
            "state_words": len(self.state),
            "state_keys": tuple(self.state),
            "symbols": tuple(self.symbols),
            "errors": tuple(self.errors),
            "labels": tuple(self.labels + self.row_labels),
        }
