"""What `session.plan(...)` gives: a plan that users can look into."""

from __future__ import annotations

from collections.abc import Sequence

from flowc.codegen.plan import Plan
from flowc.framework.graph import Graph, Operation
from flowc.framework.html import of_outline
from flowc.runtime.stored_graph import stored_operations


class RunPlan:
    """The plan of one run of `graph`.

    Attributes: `parts`, what the run does in order, as far as runs have shown it: plans, and ops of the host between
    them; `plan`, the data of the first plan. `explain()` tells all in words.
    """

    def __init__(self, parts: Sequence[Plan | Operation], graph: Graph) -> None:
        self.parts, self._graph = tuple(parts), graph

    @property
    def plan(self) -> Plan:
        """The first native part. Raises ValueError if there is none, or none is made yet."""
        for part in self.parts:
            if isinstance(part, Plan):
                return part
        raise ValueError("This run has no native part yet: run it once, and plan it again.")

    def explain(self, source: bool = False) -> str:
        """Prints, and returns, what the plan does: its kernels in order, the ops and the user's lines that each
        computes, sizes, bytes moved, what did not fuse and why, and what runs on the host. `source`: the generated
        source too."""
        text = self._text(source)
        print(text)
        return text

    def _text(self, source: bool) -> str:
        return "\n".join(self._explained(part, source) for part in self.parts)

    def _repr_html_(self) -> str:
        return of_outline(self._text(source=True))

    def _explained(self, part: Plan | Operation, source: bool) -> str:
        if isinstance(part, Operation):
            line = part.source_line()
            return f"on the host: {part.type} {part.name}" + (f"  ({line})" if line else "")
        from flowc.codegen.explain import format_explanation, named_operations

        operations = stored_operations(self._graph, named_operations(part))
        return format_explanation(part, {name: line for name, (_, line) in operations.items()}, source)

    def __repr__(self) -> str:
        plans = [part for part in self.parts if isinstance(part, Plan)]
        launches, kernels = sum(len(p.entries) for p in plans), sum(len(p.kernels) for p in plans)
        host = len(self.parts) - len(plans)
        on_host = f", {host} ops on the host" if host else ""
        arena = max((plan.arena_size for plan in plans), default=0)
        return f"<flowc plan: {launches} launches of {kernels} kernels, arena {arena} bytes{on_host}>"
