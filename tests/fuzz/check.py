"""Runs a program compiled and by the reference, and says how the two differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import flowc as tf
from flowc.codegen.reference.interpreter import run_reference
from tests.fuzz.compare import CONFIRMING_RUNS, Reference, UndefinedError, difference
from tests.fuzz.program import Array, Built, Program, Ref, build

SHAPE_ONLY = frozenset({"Shape", "Size", "Rank", "ZerosLike", "BroadcastGradientAxes"})


@dataclass
class Failure:
    """A difference. `kind` groups failures that are likely one fault; shrinking keeps it."""

    kind: str
    message: str
    expected: list[Any] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def check(program: Program) -> Failure | None:
    """The first difference between the compiled program and the reference; None if they agree.

    Raises what building the graph raises; UndefinedError where there is nothing to compare.
    """
    failure = _checked(program, Reference())
    if failure is not None and failure.kind in ("value", "state"):
        return _checked(program, Reference(disturbed_runs=CONFIRMING_RUNS))
    return failure


def _checked(program: Program, reference: Reference) -> Failure | None:
    built = build(program)
    with tf.Session(graph=built.graph) as session:
        if program.variables():
            with built.graph.as_default():
                start = tf.initialize_all_variables()
            reference.run([start], {})
            session.run(start)
        for _ in range(program.runs):
            failure = _check_run(program, built, reference, session)
            if failure is not None:
                return failure
        return _check_variables(program, built, reference, session)


def _check_run(program: Program, built: Built, reference: Reference, session: Any) -> Failure | None:
    fetches = [built.tensor(ref) for ref in program.fetches]
    feeds = {built.tensor(ref): value for ref, value in program.feeds}
    expected, expected_error = _outcome(lambda: reference.run(fetches, feeds))
    actual, error = _outcome(lambda: session.run(fetches, feeds))
    if error is None and expected_error is not None and not _value_needed(expected_error, fetches):
        raise UndefinedError
    if type(error) is not type(expected_error):
        kind = "no error" if error is None else f"{type(error).__name__}"
        return Failure(kind, f"raised {error!r}, expected {expected_error!r}")
    if error is not None:
        return None
    values = [e.value for e in expected]
    for ref, got, want in zip(program.fetches, actual, expected, strict=True):
        wrong = difference(got, want)
        if wrong is not None:
            return Failure("value", f"{ref}: {wrong}", values)
    return None


def _value_needed(error: Exception, fetches: list[Any]) -> bool:
    """Whether the fetches need values of the operation that failed, and not only its outputs' shapes."""
    failed, pending, seen = getattr(error, "op", None), list(fetches), set()
    while pending:
        op = pending.pop().op
        if op is failed:
            return True
        if op not in seen and op.type not in SHAPE_ONLY:
            seen.add(op)
            pending += [*op.inputs, *(c.outputs[0] for c in op.control_inputs if c.outputs)]
    return failed is None


def _check_variables(program: Program, built: Built, reference: Reference, session: Any) -> Failure | None:
    """The variables' values after all runs."""
    variables = [built.objects[step.name] for step in program.variables()]
    if not variables:
        return None
    expected = reference.run([v.ref() for v in variables], {})
    for step, got, want in zip(program.variables(), session.run(variables), expected, strict=True):
        wrong = None if want is None else difference(got, want)
        if wrong is not None:
            return Failure("state", f"variable {step.name}: {wrong}")
    return None


def _outcome(run: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return run(), None
    except UndefinedError:
        raise
    except Exception as error:
        return None, error


def check_quietly(program: Program) -> Failure | None:
    """As `check`, for programs that shrinking has changed: one that cannot be built or compared has no failure."""
    try:
        return check(program)
    except Exception:
        return None


def reference_value(program: Program, ref: Ref) -> Array | None:
    """What a tensor is by the reference in the first run; None where it has no value, as after an error."""
    built = build(program)
    tensor = built.tensor(ref)
    if not isinstance(tensor, tf.Tensor):
        return None
    state: dict[str, Array] = {}
    if program.variables():
        with built.graph.as_default():
            _, state = run_reference([tf.initialize_all_variables()], {}, {})
    feeds = {built.tensor(fed): value for fed, value in program.feeds}
    values, error = _outcome(lambda: run_reference([tensor], feeds, state)[0])
    return None if error is not None else np.asarray(values[0])
