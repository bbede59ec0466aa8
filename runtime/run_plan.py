"""What `session.plan(...)` gives: a plan that users can look into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowc.codegen.plan import Plan


class RunPlan:
    """The plan of one run. `plan` is its data; `explain()` tells it in words."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def explain(self) -> str:
        """Prints, and returns, what the plan does: groups of ops, the user's lines, sizes, what did not fuse."""
        text = "\n".join(_lines(self.plan.explanation, 0))
        print(text)
        return text

    def __repr__(self) -> str:
        plan = self.plan
        return (
            f"<flowc plan: {len(plan.entries)} launches of {len(plan.kernels)} kernels, arena {plan.arena_size} bytes>"
        )


def _lines(value: Any, depth: int) -> list[str]:
    """JSON data as indented text, a line an item."""
    indent = "  " * depth
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in _titled(str(key), item, depth)]
    if isinstance(value, list | tuple):
        return [line for item in value for line in _item(item, depth)]
    return [indent + line for line in str(value).splitlines()]


def _titled(title: str, value: Any, depth: int) -> list[str]:
    if isinstance(value, Mapping | list | tuple) or "\n" in str(value):
        return ["  " * depth + title + ":", *_lines(value, depth + 1)]
    return ["  " * depth + f"{title}: {value}"]


def _item(value: Any, depth: int) -> list[str]:
    lines = _lines(value, depth + 1)
    if lines:
        lines[0] = "  " * depth + "- " + lines[0].lstrip()
    return lines
