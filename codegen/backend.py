"""Which target a plan is made for, while it is being made: how loop nests become kernels, and calls launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from flowc.codegen.ir import Node
    from flowc.codegen.render import Rendered
    from flowc.codegen.templates import Launch

Name = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Backend:
    """A target's part of the compiler.

    render: the kernel of a loop nest; arguments as of `flowc.codegen.render.render`.
    launches: the launches of a call node.
    has_tiles: whether products and convolutions have kernels by tiles in vector registers.
    runs_regions: whether kernels can have parts of the tape run, as loops and conditionals do.
    """

    name: Name
    render: Callable[..., Rendered]
    launches: Callable[[Node], Sequence[Launch]]
    has_tiles: bool
    runs_regions: bool


_target: ContextVar[Name] = ContextVar("flowc target", default="cpu")


def current_target() -> Name:
    """The name of the target that plans are made for, without importing its part of the compiler."""
    return _target.get()


def current() -> Backend:
    """The target that plans are made for."""
    return _backend(_target.get())


@contextmanager
def compiling_for(target: Name) -> Iterator[None]:
    """In the with-block, plans are made for `target`."""
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)


@cache
def _backend(target: Name) -> Backend:
    if target == "cuda":
        from flowc.codegen.cuda.forms import render_cuda
        from flowc.codegen.cuda.lowering import cuda_launches

        return Backend("cuda", render_cuda, cuda_launches, has_tiles=False, runs_regions=False)
    from flowc.codegen.render import render
    from flowc.codegen.templates import template_of

    return Backend("cpu", render, lambda call: template_of(call).launches(call), has_tiles=True, runs_regions=True)
