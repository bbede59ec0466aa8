"""A session's plans: found by what a run fetches and is fed, or made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from flowc.codegen.feed_spec import FeedSpec, NeedsFeedValues, NeedsSegments, NeedsVariableShapes
from flowc.codegen.plan import Plan
from flowc.framework.config import ConfigProto
from flowc.framework.debug import debug_level, say
from flowc.framework.errors import InvalidArgumentError, UnimplementedError
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.runtime import devices
from flowc.runtime.bound_plan import BoundPlan
from flowc.runtime.collection import collector_paused
from flowc.runtime.cuda.placement import asks_for_gpu, gpu_of, gpus
from flowc.runtime.forks import renew_in_child
from flowc.runtime.kernels import compile_kernels
from flowc.runtime.misses import MissWatch
from flowc.runtime.native_code import FUNCTIONS
from flowc.runtime.plan_cache import plan_for
from flowc.runtime.signature import Form, Signature
from flowc.runtime.variables_store import VariableStore

if TYPE_CHECKING:
    from flowc.codegen.host.registry import Resources
    from flowc.codegen.segments import Segment
    from flowc.runtime.cuda.gpu_plans import GpuPlans

Array = npt.NDArray[Any]
AnyRun = Any  # BoundPlan or SegmentedRun, which run alike

_MOST_PLANS = 128  # of one signature: a shape that never repeats must not fill the memory


class SessionPlans:
    """The plans of one session. Threads may call everything at once."""

    def __init__(self, graph: Graph, store: VariableStore, config: ConfigProto, resources: Resources) -> None:
        self._graph, self._store, self._config, self._resources = graph, store, config, resources
        self._signatures: dict[tuple[Any, ...], Signature] = {}
        self._watch = MissWatch()
        self._lock = threading.RLock()
        renew_in_child(self, "_lock", threading.RLock)
        self._debug = debug_level()
        self._gpu_plans = _gpu_plans(graph, store, config) if gpus(config) else None

    def release(self) -> None:
        """Gives back what the session keeps on GPUs; it will not run again."""
        if self._gpu_plans is not None:
            self._gpu_plans.release()

    def clear(self) -> None:
        """Forgets all plans: operations that they were made of have changed."""
        with self._lock:
            for signature in self._signatures.values():
                signature.forget_plans()

    def signature(
        self, fetches: tuple[Tensor, ...], targets: tuple[Operation, ...], feeds: tuple[Tensor, ...]
    ) -> Signature:
        """The signature of these, the same for all runs."""
        key = (fetches, targets, feeds)
        with self._lock:
            return self._signatures.setdefault(key, Signature(*key))

    def find(self, signature: Signature, arrays: Sequence[Array]) -> AnyRun:
        """What runs `signature` with arrays like these; made if there is none. Raises the public errors."""
        found = signature.plans.get(signature.form(arrays, self._store))
        if found is not None and (changed := found.reshaped()):
            signature.variables |= changed
            found = signature.plans.get(signature.form(arrays, self._store))
        if found is not None:
            if self._debug >= 1:
                say(f"plan hit: {_describe(signature)}")
            return found
        with self._lock:
            return self._make(signature, arrays)

    def _make(self, signature: Signature, arrays: Sequence[Array]) -> AnyRun:
        found = signature.plans.get(form := signature.form(arrays, self._store))
        if found is not None:  # another thread was first
            return found
        run = signature.segmented
        if run is None:
            ops = check_run(self._config, signature)
            try:
                run = self._native(signature, form, arrays, ops)
            except NeedsSegments:
                run = signature.segmented = self._segmented(signature, ops)
        if len(signature.plans) >= _MOST_PLANS:
            del signature.plans[next(iter(signature.plans))]
        signature.plans[signature.form(arrays, self._store)] = run
        return run

    def _native(self, signature: Signature, form: Form, arrays: Sequence[Array], ops: Sequence[Operation]) -> AnyRun:
        """One plan for the whole run. Raises NeedsSegments if that cannot be."""
        while True:
            feeds = [
                FeedSpec(tensor, shape, signature.value(form, index))
                for index, (tensor, shape) in enumerate(zip(signature.feeds, form.shapes, strict=True))
            ]
            make = partial(plan_for, signature.fetches, signature.targets, feeds, variables=dict(form.variables))
            try:
                return self._placed(signature, form, make, ops)
            except NeedsFeedValues as request:
                asked = {signature.feeds.index(tensor) for tensor in request.tensors}
                if asked <= signature.needs_value:
                    raise
                signature.needs_value |= asked
            except NeedsVariableShapes as request:
                signature.variables |= request.names
            form = signature.form(arrays, self._store)

    def _segmented(self, signature: Signature, ops: Sequence[Operation]) -> AnyRun:
        from flowc.runtime.segmented_run import Maker, SegmentedRun

        def bind(part: Signature, form: Form, feeds: Sequence[FeedSpec], segment: Segment) -> AnyRun:
            return self._placed(part, form, partial(plan_for, (), (), feeds, segment, dict(form.variables)), ops)

        return SegmentedRun(signature, Maker(self._store, self._resources, self._lock, bind))

    def _placed(self, signature: Signature, form: Form, make: Callable[[], Plan], ops: Sequence[Operation]) -> AnyRun:
        """What runs the plan on a GPU if that is where it belongs and can be, else on the CPU."""
        index = None if self._gpu_plans is None else gpu_of(ops, self._config)
        if self._gpu_plans is None or index is None:
            return self._bound(signature, form, make)
        try:
            return self._gpu_plans.on_gpu(index, make)
        except UnimplementedError as error:
            asking = asks_for_gpu(ops)
            if asking is not None and not self._config.allow_soft_placement:
                raise devices.no_gpu_kernel(asking, error.message) from None
            if self._debug >= 1 or self._config.log_device_placement:
                say(f"on the CPU: {error.message}")
            return self._bound(signature, form, make)

    def _bound(self, signature: Signature, form: Form, make: Callable[[], Plan]) -> BoundPlan:
        start = time.perf_counter()
        with collector_paused():
            plan = make()
        changed = self._store.reshaped(plan)
        if changed:
            raise NeedsVariableShapes(sorted(changed))
        reason = self._watch.note(signature, form, len(self._graph._by_name))
        addresses = compile_kernels(plan.kernels, needed_soon=FUNCTIONS.values())
        if self._gpu_plans is None:
            bound = BoundPlan(plan, addresses, self._store, self._graph)
        else:
            bound = self._gpu_plans.on_host(plan, addresses)
        if self._debug >= 1:
            milliseconds = 1e3 * (time.perf_counter() - start)
            say(f"plan miss: {_describe(signature)}: {reason}; {len(plan.kernels)} kernels, {milliseconds:.1f} ms")
        return bound


def _gpu_plans(graph: Graph, store: VariableStore, config: ConfigProto) -> GpuPlans:
    from flowc.runtime.cuda.gpu_plans import GpuPlans

    return GpuPlans(graph, store, config)


def check_run(config: ConfigProto, signature: Signature) -> list[Operation]:
    """The operations of a run.

    Raises InvalidArgumentError for devices that do not exist, and for assignments to a variable that is fed.
    """
    from flowc.codegen.prune import needed_ops

    ops = needed_ops(signature.fetches, signature.targets, set(signature.feeds))
    devices.place(ops, config)
    for reference in (tensor for tensor in signature.feeds if tensor.dtype.is_ref_dtype):
        for op in ops:
            if reference in op.inputs and any(output.dtype.is_ref_dtype for output in op.outputs):
                name = reference.op.name
                raise InvalidArgumentError(
                    None,
                    op,
                    f"Cannot assign to variable {name!r} in a run that feeds it: a feed replaces the value that the "
                    f"run reads. Feed {name + '/read:0'!r} instead, or do not run the assignment.",
                )
    return ops


def _describe(signature: Signature) -> str:
    names = [tensor.name for tensor in signature.fetches] + [op.name for op in signature.targets]
    feeds = [tensor.name for tensor in signature.feeds]
    return f"fetches {', '.join(names) or 'nothing'}; feeds {', '.join(feeds) or 'nothing'}"
