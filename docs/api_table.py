"""Writes `docs/api.md`: what flowc has of the documented API, symbol by symbol. `make docs` runs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from docs.api_listing import Symbol, difference, documented, found
from flowc.codegen.host.registry import host_types
from flowc.codegen.lower.registry import lowered_types
from flowc.framework import dtypes, registry

TARGET: Final = Path(__file__).parent / "api.md"
HEAD: Final = """# The API, symbol by symbol

What flowc has of TensorFlow 0.6's documented Python API (`docs/api/tf-0.6.txt`), written by `make docs`.

- signature: `=` where names, order and defaults of the arguments are the documented ones.
- op types: what a call adds to the graph, for a composite function what those it calls add.
- gradient: `∂` where all op types with a floating-point output have one; `-` where none has; else those that have.
- types: of the first input, or the outputs of an op without inputs.
- target: `kernel`, compiled; `host`, run by Python or a library between kernels, as strings, files and queues are; `-`:
  nothing is computed, as for a variable, which is kept.
"""

_GROUPS: Final = {
    "any": dtypes.ANY,
    "numbers, bool, bfloat16": dtypes.NUMERIC | dtypes.BOOL | {dtypes.bfloat16},
    "numbers, bool": dtypes.NUMERIC | dtypes.BOOL,
    "numbers": dtypes.NUMERIC,
    "floating, int32, int64": dtypes.FLOATING | dtypes.INDEX,
    "floating": dtypes.FLOATING,
    "real, integer": dtypes.ORDERED,
    "real, int32, int64": dtypes.REAL | dtypes.INDEX,
    "real": dtypes.REAL,
    "complex": dtypes.COMPLEX,
    "integer": dtypes.INTEGER,
    "int32, int64": dtypes.INDEX,
}


# -- the op types of a function ----------------------------------------------------------------------------------------


def op_types_of(item: Any, seen: set[Any] | None = None) -> list[str]:
    """The op types that a function names, or where it names none, that the functions it calls name."""
    seen = set() if seen is None else seen
    if not isinstance(item, FunctionType) or item in seen or not _has_ops(item):
        return []
    seen.add(item)
    codes = list(_codes(item.__code__))
    own = [c for code in codes for c in code.co_consts if isinstance(c, str) and registry.lookup(c) is not None]
    if own:
        return list(dict.fromkeys(own))
    called = [function for code in codes for function in _called(code, item.__globals__)]
    return list(dict.fromkeys(name for function in called for name in op_types_of(function, seen)))


def _has_ops(function: FunctionType) -> bool:
    return function.__module__.startswith(("flowc.ops", "flowc.train", "flowc.variable"))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _called(code: CodeType, names: dict[str, Any]) -> Iterator[Any]:
    """The functions that code names, by themselves or in a module."""
    for name in code.co_names:
        value = names.get(name)
        if isinstance(value, ModuleType):
            yield from (getattr(value, other, None) for other in code.co_names)
        else:
            yield value


# -- cells -------------------------------------------------------------------------------------------------------------


def _gradient(op_types: list[str]) -> str:
    """Which of the op types have a gradient, of those that could."""
    differentiable = [name for name in op_types if registry.has_gradient_entry(name) and registry.gradient_rule(name)]
    if len(differentiable) in (0, len(op_types)):
        return "∂" if differentiable else "-"
    return ", ".join(f"∂ {name}" for name in differentiable)


def _types(op_types: list[str]) -> str:
    return "; ".join(dict.fromkeys(_type_names(name) for name in op_types))


def _type_names(op_type: str) -> str:
    definition = registry.lookup(op_type)
    assert definition is not None
    if not definition.input_names:
        return "any"
    allowed = definition.allowed if isinstance(definition.allowed, frozenset) else definition.allowed[0]
    known = next((words for words, group in _GROUPS.items() if group == allowed), None)
    return known or ", ".join(sorted(dtype.name for dtype in allowed))


def _targets(op_types: Iterable[str]) -> str:
    names = ["kernel" if n in lowered_types() else "host" if n in host_types() else "-" for n in op_types]
    return ", ".join(dict.fromkeys(names))


# -- the page ----------------------------------------------------------------------------------------------------------


def row(symbol: Symbol) -> str:
    """A symbol's line of the table."""
    item, problem = found(symbol), difference(symbol)
    op_types = op_types_of(item)
    cells = [f"`{symbol.path}`", "no" if item is None else "yes", "=" if problem is None else problem]
    if item is None:
        cells[2] = ""
    cells += [", ".join(op_types), _gradient(op_types), _types(op_types), _targets(op_types)] if op_types else [""] * 4
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """The whole text."""
    symbols = list(documented())
    lines = [HEAD, *_counts(symbols)]
    area = section = ""
    for symbol in symbols:
        if symbol.area != area:
            area = symbol.area
            lines.append(f"\n## {area}")
        if symbol.section != section:
            section = symbol.section
            lines += [f"\n### {section}\n", "| symbol | present | signature | op types | gradient | types | target |"]
            lines.append("|---|---|---|---|---|---|---|")
        lines.append(row(symbol))
    return "\n".join(lines) + "\n"


def _counts(symbols: list[Symbol]) -> list[str]:
    lines = ["| area | documented | present | signature equal |", "|---|---|---|---|"]
    for area in dict.fromkeys(symbol.area for symbol in symbols):
        own = [symbol for symbol in symbols if symbol.area == area]
        present = sum(found(symbol) is not None for symbol in own)
        lines.append(f"| {area} | {len(own)} | {present} | {sum(difference(symbol) is None for symbol in own)} |")
    return lines


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
