"""What a plan does, in words: data that the compiler leaves in `Plan.explanation`, and the text that is made of it.

The data is plain JSON, so that it goes through plan files, and names operations only: lines of source are looked up
when the text is made, since the same plan serves other scripts that build the same graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from flowc.codegen.plan import Column, FetchSpec, Plan, Space, TensorSpec, VariableSpec

if TYPE_CHECKING:  # whoever only prints a plan needs no compiler
    from flowc.codegen.fuse import Fusion
    from flowc.codegen.groups import Group
    from flowc.codegen.ir import Node
    from flowc.codegen.memory import Layout
    from flowc.codegen.program import Program
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
    """The explanation of a plan whose launch `i` belongs to the group `owners[i]`. Tables keep it small:

    ops: names of operations. reasons: why edges did not fuse.
    arrays: what kernels read and write: [operation, dtype, shape, space, index or name or offset, operation whose
        memory it takes over or -1].
    steps: each group, in order: [form, domain, reduced axes, blocks, operations, primitives, arrays read, arrays
        written].
    launches: the step of each launch. unfused: [producing operation, consuming operation, reason], one an edge.
    regions: by the number of a step that is a loop or a conditional, what it is given and works on, as arrays, and for
        each of its parts [what it is, launches of its own, launches in all, arrays that are its variables,
        explanation].
    """
    return _Describer(program, fusion, layout).run(schedule, outputs, owners)


class _Describer:
    def __init__(self, program: Program, fusion: Fusion, layout: Layout) -> None:
        self.program, self.fusion, self.layout = program, fusion, layout
        self.ops: dict[str, int] = {}
        self.reasons: dict[str, int] = {}
        self.arrays: list[Sequence[Any]] = []
        self.array_of: dict[Node, int] = {}

    def run(self, schedule: Schedule, outputs: Mapping[Group, Sequence[Node]], owners: Sequence[Group]) -> Json:
        numbers = {group: number for number, group in enumerate(schedule.steps)}
        return {
            "steps": [self._step(group, outputs[group]) for group in schedule.steps],
            "regions": {str(number): self._region(group) for group, number in numbers.items() if _parts_of(group)},
            "launches": [numbers[group] for group in owners],
            "unfused": self._unfused(),
            "ops": list(self.ops),
            "reasons": list(self.reasons),
            "arrays": self.arrays,
        }

    def _step(self, group: Group, stored: Sequence[Node]) -> Sequence[Any]:
        nodes = group.nodes
        ops = dict.fromkeys([node.origin for node in nodes])
        computes = " ".join([_computes(node) for node in nodes if node.op != "result"])
        reads = [self._array(base) for base in dict.fromkeys(self._bases(nodes, group))]
        writes = [self._array(node) for node in stored]
        numbers = [self._op(name) for name in ops if name]
        return [_form(group), group.shape, group.axes, group.blocks, numbers, computes, reads, writes]

    def _region(self, group: Group) -> Json:
        node = next(iter(group.levels))
        results = [self._array(result) for result in node.attr.results]
        return {
            "works_on": results,
            "given": [self._array(arg.args[0] if arg.op == "view" else arg) for arg in node.args],
            "parts": [
                [
                    title,
                    len(plan.entries) - plan.region_rows,
                    len(plan.entries),
                    [results[int(variable.name)] for variable in plan.variables],
                    plan.explanation,
                ]
                for title, plan in _parts_of(group)
            ],
        }

    @staticmethod
    def _bases(nodes: Iterable[Node], group: Group) -> list[Node]:
        """The arrays that a group reads. Scalar constants are part of its kernel's call."""
        levels = group.levels
        args = [arg.args[0] if arg.op == "view" else arg for node in nodes for arg in node.args]
        outside = [base for base in args if base not in levels and base.op != "iota"]
        return [base for base in outside if base.size != 1 or base.op != "const"]

    def _op(self, name: str) -> int:
        return self.ops.setdefault(name, len(self.ops))

    def _array(self, node: Node) -> int:
        number = self.array_of.get(node)
        if number is None:
            number = self.array_of[node] = len(self.arrays)
            space, where = self._place(node)
            over = self.layout.overwritten.get(node)
            taken = self._op(over.origin) if over is not None else -1
            self.arrays.append([self._op(node.origin), node.dtype.name, node.shape, space, where, taken])
        return number

    def _place(self, node: Node) -> tuple[str, Any]:
        if node.op == "input":
            return str(node.attr[0]), node.attr[1]
        if node.op == "const":
            return "constant", node.attr
        place = self.layout.places[node]
        return place.space.name.lower(), place.offset if place.space is Space.ARENA else place.index

    def _unfused(self) -> list[Sequence[int]]:
        """The refused edges whose ends did not come together in another way."""
        nodes, group_of = self.program.nodes, self.fusion.group_of
        found: dict[tuple[int, int, int], None] = {}
        for (producer, consumer), why in self.fusion.refusals.items():
            first, second = nodes[producer], nodes[consumer]
            if group_of.get(first) is not group_of.get(second):
                reason = self.reasons.setdefault(why, len(self.reasons))
                found[self._op(first.origin), self._op(second.origin), reason] = None
        return list(found)


