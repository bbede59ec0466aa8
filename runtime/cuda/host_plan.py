"""A plan of the CPU in a session whose variables may live on a GPU: they are brought home before it runs."""

from __future__ import annotations

from collections.abc import Sequence

from flowc.codegen.plan import RESHAPED, Plan
from flowc.framework.graph import Graph
from flowc.runtime.bound_plan import Array, BoundPlan, FastRun, decline
from flowc.runtime.cuda.session_variables import SessionVariables
from flowc.runtime.fetches import Fetches
from flowc.runtime.trace import PlanTimes
from flowc.runtime.variables_store import VariableStore


class HostPlan(BoundPlan):
    """See `BoundPlan`."""

    def __init__(
        self, plan: Plan, addresses: Sequence[int], store: VariableStore, graph: Graph, variables: SessionVariables
    ) -> None:
        super().__init__(plan, addresses, store, graph)
        self._shared = variables

    def arrays(self, arrays: Sequence[Array]) -> list[Array]:
        """See `BoundPlan`."""
        with self._shared.turn:
            self._before()
            results = super().arrays(arrays)
            self._after()
        return results

    def arrays_traced(self, arrays: Sequence[Array]) -> tuple[list[Array], PlanTimes]:
        """See `BoundPlan`."""
        with self._shared.turn:
            self._before()
            results = super().arrays_traced(arrays)
            self._after()
        return results

    def fast_run(self, fetches: Fetches) -> FastRun:
        """See `BoundPlan`. A native run cannot ask for variables to be brought home."""
        return decline if self.plan.variables else super().fast_run(fetches)

    def _before(self) -> None:
        self._shared.bring_home(spec.name for spec in self.plan.variables)

    def _after(self) -> None:
        for spec in self.plan.variables:
            if spec.writes:
                self._shared.host_changed(spec.name.removesuffix(RESHAPED))
