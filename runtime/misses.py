"""Tells users of a loop that makes a new plan at every turn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from flowc.framework.source import Line, user_line
from flowc.runtime.signature import Form, Signature

_MOST_QUIET = 8  # plans that a line may make, beside its first, before it is warned


class PlanMissWarning(UserWarning):
    """A line of yours makes a new plan again and again, which takes milliseconds where a run could take microseconds.

    The message says why. Build the whole graph before the first run; feed arrays of few different shapes.
    """


@dataclass
class _History:
    """The last plan that one line of the user's made, and how many it made for a reason that could go on for ever."""

    signature: Signature
    form: Form
    graph_size: int
    repeated: int = 0


class MissWatch:
    """Says why plans are made, and warns a line that makes many."""

    def __init__(self) -> None:
        self._lines: dict[Line | None, _History] = {}

    def note(self, signature: Signature, form: Form, graph_size: int) -> str:
        """Why this plan has to be made. To be called for each one, from within the run. Warns once a line."""
        line = user_line()
        last = self._lines.get(line)
        reason = _reason(last, signature, form, graph_size)
        repeated = (last.repeated if last is not None else 0) + bool(reason)
        self._lines[line] = _History(signature, form, graph_size, repeated)
        if line is not None and reason and repeated == _MOST_QUIET:
            _warn(line, reason)
        return reason or "first run of these fetches and feeds"


def _reason(last: _History | None, signature: Signature, form: Form, graph_size: int) -> str:
    """What changed since this line's last new plan, or since this signature's; empty if these fetches are just new."""
    if signature.plans:
        before = last.form if last is not None and last.signature is signature else next(reversed(signature.plans))
        return _change_of_feeds(signature, before, form)
    if last is not None and graph_size > last.graph_size and last.signature is not signature:
        return f"the graph grew by {graph_size - last.graph_size} operations between the runs"
    return ""


def _change_of_feeds(signature: Signature, before: Form, now: Form) -> str:
    for tensor, old, new in zip(signature.feeds, before.shapes, now.shapes, strict=False):
        if old != new:
            return f"the shape of the feed {tensor.name!r} changed from {old} to {new}"
    for tensor, old_value, new_value in zip(signature.feeds, before.values, now.values, strict=False):
        if old_value != new_value:
            return f"the value of the feed {tensor.name!r}, on which shapes depend, changed"
    if before.shapes != now.shapes:
        return "a shape that the run decides changed"
    return "the plan made for it before was dropped: there were too many"


def _warn(line: Line, reason: str) -> None:
    message = (
        f"This line made {_MOST_QUIET + 1} plans, the last one because {reason}. A plan costs milliseconds, a run with "
        "a plan that exists microseconds: build the graph before the loop, and feed few different shapes."
    )
    warnings.warn_explicit(message, PlanMissWarning, line.filename, line.lineno)
