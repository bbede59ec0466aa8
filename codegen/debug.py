"""What the passes leave, as text: printed at `FLOWC_DEBUG=3`, and what tests of passes compare.

    %5 = mul(%3, %4) : float32[4, 2]      ; dropout/mul

A node is `%number = kind(arguments) : type[shape]`; after the semicolon is the user's operation that it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowc.codegen.fuse import Fusion, live_nodes
from flowc.codegen.groups import Group
from flowc.codegen.ir import Node
from flowc.codegen.memory import Layout
from flowc.codegen.plan import Plan, Space
from flowc.codegen.program import Program
from flowc.codegen.schedule import Schedule
from flowc.framework.debug import debug_level, say

PASSES = 3  # the debug level that shows what each pass leaves
SOURCES = 4  # the debug level that shows generated source


def passed(name: str, result: Program | Fusion | Schedule | Layout | Plan) -> None:
    """To be called after each pass: prints what it left if the user debugs."""
    level = debug_level()
    if isinstance(result, Plan):
        if level >= SOURCES:
            for kernel in result.kernels:
                say(f"kernel {kernel.name}:\n{kernel.source}")
    elif level >= PASSES:
        say(f"after {name}:\n{printable(result)}")


def printable(result: Program | Fusion | Schedule | Layout) -> str:
    """What a pass left, as lines of text."""
    if isinstance(result, Program):
        lines = _program(result)
    elif isinstance(result, Fusion):
        lines = _fusion(result)
    elif isinstance(result, Schedule):
        lines = _schedule(result)
    else:
        lines = _layout(result)
    return "\n".join(lines)


def _program(program: Program) -> list[str]:
    lines = [_node(node, program) for node in live_nodes(program)]
    lines += [f"fetch {_number(node)}" for node in program.fetches]
    return lines + [f"store {name} = {_number(node)}" for name, node in program.stores.items()]


def _node(node: Node, program: Program | None = None) -> str:
    text = f"{_number(node)} = {_expression(node, program)} : {node.dtype.name}{list(node.shape)}"
    return f"{text:52}; {node.origin}" if node.origin else text


def _expression(node: Node, program: Program | None) -> str:
    args = ", ".join(map(_number, node.args))
    if node.op == "input":
        return f"{node.attr[0]} {node.attr[1]}"
    if node.op == "const":
        return f"const {_value(program.constants[node.attr]) if program is not None else node.attr}"
    if node.op == "view":
        offset, strides = node.attr
        return f"view({args}; offset {offset}, strides {list(strides)})"
    if node.op == "reduce":
        kind, axes, blocks = node.attr
        return f"{kind}({args}; axes {list(axes)}{f', {blocks} blocks' if blocks else ''})"
    if node.op == "region":
        return f"{node.attr.kind}({args})"
    if node.op == "result":
        return f"result {node.attr} of {args}"
    if node.op == "call":
        template, params = node.attr
        return f"{template}({args}{''.join(f'; {key}={value!r}' for key, value in params)})"
    return f"{node.attr}({args})" if node.op == "map" else f"{node.op}({node.attr})"


def _value(array: Any) -> str:
    """A constant's value if it is one element, else its type."""
    return repr(array.reshape(-1)[0].item()) if array.size == 1 and not array.dtype.hasobject else "array"


def _number(node: Node) -> str:
    return f"%{node.id}"


def _numbers(nodes: Iterable[Node]) -> str:
    return " ".join(map(_number, nodes))


def _fusion(fusion: Fusion) -> list[str]:
    lines = [_group(group) for group in fusion.groups]
    return lines + [f"refused %{first} → %{second}: {why}" for (first, second), why in fusion.refusals.items()]


def _group(group: Group) -> str:
    reduced = f", axes {list(group.axes)}" if group.axes else ""
    blocks = f", {group.blocks} blocks" if group.blocks else ""
    kept = [node for node in group.nodes if group.levels[node] == "kept"]
    once = f"; once a row: {_numbers(kept)}" if kept else ""
    return f"{group.form} {list(group.shape)}{reduced}{blocks}: {_numbers(group.nodes)}{once}"


def _schedule(schedule: Schedule) -> list[str]:
    lines = [f"{i}: {_group(group)}{_guard(group, schedule)}" for i, group in enumerate(schedule.steps)]
    return lines + [f"{_number(node)} is written to {name}" for node, name in schedule.in_place.items()]


def _guard(group: Group, schedule: Schedule) -> str:
    return "; not after an error" if group.id in schedule.guarded else ""


def _layout(layout: Layout) -> list[str]:
    lines = [f"arena {layout.arena_size} bytes"]
    for node, place in layout.places.items():
        over = layout.overwritten.get(node)
        where = f"+{place.offset}" if place.space is Space.ARENA else f" {place.index}"
        taken = f", over {_number(over)}" if over is not None else ""
        lines.append(f"{_number(node)} in {place.space.name.lower()}{where}{taken}")
    return lines