def _form(group: Group) -> str:
    node = next(iter(group.levels))
    return str(node.attr.kind) if node.op == "region" else group.form


def _parts_of(group: Group) -> list[tuple[str, Plan]]:
    """What a region runs by launches of its own: nothing, for other groups."""
    node = next(iter(group.levels))
    if node.op != "region" or node.attr.kernel is not None:
        return []
    titles = ("an iteration:",) if node.attr.kind == "loop" else ("if false:", "if true:")
    return [(title, part.compiled) for title, part in zip(titles, node.attr.parts, strict=True)]


def _computes(node: Node) -> str:
    if node.op == "region":
        return "in registers" if node.attr.kernel is not None else "by the launches below"
    if node.op == "call":
        why = dict(node.attr[1]).get("why")
        return f"{node.attr[0]} ({why})" if why else str(node.attr[0])
    return str(node.attr if node.op == "map" else node.attr[0])


# -- the reader's side -------------------------------------------------------------------------------------------------


def named_operations(plan: Plan) -> list[str]:
    """The operations that messages about the plan and its explanation name."""
    explained: Any = plan.explanation.get("ops", ())
    tensors = (spec.name.partition(":")[0] for spec in (*plan.feeds, *plan.fetches, *plan.variables))
    return list(dict.fromkeys([*tensors, *filter(None, explained), *(site.op for site in plan.errors)]))


def format_explanation(plan: Plan, lines: Mapping[str, str] | None = None, source: bool = False) -> str:
    """The plan as text: totals, launches in order, what did not fuse and why, and with `source` the kernels.

    `lines`: the user's line (`file:line`) of each operation, by name.
    """
    return "\n".join(_Text(plan, lines or {}).all(source))


def format_memory(plan: Plan, lines: Mapping[str, str], most: int = 5) -> str:
    """What memory a run takes: the arena, and the `most` largest arrays with the lines that made them."""
    explained: Any = plan.explanation
    arrays = [(spec.name.partition(":")[0], spec.dtype, spec.shape, "fetched") for spec in plan.fetches]
    arrays += [(spec.name, spec.dtype, spec.shape, "a variable") for spec in plan.variables]
    arrays += [
        (explained["ops"][op], dtype, tuple(shape), "in the arena")
        for op, dtype, shape, space, *_ in explained.get("arrays", ())
        if space == "arena"
    ]
    arrays.sort(key=lambda array: prod(array[2]) * _ITEM_SIZES.get(array[1], 8), reverse=True)
    rows = [f"an arena of {_bytes(plan.arena_size)} for temporaries; the largest arrays:"]
    for name, dtype, shape, where in arrays[:most]:
        line = lines.get(name, "")
        rows.append(f"  {name} {_sized(dtype, shape)}, {where}" + (f"  ({line})" if line else ""))
    return "\n".join(rows)


@dataclass(frozen=True)
class _Part:
    """What one part of a region does: its explanation, and the numbers of its launches in the plan."""

    explanation: Any
    first: int
    own: int  # where its own launches end, and those of regions within it begin
    feeds: list[str]
    slots: list[str]  # what it works on,
    variables: list[str]  # and the same in the order of its plan's variables


