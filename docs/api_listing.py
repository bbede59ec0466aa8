"""The documented API of TensorFlow 0.6, read from `docs/api/tf-0.6.txt`, beside what flowc has under the same names."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import flowc as tf

LISTING: Final = Path(__file__).parent / "api" / "tf-0.6.txt"
_ABSENT: Final = object()


@dataclass(frozen=True)
class Symbol:
    """One documented name: `path` without the leading `tf.`, and the text of its arguments; None for what has none."""

    area: str
    section: str
    path: str
    arguments: str | None
    is_class: bool = False

    @property
    def owner(self) -> str:
        """The path of the class or module that the name stands in; empty for `tf` itself."""
        return self.path.rpartition(".")[0]


def documented() -> Iterator[Symbol]:
    """The symbols of the listing, in its order."""
    area = section = ""
    for line in LISTING.read_text().splitlines():
        text = line.strip()
        if text.startswith("## "):
            area = text[3:]
        elif text.startswith("# "):
            section = text[2:]
        elif text:
            yield _symbol(area, section, text)


def _symbol(area: str, section: str, text: str) -> Symbol:
    is_class = text.startswith("class ")
    name, bracket, arguments = text.removeprefix("class ").removeprefix("tf.").partition("(")
    return Symbol(area, section, name, arguments.removesuffix(")") if bracket else None, is_class)


# -- what flowc has ----------------------------------------------------------------------------------------------------


def found(symbol: Symbol) -> Any:
    """flowc's object of that name; None if it has none. A method is the function, a property the property."""
    item: Any = tf
    for name in symbol.path.split("."):
        inside = inspect.isclass(item)
        item = inspect.getattr_static(item, name, _ABSENT) if inside else getattr(item, name, _ABSENT)
        if item is _ABSENT:
            return None
    return item


def difference(symbol: Symbol) -> str | None:
    """How flowc's signature differs from the documented one, or None where it does not.

    Arguments that flowc has beyond those documented do not count where they have defaults and come last.
    """
    item = found(symbol)
    if item is None:
        return "missing"
    if symbol.is_class or symbol.arguments is None:
        return None
    if not callable(getattr(item, "__func__", item)):
        return "not callable"
    wanted, given = _documented_parameters(symbol), _parameters(symbol, item)
    for mine, theirs in zip(given, wanted, strict=False):
        if (mine.name, mine.kind) != (theirs.name, theirs.kind):
            return f"argument {mine} where {theirs} is documented"
        if not _same_default(mine.default, theirs.default):
            return f"default {mine.default!r} of {mine.name} where {theirs.default!r} is documented"
    if len(given) < len(wanted):
        return f"no argument {wanted[len(given)].name}"
    required = [p.name for p in given[len(wanted) :] if p.default is p.empty and p.kind not in _VARIADIC]
    return f"required argument {required[0]} is not documented" if required else None


_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _parameters(symbol: Symbol, item: Any) -> list[inspect.Parameter]:
    if item is object.__init__:  # arguments are those of `__new__`
        return _parameters(symbol, found(Symbol("", "", f"{symbol.owner}.__new__", None)))
    function = getattr(item, "__func__", item)
    parameters = list(inspect.signature(function).parameters.values())
    is_bound = (symbol.path.endswith("__init__") or not isinstance(item, staticmethod)) and inspect.isclass(
        found(Symbol("", "", symbol.owner, None))
    )
    return [p.replace(annotation=p.empty) for p in parameters[is_bound:]]


def _documented_parameters(symbol: Symbol) -> list[inspect.Parameter]:
    """The documented arguments."""
    arguments = ast.parse(f"lambda {symbol.arguments}: None", mode="eval").body.args  # type: ignore[attr-defined]
    defaults: list[Any] = [inspect.Parameter.empty] * (len(arguments.args) - len(arguments.defaults))
    defaults += [eval(ast.unparse(node), {"tf": tf}) for node in arguments.defaults]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    found = [inspect.Parameter(a.arg, kind, default=d) for a, d in zip(arguments.args, defaults, strict=True)]
    if arguments.vararg:
        found.append(inspect.Parameter(arguments.vararg.arg, inspect.Parameter.VAR_POSITIONAL))
    if arguments.kwarg:
        found.append(inspect.Parameter(arguments.kwarg.arg, inspect.Parameter.VAR_KEYWORD))
    return found


def _same_default(mine: Any, theirs: Any) -> bool:
    """Whether two defaults are the same; a sequence is one of the same items, as `()` is for the documented `[]`."""
    if isinstance(theirs, list):
        return isinstance(mine, list | tuple) and list(mine) == theirs
    return (type(mine) is type(theirs) and bool(mine == theirs)) or mine is theirs
