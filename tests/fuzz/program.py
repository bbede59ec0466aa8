"""A program as data: the calls that build a graph, what to feed and what to fetch.

The same data builds the graph, prints as a script, and is what shrinking changes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import flowc as tf

Array = np.ndarray[Any, Any]
PERIOD = 61  # large arrays repeat as many values


@dataclass(frozen=True)
class Ref:
    """The result of an earlier step; `index`: an element of a result that is a list."""

    name: str
    index: int | None = None

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}[{self.index}]"


@dataclass(frozen=True)
class Api:
    """A name of the API that is an argument: `tf.int32`."""

    path: str

    def __str__(self) -> str:
        return f"tf.{self.path}"


@dataclass(frozen=True)
class Step:
    """One call of the API, `name = tf.function(*args, **kwargs)`, after `after` where that is not empty."""

    name: str
    function: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[Ref, ...] = ()

    def references(self) -> Iterator[Ref]:
        """The results of earlier steps that this one uses."""
        yield from self.after
        for value in (*self.args, *self.kwargs.values()):
            yield from _references(value)

    def lines(self) -> list[str]:
        """The step as Python."""
        arguments = [*map(render, self.args), *(f"{k}={render(v)}" for k, v in self.kwargs.items())]
        call = f"{self.name} = tf.{self.function}({', '.join(arguments)})"
        if not self.after:
            return [call]
        return [f"with tf.control_dependencies([{', '.join(map(str, self.after))}]):", f"    {call}"]


@dataclass(frozen=True)
class Program:
    """The steps, the fetches, the fed tensors with their values, and how often it is run."""

    steps: tuple[Step, ...]
    fetches: tuple[Ref, ...]
    feeds: tuple[tuple[Ref, Array], ...] = ()
    runs: int = 1

    def variables(self) -> list[Step]:
        """The steps that make variables."""
        return [s for s in self.steps if s.function == "Variable"]

    def without_unused(self) -> Program:
        """The program without the steps that no fetch needs."""
        needed = {ref.name for ref in self.fetches}
        for step in reversed(self.steps):
            if step.name in needed:
                needed |= {ref.name for ref in step.references()}
        steps = tuple(s for s in self.steps if s.name in needed)
        return Program(steps, self.fetches, tuple(f for f in self.feeds if f[0].name in needed), self.runs)


def _references(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _references(item)


def _equal(x: Array, y: Array) -> bool:
    return np.array_equal(x, y, equal_nan=x.dtype.kind in "fc")


def render(value: Any) -> str:
    """A value as Python source."""
    if isinstance(value, np.ndarray):
        first = value.reshape(-1)[:PERIOD]
        if value.size > PERIOD and _equal(value, np.resize(first, value.shape)):
            return f"np.resize({render(first)}, {value.shape})"
        kind = "object" if value.dtype == object else f"np.{'bool' if value.dtype == bool else value.dtype}"
        empty = "" if value.size else f".reshape({value.shape})"
        return f"np.array({value.tolist()}, {kind}){empty}"
    if isinstance(value, list):
        return f"[{', '.join(map(render, value))}]"
    return str(value) if isinstance(value, (Ref, Api)) else repr(value)


# -- building ----------------------------------------------------------------------------------------------------------


@functools.cache
def _lookup(path: str) -> Any:
    return functools.reduce(getattr, path.split("."), tf)


class Built:
    """The objects that a program's steps made in a graph."""

    def __init__(self) -> None:
        self.graph = tf.Graph()
        self.objects: dict[str, Any] = {}

    def add(self, step: Step) -> Any:
        """Calls what the step says; returns its result."""
        with self.graph.as_default():
            after = [self.resolve(ref) for ref in step.after]
            with self.graph.control_dependencies(after) if after else nullcontext():
                kwargs = {k: self.resolve(v) for k, v in step.kwargs.items()}
                result = _lookup(step.function)(*map(self.resolve, step.args), **kwargs)
        self.objects[step.name] = result
        return result

    def resolve(self, value: Any) -> Any:
        """The object that a step's argument stands for."""
        if isinstance(value, Ref):
            result = self.objects[value.name]
            return result if value.index is None else result[value.index]
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        return _lookup(value.path) if isinstance(value, Api) else value

    def tensor(self, ref: Ref) -> Any:
        """The tensor that a reference stands for; a variable's own reference for a variable."""
        found = self.resolve(ref)
        return found.ref() if isinstance(found, tf.Variable) else found


def build(program: Program) -> Built:
    """Makes the program's graph."""
    built = Built()
    for step in program.steps:
        built.add(step)
    return built


# -- printing ----------------------------------------------------------------------------------------------------------


def script(program: Program, expected: list[Any] | None = None) -> str:
    """The program as a Python script that runs it; with assertions, if the last run's expected values are given."""
    lines = ["import numpy as np", "from numpy import inf, nan", "", "import flowc as tf", ""]
    lines += [line for step in program.steps for line in step.lines()]
    lines += ["", "with tf.Session() as session:"]
    if program.variables():
        lines.append("    session.run(tf.initialize_all_variables())")
    feeds = ", ".join(f"{ref}: {render(value)}" for ref, value in program.feeds)
    run = f"values = session.run([{', '.join(map(str, program.fetches))}], {{{feeds}}})"
    if program.runs > 1:
        lines += [f"    for _ in range({program.runs}):", f"        {run}"]
    else:
        lines.append(f"    {run}")
    lines.append("print(values)")
    for index, value in enumerate(expected or []):
        lines.append(f"np.testing.assert_allclose(values[{index}], {render(np.asarray(value))}, rtol=1e-3, atol=1e-6)")
    return "\n".join(lines) + "\n"
