"""A session's plans on GPUs: imported where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowc.codegen.backend import compiling_for
from flowc.codegen.cuda.vendor import using_vendor
from flowc.codegen.feed_spec import NeedsVariableShapes
from flowc.codegen.plan import Plan
from flowc.framework.config import ConfigProto
from flowc.framework.graph import Graph
from flowc.runtime.collection import collector_paused
from flowc.runtime.cuda.cuda_plan import CudaPlan
from flowc.runtime.cuda.host_plan import HostPlan
from flowc.runtime.cuda.placement import gpus
from flowc.runtime.cuda.session_variables import SessionVariables
from flowc.runtime.cuda.vendor_libraries import LibraryRefusal, installed
from flowc.runtime.variables_store import VariableStore


class GpuPlans:
    """Makes plans of one session, whose variables may be on GPUs."""

    def __init__(self, graph: Graph, store: VariableStore, config: ConfigProto) -> None:
        self._graph, self._store, self._config = graph, store, config
        self._variables = SessionVariables(store)

    def release(self) -> None:
        """Gives back what the session keeps on GPUs."""
        self._variables.release()

    def on_gpu(self, index: int, make: Callable[[], Plan]) -> CudaPlan:
        """The plan on a GPU, made with all of NVIDIA's libraries that are installed and can do what it asks of them."""
        libraries = installed().vendor(self._config.gpu_options.float32_precision)
        while True:
            with compiling_for("cuda"), using_vendor(libraries), collector_paused():
                plan = make()
            changed = self._store.reshaped(plan)
            if changed:
                raise NeedsVariableShapes(sorted(changed))
            try:
                return CudaPlan(plan, gpus(self._config)[index], self._variables, self._store, self._graph)
            except LibraryRefusal as refusal:
                refusal.tell()
                libraries = libraries.without(refusal.feature, refusal.why)

    def on_host(self, plan: Plan, addresses: Sequence[int]) -> HostPlan:
        """A plan on the CPU, which fetches the variables that it needs from the GPUs."""
        return HostPlan(plan, addresses, self._store, self._graph, self._variables)
