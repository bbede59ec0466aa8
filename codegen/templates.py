"""Hand-written kernels and library calls, for what loops over index maps cannot say: gather, scatter, matmul, random, …

A template turns a `call` node into launches of kernels. A kernel is `void kernel(int64 *a, int64 lo, int64 hi)` in
restricted Python; its argument block starts with pointers and goes on with plain integers, in the order that
`Launch.words` gives them. Arguments of a call are dense arrays, but for those that the template's `strided` names.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flowc.codegen.ir import Node
from flowc.codegen.plan import Kernel, Runtime


@dataclass(frozen=True)
class Pointer:
    """An argument word that is an address: of the result (index -1) or an argument, at an offset in bytes."""

    arg: int
    offset: int = 0


@dataclass(frozen=True)
class StatusWord:
    """Two argument words: the address of the run's error record, and the id to store there (plus 1) on an error."""

    error: str  # class name in flowc.errors
    message: str  # may hold {0}, {1}, {2}: the details that the kernel stores in record[1..3]


@dataclass(frozen=True)
class StateWord:
    """An argument word that is the address of an int64 the session keeps for this op between runs.

    A key that ends in `:n` stands for n of them, in a row.
    """

    key: str


@dataclass(frozen=True)
class Symbol:
    """An argument word that is the address of an external function, such as `cblas_sgemm`."""

    name: str


@dataclass(frozen=True)
class StackWord:
    """An argument word that is the address of memory of the run's own: see `plan.Space.STACK`."""


@dataclass(frozen=True)
class RuntimeWord:
    """An argument word that is the address of something of the runtime's."""

    which: Runtime


Word = int | Pointer | StatusWord | StateWord | Symbol | StackWord | RuntimeWord


@dataclass(frozen=True)
class Launch:
    """One launch: the kernel, its argument words, how many units of work, and how many make a chunk worth a thread."""

    kernel: Kernel
    words: tuple[Word, ...]
    units: int
    grain: int
    bytes: int = 0  # read and written


EVERY_ARGUMENT: Final = range(1 << 30)  # for Template.strided


@dataclass(frozen=True)
class Template:
    """How calls of one name become launches.

    launches: the launches of a call node, in order.
    in_place: the index of the argument whose memory becomes the result's; it is copied first if it is needed later.
    may_fail: a launch can record an error, so it must run before any variable is overwritten.
    strided: indices of arguments that may be views; the launches take their strides from `ir.access`.
    """

    launches: Callable[[Node], Sequence[Launch]]
    in_place: int | None = None
    may_fail: bool = False
    strided: Container[int] = ()


_templates: dict[str, Template] = {}


def template(
    name: str, **options: Any
) -> Callable[[Callable[[Node], Sequence[Launch]]], Callable[..., Sequence[Launch]]]:
    """Decorator: registers a function (call node -> launches) as the template `name`."""

    def register(function: Callable[[Node], Sequence[Launch]]) -> Callable[[Node], Sequence[Launch]]:
        _templates[name] = Template(function, **options)
        return function

    return register


def template_named(name: str) -> Template:
    """The template of that name."""
    return _templates[name]


def template_of(call: Node) -> Template:
    """The template that a call node names."""
    return _templates[call.attr[0]]


def params_of(call: Node) -> dict[str, Any]:
    """A call node's parameters."""
    return dict(call.attr[1])
