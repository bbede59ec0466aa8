"""Makes a failing program small, so that what is wrong with it can be seen.

Each rule proposes smaller programs; one that still fails in the same way takes the program's place, until no rule finds
one or the time is up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from tests.fuzz.check import check_quietly, reference_value
from tests.fuzz.program import Program, Ref, Step

Rule = Callable[[Program], Iterator[Program]]


def shrink(program: Program, kind: str, seconds: float = 60.0) -> Program:
    """A program no larger than `program` that fails with the same kind of failure."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        smaller = _first_failing(program, kind, deadline)
        if smaller is None:
            break
        program = smaller
    return program


def _first_failing(program: Program, kind: str, deadline: float) -> Program | None:
    for rule in RULES:
        for proposal in rule(program):
            if time.monotonic() > deadline:
                return None
            candidate = proposal.without_unused()
            failure = check_quietly(candidate)
            if failure is not None and failure.kind == kind:
                return candidate
    return None


def fewer_fetches(program: Program) -> Iterator[Program]:
    """One fetch alone, or all but one."""
    if len(program.fetches) > 1:
        for ref in program.fetches:
            yield replace(program, fetches=(ref,))
        for ref in program.fetches:
            yield replace(program, fetches=tuple(f for f in program.fetches if f != ref))


def fewer_runs(program: Program) -> Iterator[Program]:
    """One run."""
    if program.runs > 1:
        yield replace(program, runs=1)


def steps_as_constants(program: Program) -> Iterator[Program]:
    """A step's result, as a constant of the value that the reference gives it; the last steps first."""
    for index in reversed(range(len(program.steps))):
        step = program.steps[index]
        if step.function in ("constant", "placeholder", "Variable"):
            continue
        for ref in _results(program, step):
            value = _value(program, ref)
            if value is not None:
                yield _with_step(program, index, ref, Step(_new_name(program), "constant", (value,)))


def placeholders_as_constants(program: Program) -> Iterator[Program]:
    """A fed tensor as a constant."""
    for ref, value in program.feeds:
        index = next(i for i, s in enumerate(program.steps) if s.name == ref.name)
        yield _with_step(program, index, ref, Step(_new_name(program), "constant", (value,)))


def steps_left_out(program: Program) -> Iterator[Program]:
    """A step replaced by one of the tensors it takes."""
    for step in program.steps:
        for source in dict.fromkeys(step.references()):
            for ref in _results(program, step):
                yield _substituted(program, ref, source)


def fewer_arguments(program: Program) -> Iterator[Program]:
    """A step without its control dependencies; a list argument without one of its elements."""
    for index, step in enumerate(program.steps):
        if step.after:
            yield _with(program, index, replace(step, after=()))
        for position, arg in enumerate(step.args):
            if isinstance(arg, list) and len(arg) > 1 and isinstance(arg[0], Ref):
                for leave in range(len(arg)):
                    shorter = arg[:leave] + arg[leave + 1 :]
                    yield _with(program, index, replace(step, args=_set(step.args, position, shorter)))


def smaller_sizes(program: Program) -> Iterator[Program]:
    """Every dimension of one size, in arrays and in lists of sizes, made 1 or 2."""
    arrays = [a for s in program.steps for a in s.args if isinstance(a, np.ndarray)]
    sizes = {n for a in [*arrays, *(v for _, v in program.feeds)] for n in a.shape if n > 1}
    for size in sorted(sizes, reverse=True):
        for new in (1, 2):
            if new < size:
                yield _resized(program, size, new)


def simpler_values(program: Program) -> Iterator[Program]:
    """An array of ones, or of rounded values."""
    for index, step in enumerate(program.steps):
        for position, arg in enumerate(step.args):
            if isinstance(arg, np.ndarray) and arg.dtype.kind in "fiu" and arg.size:
                for simpler in (np.ones_like(arg), np.round(arg)):
                    if not np.array_equal(simpler, arg, equal_nan=arg.dtype.kind == "f"):
                        yield _with(program, index, replace(step, args=_set(step.args, position, simpler)))


RULES: tuple[Rule, ...] = (
    fewer_fetches,
    fewer_runs,
    steps_as_constants,
    steps_left_out,
    fewer_arguments,
    smaller_sizes,
    placeholders_as_constants,
    simpler_values,
)


# -- changing a program ------------------------------------------------------------------------------------------------


def _results(program: Program, step: Step) -> list[Ref]:
    """The references by which later steps and fetches use a step's result."""
    used = [ref for s in program.steps for ref in s.references()] + list(program.fetches)
    return list(dict.fromkeys(ref for ref in used if ref.name == step.name))


def _value(program: Program, ref: Ref) -> Any:
    try:
        return reference_value(program, ref)
    except Exception:  # such as a gradient that is None
        return None


def _new_name(program: Program) -> str:
    taken = {s.name for s in program.steps}
    return next(f"c{i}" for i in range(len(taken) + 1) if f"c{i}" not in taken)


def _with(program: Program, index: int, step: Step) -> Program:
    steps = (*program.steps[:index], step, *program.steps[index + 1 :])
    return replace(program, steps=steps)


def _with_step(program: Program, index: int, ref: Ref, step: Step) -> Program:
    """`step` put in before step `index`, and used wherever `ref` was; `ref` is no longer fed."""
    feeds = tuple((fed, value) for fed, value in program.feeds if fed != ref)
    steps = (*program.steps[:index], step, *program.steps[index:])
    return _substituted(replace(program, steps=steps, feeds=feeds), ref, Ref(step.name))


def _substituted(program: Program, old: Ref, new: Ref) -> Program:
    def change(value: Any) -> Any:
        if value == old if isinstance(value, Ref) else False:
            return new
        if isinstance(value, (list, tuple)):
            return type(value)(map(change, value))
        return value

    steps = tuple(replace(s, args=change(s.args), after=change(s.after)) for s in program.steps)
    return replace(program, steps=steps, fetches=change(program.fetches))


def _set(values: tuple[Any, ...], position: int, value: Any) -> tuple[Any, ...]:
    return (*values[:position], value, *values[position + 1 :])


def _resized(program: Program, old: int, new: int) -> Program:
    def change(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value[tuple(slice(new) if n == old else slice(None) for n in value.shape)]
        if isinstance(value, list) and all(type(n) is int for n in value):
            return [new if n == old else n for n in value]
        return value

    steps = tuple(replace(s, args=tuple(map(change, s.args))) for s in program.steps)
    return replace(program, steps=steps, feeds=tuple((ref, change(value)) for ref, value in program.feeds))
