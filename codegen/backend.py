"""Which target a plan is made for, while it is being made: how its loop nests become kernels, and its calls launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.render import Rendered, render
from flowc.codegen.templates import Launch, template_of


@dataclass(frozen=True)
class Backend:
    """A target's part of the compiler.

    render: the kernel of a loop nest; arguments as of `flowc.codegen.render.render`.
    launches: the launches of a call node.
    has_tiles: whether products and convolutions have kernels by tiles in vector registers.
    runs_regions: whether kernels can have parts of the tape run, as loops and conditionals do.
    """

    name: str
    render: Callable[..., Rendered]
    launches: Callable[[Node], Sequence[Launch]]
    has_tiles: bool = True
    runs_regions: bool = True


CPU: Final = Backend("cpu", render, lambda call: template_of(call).launches(call))
_current: ContextVar[Backend] = ContextVar("flowc backend", default=CPU)


def current() -> Backend:
    """The target of the plan that is being made."""
    return _current.get()


@contextmanager
def compiling_for(backend: Backend) -> Iterator[None]:
    """In the with-block, plans are made for `backend`."""
    token = _current.set(backend)
    try:
        yield
    finally:
        _current.reset(token)
