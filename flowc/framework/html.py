"""Graphs, operations and plans as notebooks show them: plain HTML, which needs neither scripts nor anything else.

Name scopes, and steps of a plan, are sections that open at a click.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from flowc.framework.constant_value import OperationLike

MOST: Final = 1000  # operations of a graph that are shown: a notebook keeps all of it in its file
_LEFT: Final = 'style="text-align:left"'


class Shown(OperationLike, Protocol):
    """What is asked here of an operation, such as `flowc.framework.graph.Operation`."""

    @property
    def inputs(self) -> Sequence[Any]: ...
    @property
    def outputs(self) -> Sequence[Any]: ...
    @property
    def device(self) -> str: ...
    def source_line(self) -> str:
        """The user's line that made it."""


def of_graph(operations: Sequence[Shown]) -> str:
    """All operations, in sections by name scope. Of a large graph, the first MOST."""
    top = _Scope()
    for op in operations[:MOST]:
        top.add(op, op._name.split("/"))
    rest = len(operations) - MOST
    more = f"<div>… and {rest:,} operations more: graph.get_operations() lists them</div>" if rest > 0 else ""
    return f"<div><b>Graph</b> of {_counted(len(operations))}{top.sections()}{more}</div>"


def of_operation(op: Shown) -> str:
    """An operation: its type, inputs and outputs, attributes, and the line that made it."""
    attrs = {name: f"{value!r:.200}" for name, value in op._attrs.items() if not name.startswith("_")}
    return of_properties(
        "Operation",
        {
            "name": op._name,
            "type": op._type,
            "inputs": ", ".join(f"{tensor.name} {_kind(tensor)}" for tensor in op.inputs),
            "outputs": ", ".join(f"{tensor.name} {_kind(tensor)}" for tensor in op.outputs),
            **attrs,
            "device": op.device,
            "made at": op.source_line(),
        },
    )


def of_properties(title: str, properties: Mapping[str, Any]) -> str:
    """A table of properties that are not empty, one a row."""
    rows = [(name, str(value)) for name, value in properties.items() if str(value)]
    return f"<div><b>{escaped(title)}</b>{_table(rows)}</div>"


def of_outline(text: str) -> str:
    """Text of lines with more indented ones below them: each such line is a section of what is below it."""
    sections: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith(" ") and sections:
            sections[-1][1].append(line)
        elif line:
            sections.append((line, []))
    return f"<div>{''.join(_section(escaped(head), _lines(body)) for head, body in sections)}</div>"


def escaped(text: str) -> str:
    """Text as HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


@dataclass
class _Scope:
    """The operations of a name scope, and the scopes in it."""

    ops: list[Shown] = field(default_factory=list)
    inner: dict[str, _Scope] = field(default_factory=dict)

    def add(self, op: Shown, parts: Sequence[str]) -> None:
        scope = self
        for part in parts[:-1]:
            scope = scope.inner.setdefault(part, _Scope())
        scope.ops.append(op)

    def count(self) -> int:
        return len(self.ops) + sum(scope.count() for scope in self.inner.values())

    def sections(self) -> str:
        scopes = [
            _section(f"{escaped(name)}/ &nbsp;<i>{_counted(scope.count())}</i>", scope.sections())
            for name, scope in self.inner.items()
        ]
        rows = [_row(op) for op in self.ops]
        return (_table(rows, ("name", "type", "inputs", "outputs")) if rows else "") + "".join(scopes)


def _row(op: Shown) -> tuple[str, ...]:
    inputs = ", ".join(tensor.name.removesuffix(":0") for tensor in op.inputs)
    return op._name.rpartition("/")[2], op._type, inputs, ", ".join(_kind(tensor) for tensor in op.outputs)


def _kind(tensor: Any) -> str:
    shape = tensor.get_shape()
    return f"{tensor.dtype.base_dtype.name}{'' if shape.ndims == 0 else shape}"


def _counted(number: int) -> str:
    return f"{number:,} operation{'' if number == 1 else 's'}"


def _table(rows: Iterable[Sequence[str]], titles: Sequence[str] = ()) -> str:
    head = "".join(f"<th {_LEFT}>{title}</th>" for title in titles)
    cells = ["".join(f"<td {_LEFT}>{escaped(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in ([head] if head else []) + cells) + "</table>"


def _section(head: str, body: str) -> str:
    if not body:
        return f"<div>{head}</div>"
    return f'<details><summary>{head}</summary><div style="margin-left:1.5em">{body}</div></details>'


def _lines(lines: Sequence[str]) -> str:
    return f"<pre>{escaped(chr(10).join(lines))}</pre>" if lines else ""
