"""What a plan does, in words: data that the compiler leaves in `Plan.explanation`, and the text that is made of it.

The data is plain JSON, so that it goes through plan files, and names operations only: lines of source are looked up
when the text is made, since the same plan serves other scripts that build the same graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from flowc.codegen.plan import Column, FetchSpec, Plan, Space, TensorSpec, VariableSpec

if TYPE_CHECKING:  # whoever only prints a plan needs no compiler
    from flowc.codegen.fuse import Fusion
    from flowc.codegen.groups import Group
    from flowc.codegen.ir import Node, Program
    from flowc.codegen.memory import Layout
    from flowc.codegen.schedule import Schedule

Json = dict[str, Any]


# -- the compiler's side -----------------------------------------------------------------------------------------------


def describe(
    program: Program,
    fusion: Fusion,
    schedule: Schedule,
    outputs: Mapping[Group, Sequence[Node]],
    layout: Layout,
    owners: Sequence[Group],
) -> Json:
    """The explanation of a plan whose launch `i` belongs to the group `owners[i]`.

    steps: what each group computes, in order. launches: the step that each launch belongs to. unfused: [producer's
    operation, consumer's operation, reason] for each edge between two groups.
    """
    numbers = {group: number for number, group in enumerate(schedule.steps)}
    return {
        "steps": [_step(group, outputs[group], layout) for group in schedule.steps],
        "launches": [numbers[group] for group in owners],
        "unfused": _unfused(program, fusion),
    }


def _step(group: Group, stored: Sequence[Node], layout: Layout) -> Json:
    nodes = group.nodes
    return {
        "form": group.form,
        "domain": list(group.shape),
        "axes": list(group.axes),
        "blocks": group.blocks,
        "ops": _origins(nodes),
        "computes": [_primitive(node) for node in nodes],
        "reads": _reads(nodes, group),
        "writes": [_written(node, layout) for node in stored],
    }


def _origins(nodes: Iterable[Node]) -> list[str]:
    return list(dict.fromkeys(node.origin for node in nodes if node.origin))


def _primitive(node: Node) -> str:
    return str(node.attr if node.op == "map" else node.attr[0])


def _reads(nodes: Iterable[Node], group: Group) -> list[list[Any]]:
    """[kind, name, dtype, shape] of each array that the group reads. Scalar constants are part of its kernel's call."""
    found: dict[Node, None] = {}
    for node in nodes:
        for arg in node.args:
            base = arg.args[0] if arg.op == "view" else arg
            if base not in group.levels and base.op != "iota" and not (base.op == "const" and base.size == 1):
                found[base] = None
    return [[*_source(base), base.dtype.name, list(base.shape)] for base in found]


def _source(base: Node) -> tuple[str, str]:
    if base.op == "input":
        kind, which = base.attr
        return str(kind), str(which)
    return ("constant", "") if base.op == "const" else ("result", base.origin)


def _written(node: Node, layout: Layout) -> list[Any]:
    """[space, number or offset, dtype, shape, the operation whose memory it takes over or ""]."""
    place = layout.places[node]
    over = layout.overwritten.get(node)
    where = place.offset if place.space is Space.ARENA else place.index
    return [place.space.name.lower(), where, node.dtype.name, list(node.shape), over.origin if over is not None else ""]


def _unfused(program: Program, fusion: Fusion) -> list[list[str]]:
    """The refused edges whose ends did not come together in another way."""
    nodes, group_of = program.nodes, fusion.group_of
    found: dict[tuple[str, str, str], None] = {}
    for (producer, consumer), why in fusion.refusals.items():
        first, second = nodes[producer], nodes[consumer]
        if group_of.get(first) is not group_of.get(second):
            found[first.origin, second.origin, why] = None
    return [list(edge) for edge in found]


# -- the reader's side -------------------------------------------------------------------------------------------------


def named_operations(plan: Plan) -> list[str]:
    """The operations that messages about the plan and its explanation name."""
    explanation: Any = plan.explanation
    tensors = (spec.name.partition(":")[0] for spec in (*plan.feeds, *plan.fetches, *plan.variables))
    computed = (name for step in explanation.get("steps", ()) for name in step["ops"])
    unfused = (name for edge in explanation.get("unfused", ()) for name in edge[:2])
    return list(dict.fromkeys([*tensors, *computed, *unfused, *(site.op for site in plan.errors)]))


def format_explanation(plan: Plan, lines: Mapping[str, str] | None = None, source: bool = False) -> str:
    """The plan as text: totals, launches in order, what did not fuse and why, and with `source` the kernels.

    `lines`: the user's line (`file:line`) of each operation, by name.
    """
    return "\n".join(_Text(plan, lines or {}).all(source))


class _Text:
    def __init__(self, plan: Plan, lines: Mapping[str, str]) -> None:
        self.plan, self.lines = plan, lines
        self.explanation: Any = plan.explanation

    def all(self, source: bool) -> list[str]:
        parts = [self.totals(), self.interface(), self.launches(), self.unfused()]
        if source:
            parts += [[f"kernel {k.name}:", *_indented(k.source.rstrip().splitlines())] for k in self.plan.kernels]
        return [line for part in parts if part for line in (*part, "")][:-1]

    def totals(self) -> list[str]:
        plan = self.plan
        moved = int(plan.entries[:, Column.BYTES].sum()) if len(plan.entries) else 0
        constants = sum(constant.nbytes for constant in plan.constants)
        return [
            f"plan: {_count(len(plan.entries), 'launch', 'launches')} of {_count(len(plan.kernels), 'kernel')}, "
            f"{_bytes(moved)} read and written, arena {_bytes(plan.arena_size)}, constants {_bytes(constants)}"
        ]

    def interface(self) -> list[str]:
        plan = self.plan
        rows = [("feed", _tensor(spec)) for spec in plan.feeds]
        rows += [("fetch", _tensor(spec) + _host_source(spec, plan)) for spec in plan.fetches]
        rows += [("variable", f"{_tensor(spec)}, {_use(spec)}{self._at(spec.name)}") for spec in plan.variables]
        rows += [("library", name) for name in plan.symbols]
        return [f"{kind:9}{text}" for kind, text in rows]

    def launches(self) -> list[str]:
        """The launches, each under the step that it belongs to."""
        steps, result, last = self.explanation.get("steps", ()), [], None
        for index, number in enumerate(self.explanation.get("launches", ())):
            if number != last:
                result += self._step(number, steps[number])
                last = number
            result.append("  " + self._launch(index))
        return result

    def _step(self, number: int, step: Json) -> list[str]:
        domain = "×".join(map(str, step["domain"])) or "a scalar"
        reduced = f", reduces {_axes(step['axes'])}" if step["axes"] else ""
        blocks = f" in {step['blocks']} blocks" if step["blocks"] else ""
        result = [f"step {number}: {_FORMS[step['form']]} over {domain}{reduced}{blocks}"]
        result += [f"  op       {name}{self._at(name)}" for name in step["ops"]]
        result.append(f"  computes {' '.join(step['computes'])}")
        result += [f"  reads    {self._read(*read)}" for read in step["reads"]]
        result += [f"  writes   {self._write(*write)}" for write in step["writes"]]
        return result

    def _launch(self, index: int) -> str:
        entry = self.plan.entries[index]
        units, grain = int(entry[Column.UNITS]), max(int(entry[Column.GRAIN]), 1)
        chunks = max(units // grain, 1)
        split = f"up to {chunks} chunks" if chunks > 1 else "one thread"
        guard = ", skipped after an error" if entry[Column.GUARD] else ""
        name = self.plan.kernels[entry[Column.KERNEL]].name
        return (
            f"launch {index}: {name}: {_count(units, 'unit')}, grain {grain} ({split}), "
            f"{_bytes(int(entry[Column.BYTES]))}{guard}"
        )

    def _read(self, kind: str, name: str, dtype: str, shape: Sequence[int]) -> str:
        what = {"feed": f"feed {self._feed_name(name)}", "result": f"the result of {name}"}.get(kind, f"{kind} {name}")
        return f"{what.rstrip()} {_sized(dtype, shape)}"

    def _feed_name(self, number: str) -> str:
        return self.plan.feeds[int(number)].name if number.isdigit() else number

    def _write(self, space: str, where: int, dtype: str, shape: Sequence[int], over: str) -> str:
        if space == "fetch":
            place = f"fetch {self.plan.fetches[where].name}"
        elif space == "variable":
            place = f"variable {self.plan.variables[where].name}, in place:"
        else:
            place = f"arena at {where}" + (f", over {over}:" if over else "")
        return f"{place} {_sized(dtype, shape)}"

    def unfused(self) -> list[str]:
        edges = self.explanation.get("unfused", ())
        return ["not fused:", *(f"  {first} → {second}: {why}" for first, second, why in edges)] if edges else []

    def _at(self, name: str) -> str:
        line = self.lines.get(name, "")
        return f"  ({line})" if line else ""


_FORMS = {
    "map": "elementwise",
    "row": "row by row",
    "col": "column sums",
    "call": "a library call or hand-written kernel",
}
_ITEM_SIZES = {"bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2}
_ITEM_SIZES |= {"int32": 4, "float32": 4, "int64": 8, "float64": 8, "complex64": 8, "complex128": 16}


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype}{list(spec.shape)}"


def _sized(dtype: str, shape: Sequence[int]) -> str:
    size = _ITEM_SIZES.get(dtype)
    return f"{dtype}{list(shape)}" + (f", {_bytes(prod(shape) * size)}" if size else "")


def _host_source(spec: FetchSpec, plan: Plan) -> str:
    if spec.source == "feed":
        return f", as it is fed to {plan.feeds[spec.index].name}"
    return ", a constant" if spec.source == "constant" else ""


def _use(spec: VariableSpec) -> str:
    return " and ".join(word for word, holds in (("read", spec.reads), ("written", spec.writes)) if holds)


def _axes(axes: Sequence[int]) -> str:
    return ("axis " if len(axes) == 1 else "axes ") + ", ".join(map(str, axes))


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _bytes(number: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if number < 1000:
            return f"{number:.4g} {unit}"
        number /= 1000
    return f"{number:.4g} GB"


def _indented(lines: Iterable[str]) -> list[str]:
    return ["    " + line for line in lines]
