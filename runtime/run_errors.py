"""The public errors of a run, made from what the runtime found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flowc.codegen.plan import Plan
from flowc.framework import errors
from flowc.framework.graph import Graph, Operation
from flowc.runtime.cuda.driver import DriverError, GpuInfo, MismatchError
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


@contextmanager
def on_gpu(graph: Graph, plan: Plan, info: GpuInfo) -> Iterator[None]:
    """In the with-block, what goes wrong with a plan on a GPU becomes a public error."""
    try:
        yield
    except (KernelFault, DriverError, MemoryError) as error:
        raise of_gpu(graph, plan, info, error) from None


def of_gpu(graph: Graph, plan: Plan, info: GpuInfo, error: KernelFault | DriverError | MemoryError) -> errors.OpError:
    """The error of a plan on a GPU: what a kernel reported, what the driver refused, or memory that there is not."""
    if isinstance(error, KernelFault):
        return of_fault(graph, error)
    capability = ".".join(map(str, info.capability))
    device = f"/gpu:{info.index} ({info.name}, compute capability {capability})"
    if isinstance(error, MemoryError):
        return out_of_memory(graph, plan, MemoryError(f"{device}: {error}"))
    kind = errors.FailedPreconditionError if isinstance(error, MismatchError) else errors.InternalError
    return kind(None, None, f"{device}: {error}")


def on_another_device(graph: Graph, name: str, info: GpuInfo) -> errors.InvalidArgumentError:
    """The error of an array that is fed where it does not lie."""
    op = _operation(graph, name.partition(":")[0])
    message = (
        f"{name!r} is fed an array that is not in the memory of /gpu:{info.index}, where this run is. Copy it there, "
        "or have the run take its GPU by tf.device."
    )
    return errors.InvalidArgumentError(None, op, message)


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
