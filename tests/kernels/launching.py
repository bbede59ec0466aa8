"""Runs the launches of one call node on NumPy arrays, without a plan."""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import flowc.codegen.lower  # noqa: F401  # registers the templates
from flowc.codegen.ir import Node, access
from flowc.codegen.plan import ErrorSite
from flowc.codegen.program import Program
from flowc.codegen.templates import Launch, Pointer, StateWord, StatusWord, Symbol, template_of
from flowc.framework.dtypes import as_dtype
from flowc.runtime import symbols
from flowc.runtime.kernels import compile_kernels

Array = np.ndarray[Any, Any]
_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


@dataclass
class Outcome:
    """The result of a call, and the error that it recorded, formatted, if any."""

    value: Array
    error: str = ""


@dataclass
class Runner:
    """Feeds of a program, and the words that ops keep between runs."""

    program: Program = field(default_factory=Program)
    arrays: list[Array] = field(default_factory=list)
    state: dict[str, Array] = field(default_factory=dict)

    def feed(self, value: Any) -> Node:
        """An input that holds `value`."""
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        self.arrays.append(array)
        return self.program.feed(len(self.arrays) - 1, as_dtype(array.dtype), array.shape)

    def run(self, call: Node, pieces: int = 3) -> Outcome:
        """The result of a call node. `pieces`: into how many ranges each launch is cut."""
        template = template_of(call)
        result = np.full(call.shape, 77, call.dtype.as_numpy_dtype)
        if template.in_place is not None:
            result[...] = self.value_of(call.args[template.in_place])
        for launch in template.launches(call):
            error = self._launch(call, launch, result, pieces)
            if error:
                return Outcome(result, error)
        return Outcome(result)

    def value_of(self, node: Node) -> Array:
        """The array of an input, a constant, or a view of one."""
        base = node.args[0] if node.op == "view" else node
        _, offset, strides = access(node)
        array = self._memory(base)
        steps = [s * array.itemsize for s in strides]
        return np.lib.stride_tricks.as_strided(array.reshape(-1)[offset:], node.shape, steps)

    def _memory(self, base: Node) -> Array:
        if base.op == "const":
            return self.program.constants[base.attr]
        if base.op == "call":
            return self._results.setdefault(base, self.run(base).value)
        return self.arrays[base.attr[1]]

    def __post_init__(self) -> None:
        self._results: dict[Node, Array] = {}

    def _launch(self, call: Node, launch: Launch, result: Array, pieces: int) -> str:
        status = np.zeros(4, np.int64)
        messages: list[str] = []
        words: list[int] = []
        for word in launch.words:
            if isinstance(word, Pointer):
                words.append(self._address(call, word, result))
            elif isinstance(word, StatusWord):
                messages.append(word.message)
                words += [status.ctypes.data, len(messages)]
            elif isinstance(word, StateWord):
                words.append(self.state.setdefault(word.key, np.zeros(1, np.int64)).ctypes.data)
            else:
                words.append(symbols.resolve(word.name) if isinstance(word, Symbol) else word)
        block = np.array(words, np.int64)
        function = _KERNEL(compile_kernels([launch.kernel])[0])
        cuts = np.linspace(0, launch.units, min(pieces, max(launch.units // launch.grain, 1)) + 1).astype(int).tolist()
        for lo, hi in itertools.pairwise(cuts):
            if lo < hi:
                function(block.ctypes.data, lo, hi)
        return ErrorSite("", "", messages[status[0] - 1]).text(status[1:].tolist()) if status[0] else ""

    def _address(self, call: Node, pointer: Pointer, result: Array) -> int:
        if pointer.arg < 0:
            return result.ctypes.data + pointer.offset
        arg = call.args[pointer.arg]
        base = arg.args[0] if arg.op == "view" else arg
        return self._memory(base).ctypes.data + access(arg)[1] * arg.dtype.size + pointer.offset
