"""Ahead of time: plans that are made without being run, written to a file, and run by a process without their graph.

plan = flowc.compile(y, {x: (100, 784)}, session)
plan.save("model.flowc")
…
plan = flowc.load_plan("model.flowc")          # in another process: no graph, no compiler
plan(images)                                   # or plan(x=images), plan({"x": images})
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flowc.codegen.explain import named_operations
from flowc.codegen.feed_spec import FeedSpec, NeedsFeedValues, NeedsSegments, NeedsVariableShapes
from flowc.codegen.plan import Plan
from flowc.codegen.prune import needed_ops
from flowc.framework.config import ConfigProto
from flowc.framework.default_graph import get_default_graph
from flowc.framework.errors import UnimplementedError
from flowc.framework.graph import Graph, Tensor
from flowc.framework.shapes import TensorShape
from flowc.framework.stacks import get_default_session
from flowc.runtime import instruction_sets
from flowc.runtime.compiled_plan import CompiledPlan, content_name, native_functions
from flowc.runtime.feeds import FeedKeys, as_fed
from flowc.runtime.fetches import Fetches
from flowc.runtime.kernels import install, object_codes
from flowc.runtime.plan_cache import plan_for
from flowc.runtime.plan_file import PlanFile, read_plan_file
from flowc.runtime.plans import check_run
from flowc.runtime.signature import Signature
from flowc.runtime.stored_graph import stored_operations, structure_of
from flowc.runtime.variables_store import VariableStore

__all__ = ["CompiledPlan", "compile", "load_plan"]

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]


# -- compile -----------------------------------------------------------------------------------------------------------


def compile(  # the public name
    fetches: Any, feeds: Mapping[Any, Any] | Sequence[Any] = (), session: Any = None
) -> CompiledPlan:
    """Makes the plan that computes `fetches`, without running it.

    Args:
        fetches: what `Session.run` takes. The graph is that of `session`, or else the default one.
        feeds: placeholders (or other tensors) whose shapes are fully known; or a dict from tensors to shapes, to
            objects with a `shape`, or to arrays. Where shapes of the run depend on the value of a feed, it must be an
            array, and the plan is for that value only.
        session: whose variables the plan uses; by default those of the default session, or its own if there is none.

    Raises what `Session.run` raises before it runs; ValueError for a feed whose shape is not known.
    """
    session = session or get_default_session()
    graph: Graph = get_default_graph() if session is None else session.graph
    parsed = Fetches(graph, fetches)
    specs, values = _feed_specs(graph, feeds)
    signature = Signature(parsed.tensors, parsed.targets, tuple(spec.tensor for spec in specs))
    check_run(ConfigProto() if session is None else session._config, signature)
    store = VariableStore() if session is None else session.variables
    plan, fixed = _made(parsed, specs, values, store)
    operations = stored_operations(graph, named_operations(plan))
    return CompiledPlan(plan, store, operations, structure_of(graph, fetches, parsed.tensors), fixed)


def _made(
    fetches: Fetches, specs: list[FeedSpec], values: Sequence[Array | None], store: VariableStore
) -> tuple[Plan, dict[int, Array]]:
    """The plan, and the values it is for by the number of the feed. Variables keep the shapes they have in `store`."""
    fixed: dict[int, Array] = {}
    shapes: dict[str, tuple[int, ...] | None] = {}
    while True:
        try:
            return plan_for(fetches.tensors, fetches.targets, specs, variables=shapes), fixed
        except NeedsSegments:
            raise _takes_host(fetches, specs) from None
        except NeedsVariableShapes as request:
            shapes |= {name: store.shape_of(name) for name in request.names}
        except NeedsFeedValues as request:
            asked = [i for i, spec in enumerate(specs) if spec.tensor in request.tensors and i not in fixed]
            unknown = [specs[i].tensor.name for i in asked if values[i] is None]
            if unknown or not asked:
                raise ValueError(
                    f"The shapes of this run depend on the values of {', '.join(unknown)}: give an array in place of a "
                    "shape, and the plan is for that value."
                ) from None
            for i in asked:
                value = values[i]
                assert value is not None
                fixed[i], specs[i] = value, FeedSpec(specs[i].tensor, specs[i].shape, value)


def _takes_host(fetches: Fetches, specs: Sequence[FeedSpec]) -> UnimplementedError:
    from flowc.codegen.segments import needs_segments

    ops = needed_ops(fetches.tensors, fetches.targets, {spec.tensor for spec in specs})
    op = next((op for op in ops if needs_segments([op])), None)
    name = "An operation" if op is None else f"{op.type} {op.name!r}"
    message = f"{name} needs the host within the run, or decides shapes there: such a run cannot be compiled ahead."
    return UnimplementedError(None, op, message)


def _feed_specs(graph: Graph, feeds: Mapping[Any, Any] | Sequence[Any]) -> tuple[list[FeedSpec], list[Array | None]]:
    if isinstance(feeds, Tensor | str) or not isinstance(feeds, Iterable):
        raise TypeError("feeds must be a list of placeholders, or a dict from tensors to shapes or arrays")
    keys = FeedKeys(graph, feeds)
    if len(keys.tensors) != len(feeds):
        raise TypeError("feed each tensor by itself: an IndexedSlices has several shapes")
    given = feeds.values() if isinstance(feeds, Mapping) else [tensor.get_shape() for tensor in keys.tensors]
    pairs = [_feed(tensor, value) for tensor, value in zip(keys.tensors, given, strict=True)]
    return [FeedSpec(t, shape) for t, (shape, _) in zip(keys.tensors, pairs, strict=True)], [v for _, v in pairs]


def _feed(tensor: Tensor, given: Any) -> tuple[tuple[int, ...], Array | None]:
    if isinstance(given, np.ndarray | np.generic):
        array = as_fed(tensor, given)
        return array.shape, array
    shape = TensorShape(getattr(given, "shape", given)).merge_with(tensor.get_shape())
    if not shape.is_fully_defined():
        raise ValueError(
            f"The shape of {tensor.name!r} is {shape}: a plan is for one shape. Give it: flowc.compile(fetches, "
            f"{{{tensor.op.name}: (sizes…)}})."
        )
    return tuple(size for size in shape.tuple or () if size is not None), None


# -- load --------------------------------------------------------------------------------------------------------------


def load_plan(path: Path) -> CompiledPlan:
    """The plan that `CompiledPlan.save` wrote to `path`, ready to run, with variables of its own.

    On a CPU that lacks what the file was compiled for, its kernels are compiled from their stored sources. The file
    holds machine code: load only what you would run as a program. Raises OSError if it cannot be read, DataLossError if
    it is damaged.
    """
    file = read_plan_file(path)
    _install(file)
    store = VariableStore()
    for name, value in file.variables.items():
        store.set(name, value)
    fixed = {i: file.feed_values[spec.name] for i, spec in enumerate(file.plan.feeds) if spec.name in file.feed_values}
    return CompiledPlan(file.plan, store, file.extra["operations"], file.extra["structure"], fixed)


def _install(file: PlanFile) -> None:
    """Makes the kernels of a file known: its object code if this CPU can run that, else compiled from their sources."""
    functions = native_functions(file.plan)
    missing = ["object code"] if file.target is None else instruction_sets.missing(file.target)
    if not missing:
        known = {function: file.objects.get(content_name(function)) for function in functions}
        install({function: code for function, code in known.items() if code is not None})
        return
    object_codes(functions)
