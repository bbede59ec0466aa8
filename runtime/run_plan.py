"""What `session.plan(...)` gives: a plan that users can look into."""

from __future__ import annotations

from flowc.codegen.plan import Plan
from flowc.framework.graph import Graph
from flowc.runtime.stored_graph import stored_operations


class RunPlan:
    """The plan of one run of `graph`. `plan` is its data; `explain()` tells it in words."""

    def __init__(self, plan: Plan, graph: Graph) -> None:
        self.plan, self._graph = plan, graph

    def explain(self, source: bool = False) -> str:
        """Prints, and returns, what the plan does: its kernels in order, the ops and the user's lines that each
        computes, sizes, bytes moved, and what did not fuse and why. `source`: the generated source too."""
        from flowc.codegen.explain import format_explanation, named_operations

        operations = stored_operations(self._graph, named_operations(self.plan))
        text = format_explanation(self.plan, {name: line for name, (_, line) in operations.items()}, source)
        print(text)
        return text

    def __repr__(self) -> str:
        plan = self.plan
        return (
            f"<flowc plan: {len(plan.entries)} launches of {len(plan.kernels)} kernels, arena {plan.arena_size} bytes>"
        )