class _Text:
    def __init__(self, plan: Plan, lines: Mapping[str, str], part: _Part | None = None) -> None:
        self.plan, self.lines, self.part = plan, lines, part
        self.explanation: Any = plan.explanation if part is None else part.explanation
        self.first = 0 if part is None else part.first
        self.next_region = len(plan.entries) - plan.region_rows if part is None else part.own  # its first launch

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
        own = self.explanation.get("launches", ())[: self.next_region - self.first]
        for index, number in enumerate(own):
            if number != last:
                result += self._parts(last) + self._step(number, steps[number])
                last = number
            result.append("  " + self._launch(self.first + index))
        return result + self._parts(last)

    def _parts(self, number: int | None) -> list[str]:
        """What the step's region runs, if it is one."""
        region = self.explanation.get("regions", {}).get(str(number))
        result: list[str] = []
        for title, own, every, variables, explanation in region["parts"] if region is not None else ():
            start = self.next_region
            names = [self._named(arrays) for arrays in (region["given"], region["works_on"], variables)]
            self.next_region += every
            text = _Text(self.plan, self.lines, _Part(explanation, start, start + own, *names))
            result += [f"  {title}", *_indented([*text.launches(), *text.unfused()])]
        return result

    def _named(self, arrays: Iterable[int]) -> list[str]:
        return [self._source(*self._array(array)) for array in arrays]

    def _step(self, number: int, step: Sequence[Any]) -> list[str]:
        form, domain, axes, blocks, ops, computes, reads, writes = step
        size = "" if form in _REGIONS else " over " + ("×".join(map(str, domain)) or "a scalar")
        reduced = f", reduces {_axes(axes)}" if axes else ""
        split = f" in {blocks} blocks" if blocks else ""
        result = [f"step {number}: {_FORMS[form]}{size}{reduced}{split}"]
        result += [f"  op       {self._op(op)}{self._at(self._op(op))}" for op in ops]
        result.append(f"  computes {computes}")
        result += [f"  reads    {self._read(*self._array(array))}" for array in reads]
        result += [f"  writes   {self._write(*self._array(array))}" for array in writes]
        return result

    def _op(self, number: int) -> str:
        return str(self.explanation["ops"][number])

    def _array(self, number: int) -> Sequence[Any]:
        array: Sequence[Any] = self.explanation["arrays"][number]
        return array

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

    def _read(self, op: int, dtype: str, shape: Sequence[int], space: str, where: Any, over: int) -> str:
        return f"{self._source(op, dtype, shape, space, where, over)} {_sized(dtype, shape)}"

    def _source(self, op: int, dtype: str, shape: Sequence[int], space: str, where: Any, over: int) -> str:
        if space == "feed":
            return f"feed {self.plan.feeds[where].name}" if self.part is None else self.part.feeds[where]
        if space == "variable" and isinstance(where, str):
            return f"variable {where}" if self.part is None else self.part.slots[int(where)]
        return f"the constant {self._op(op)}" if space == "constant" else f"the result of {self._op(op)}"

    def _write(self, op: int, dtype: str, shape: Sequence[int], space: str, where: int, over: int) -> str:
        if space == "fetch":
            place = f"fetch {self.plan.fetches[where].name}"
        elif space == "variable":
            name = f"variable {self.plan.variables[where].name}" if self.part is None else self.part.variables[where]
            place = f"{name}, in place:"
        else:
            place = f"arena at {where}" + (f", over {self._op(over)}:" if over >= 0 else "")
        return f"{place} {_sized(dtype, shape)}"

    def unfused(self) -> list[str]:
        """The edges between two kernels, with the reasons."""
        edges, reasons = self.explanation.get("unfused", ()), self.explanation.get("reasons", ())
        lines = [f"  {self._op(first)} → {self._op(second)}: {reasons[why]}" for first, second, why in edges]
        return ["not fused:", *lines] if lines else []

    def _at(self, name: str) -> str:
        line = self.lines.get(name, "")
        return f"  ({line})" if line else ""


_FORMS = {
    "map": "elementwise",
    "row": "row by row",
    "col": "column sums",
    "call": "a library call or hand-written kernel",
    "loop": "a loop",
    "conditional": "one of two sides",
}
_REGIONS = frozenset({"loop", "conditional"})
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
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1000:
            return f"{number:.4g} {unit}"
        number /= 1000
    return f"{number:.4g} TB"


def _indented(lines: Iterable[str]) -> list[str]:
    return ["    " + line for line in lines]
