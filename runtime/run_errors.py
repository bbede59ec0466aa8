"""The public errors of a run, made from what the runtime found."""

from __future__ import annotations

from collections.abc import Sequence

from flowc.codegen.plan import Plan
from flowc.framework import errors
from flowc.framework.graph import Graph, Operation
from flowc.runtime.executor import KernelFault


def of_fault(graph: Graph, fault: KernelFault) -> errors.OpError:
    """The error that a kernel reported: its class, its operation, and a message with the values it found."""
    kind = getattr(errors, fault.site.error)
    op = _operation(graph, fault.site.op)
    error: errors.OpError = kind(None, op, str(fault))
    return error


def uninitialized(graph: Graph, names: Sequence[str], initializes: bool) -> errors.FailedPreconditionError:
    """The error of a run that reads variables which have no value yet: names all of them and where they are made.

    `initializes`: the run would give variables their first value.
    """
    op = _operation(graph, names[0])
    plural = "values" if len(names) > 1 else "value"
    others = "".join(f"\n  {name}{_made_at(graph, name)}" for name in names) if len(names) > 1 else ""
    message = (
        f"Attempting to use uninitialized {plural} {', '.join(names)}.{others}\n"
        "  Before the first use, run sess.run(tf.initialize_all_variables()), or the variables' own initializers."
    )
    if initializes:
        message += "\n  An initial value that is made of another variable must use its initialized_value()."
    return errors.FailedPreconditionError(None, op, message)


def out_of_memory(graph: Graph, plan: Plan, error: MemoryError) -> errors.ResourceExhaustedError:
    """The error of a run whose arena, fetches or variables cannot be allocated: names the largest of them."""
    from flowc.codegen.explain import format_memory, named_operations

    operations = ((name, _operation(graph, name)) for name in named_operations(plan))
    lines = {name: op.source_line() for name, op in operations if op is not None}
    needs = format_memory(plan, lines).replace("\n", "\n  ")
    message = f"Out of memory ({error}). This run needs {needs}\n  Feed a smaller batch, or fetch less of the result."
    return errors.ResourceExhaustedError(None, None, message)


def changed_variable(graph: Graph, error: ValueError) -> errors.FailedPreconditionError:
    """The error of a run whose plan was made for another shape of a variable."""
    return errors.FailedPreconditionError(None, None, f"{error}: an assignment changed it.")


def _operation(graph: Graph, name: str) -> Operation | None:
    try:
        return graph.get_operation_by_name(name)
    except (KeyError, ValueError):
        return None


def _made_at(graph: Graph, name: str) -> str:
    op = _operation(graph, name)
    line = op.source_line() if op is not None else ""
    return f", made at {line}" if line else ""
