"""The compiler on one page: what is done to a run's graph, from the user's fetches and feeds to a plan.

Each pass is one function:

    specialise   prune; the run's shapes; fold constants; lower each op to array expressions, equal ones shared
    rewrite      patterns that a library call computes in one pass
    outputs      every fetch and every variable's final value becomes a node of its own
    fuse         which expressions share a kernel
    schedule     the kernels' order; which write straight into variables
    memory       one arena for all temporaries, places reused by liveness
    assemble     kernels rendered as source, launches, argument words
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flowc.codegen.assemble import Interface, assemble, stored_members
from flowc.codegen.debug import passed
from flowc.codegen.feed_spec import FeedSpec, NeedsFeedValues
from flowc.codegen.fuse import Fusion, fuse, live_nodes
from flowc.codegen.groups import Group
from flowc.codegen.ir import Node
from flowc.codegen.memory import Layout, plan_memory
from flowc.codegen.plan import FetchSpec, Plan, TensorSpec, VariableSpec
from flowc.codegen.program import Program
from flowc.codegen.rewrite import rewrite
from flowc.codegen.schedule import Schedule, is_host_value, prepare_outputs, schedule
from flowc.codegen.specialise import specialise
from flowc.framework.graph import Operation, Tensor

__all__ = ["Compilation", "FeedSpec", "NeedsFeedValues", "Stage", "compile_plan", "compile_stages"]

Stage = Literal["specialise", "fuse", "schedule", "memory", "assemble"]


@dataclass
class Compilation:
    """What the passes made; those after the stage that was asked for are None."""

    program: Program
    fusion: Fusion | None = None
    schedule: Schedule | None = None
    outputs: dict[Group, list[Node]] | None = None
    layout: Layout | None = None
    plan: Plan | None = None


def compile_plan(
    graph: Any, fetches: Sequence[Tensor], targets: Sequence[Operation], feeds: Sequence[FeedSpec]
) -> Plan:
    """The plan that computes `fetches` and runs `targets`, given values for `feeds`, in these orders.

    Raises flowc.errors for what cannot run, and NeedsFeedValues if shapes depend on fed values that are not given.
    """
    plan = compile_stages(fetches, targets, feeds).plan
    assert plan is not None
    return plan


def compile_stages(
    fetches: Sequence[Tensor],
    targets: Sequence[Operation],
    feeds: Sequence[FeedSpec],
    stop_after: Stage = "assemble",
) -> Compilation:
    """Runs the passes up to `stop_after`."""
    result = Compilation(specialise(fetches, targets, feeds))
    program = result.program
    rewrite(program)
    prepare_outputs(program)
    passed("specialise", program)
    if stop_after == "specialise":
        return result
    result.fusion = fuse(program)
    passed("fuse", result.fusion)
    if stop_after == "fuse":
        return result
    result.schedule = schedule(program, result.fusion)
    wanted = {*program.fetches, *program.stores.values()}
    result.outputs = {g: stored_members(g, result.schedule.users, wanted) for g in result.schedule.steps}
    passed("schedule", result.schedule)
    if stop_after == "schedule":
        return result
    interface = _interface(program, fetches, feeds)
    fetch_numbers = {node: i for i, node in enumerate(program.fetches)}
    variable_numbers = {spec.name: i for i, spec in enumerate(interface.variables)}
    result.layout = plan_memory(result.schedule, result.outputs, fetch_numbers, variable_numbers)
    passed("memory", result.layout)
    if stop_after == "memory":
        return result
    result.plan = assemble(program, result.fusion, result.schedule, result.outputs, result.layout, interface)
    passed("assemble", result.plan)
    return result


def _interface(program: Program, fetches: Sequence[Tensor], feeds: Sequence[FeedSpec]) -> Interface:
    feed_specs = tuple(TensorSpec(f.tensor.name, f.tensor.dtype.base_dtype.name, f.shape) for f in feeds)
    fetch_specs = tuple(_fetch_spec(t, n) for t, n in zip(fetches, program.fetches, strict=True))
    return Interface(feed_specs, fetch_specs, _variables(program))


def _fetch_spec(tensor: Tensor, node: Node) -> FetchSpec:
    dtype = tensor.dtype.base_dtype.name
    if is_host_value(node):
        if node.op == "const":
            return FetchSpec(tensor.name, dtype, node.shape, "constant", node.attr)
        return FetchSpec(tensor.name, dtype, node.shape, "feed", node.attr[1])
    return FetchSpec(tensor.name, dtype, node.shape)


def _variables(program: Program) -> tuple[VariableSpec, ...]:
    """The variables that the run reads or writes, in the order it meets them."""
    found: dict[str, tuple[Node, bool]] = {}
    for node in (*live_nodes(program), *program.required):
        if node.op == "input" and node.attr[0] == "variable":
            found[node.attr[1]] = (node, True)
    for name, node in program.stores.items():
        found.setdefault(name, (node, False))
    return tuple(
        VariableSpec(name, node.dtype.name, node.shape, reads=reads, writes=name in program.stores)
        for name, (node, reads) in found.items()
    )
