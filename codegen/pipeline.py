"""The compiler on one page: what is done to a run's graph, from the user's fetches and feeds to a plan.

Each pass is one function:

    specialise   prune; the run's shapes; fold constants; lower each op to array expressions, equal ones shared
    rewrite      patterns that a library call computes in one pass
    outputs      every fetch and every variable's final value becomes a node of its own
    regions      what loops and conditionals run goes through these passes by itself
    fuse         which expressions share a kernel
    schedule     the kernels' order; which write straight into variables
    memory       one arena for all temporaries, places reused by liveness
    assemble     kernels rendered as source, launches, argument words
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flowc.codegen.assemble import Interface, assemble, stored_members
from flowc.codegen.debug import passed
from flowc.codegen.feed_spec import FeedSpec, NeedsFeedValues, NeedsSegments, VariableShapes
from flowc.codegen.fuse import Fusion, fuse, live_nodes
from flowc.codegen.groups import Group
from flowc.codegen.ir import Node
from flowc.codegen.memory import Layout, plan_memory
from flowc.codegen.plan import FetchSpec, Plan, TensorSpec, VariableSpec
from flowc.codegen.program import Program
from flowc.codegen.regions.loop_kernel import loop_kernel
from flowc.codegen.regions.region import region_of
from flowc.codegen.rewrite import rewrite
from flowc.codegen.schedule import Schedule, is_host_value, prepare_outputs, schedule
from flowc.codegen.segments import Segment, names_of, variable_named
from flowc.codegen.specialise import specialise
from flowc.framework.graph import Operation, Tensor

__all__ = ["Compilation", "FeedSpec", "NeedsFeedValues", "NeedsSegments", "Stage", "compile_plan", "compile_stages"]

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
    fetches: Sequence[Tensor],
    targets: Sequence[Operation],
    feeds: Sequence[FeedSpec],
    segment: Segment | None = None,
    variables: VariableShapes | None = None,
) -> Plan:
    """The plan that computes `fetches` and runs `targets`, given values for `feeds`, in these orders.

    With a `segment`, the plan of that part of a run: its outputs take the place of `fetches`, and its states are feeds
    after `feeds`. `variables`: the shapes they have, where these are not those of the graph. Raises flowc.errors for
    what cannot run, NeedsFeedValues and NeedsVariableShapes if shapes depend on fed values or variables that are not
    given, and NeedsSegments if the host has to act within the run.
    """
    plan = compile_stages(fetches, targets, feeds, segment=segment, variables=variables).plan
    assert plan is not None
    return plan


def compile_stages(
    fetches: Sequence[Tensor],
    targets: Sequence[Operation],
    feeds: Sequence[FeedSpec],
    stop_after: Stage = "assemble",
    segment: Segment | None = None,
    variables: VariableShapes | None = None,
) -> Compilation:
    """Runs the passes up to `stop_after`."""
    result = Compilation(specialise(fetches, targets, feeds, segment, variables))
    program = result.program
    rewrite(program)
    prepare_outputs(program)
    passed("specialise", program)
    if stop_after != "specialise":
        _finish(result, _interface(program, fetches, feeds, segment), stop_after)
    return result


def _finish(result: Compilation, interface: Interface, stop_after: Stage) -> None:
    """Runs the passes after `specialise`, up to `stop_after`."""
    program = result.program
    _compile_regions(program)
    result.fusion = fuse(program)
    passed("fuse", result.fusion)
    if stop_after == "fuse":
        return
    result.schedule = schedule(program, result.fusion)
    wanted = {*program.fetches, *program.stores.values()}
    result.outputs = {g: stored_members(g, result.schedule.users, wanted) for g in result.schedule.steps}
    passed("schedule", result.schedule)
    if stop_after == "schedule":
        return
    fetch_numbers = {node: i for i, node in enumerate(program.fetches)}
    variable_numbers = {spec.name: i for i, spec in enumerate(interface.variables)}
    result.layout = plan_memory(result.schedule, result.outputs, fetch_numbers, variable_numbers)
    passed("memory", result.layout)
    if stop_after == "memory":
        return
    result.plan = assemble(program, result.fusion, result.schedule, result.outputs, result.layout, interface)
    passed("assemble", result.plan)


def _compile_regions(program: Program) -> None:
    """Makes the plans of what loops and conditionals run: each part goes through all passes."""
    for node in live_nodes(program):
        region = region_of(node)
        if node.op == "region" and region is not None:
            region.kernel = loop_kernel(region)
            for part in region.parts if region.kernel is None else ():
                part.plan = _compiled(part.program)


def _compiled(program: Program) -> Plan:
    """The plan of a program that has no feeds or fetches of a user's."""
    rewrite(program)
    prepare_outputs(program)
    passed("specialise", program)
    result = Compilation(program)
    _finish(result, Interface((), (), _variables(program)), "assemble")
    assert result.plan is not None
    return result.plan


def _interface(
    program: Program, fetches: Sequence[Tensor], feeds: Sequence[FeedSpec], segment: Segment | None
) -> Interface:
    feed_specs = [TensorSpec(f.tensor.name, f.tensor.dtype.base_dtype.name, f.shape) for f in feeds]
    names = [tensor.name for tensor in fetches]
    if segment is not None:
        feed_specs += [
            TensorSpec(state.variable, variable_named(state).dtype.base_dtype.name, shape)
            for state, shape in segment.states
        ]
        names = [name for crossing in segment.outputs for name in names_of(crossing)]
    fetch_specs = tuple(_fetch_spec(name, n) for name, n in zip(names, program.fetches, strict=True))
    return Interface(tuple(feed_specs), fetch_specs, _variables(program))


def _fetch_spec(name: str, node: Node) -> FetchSpec:
    dtype = node.dtype.name
    if is_host_value(node):
        if node.op == "const":
            return FetchSpec(name, dtype, node.shape, "constant", node.attr)
        return FetchSpec(name, dtype, node.shape, "feed", node.attr[1])
    return FetchSpec(name, dtype, node.shape)


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
