"""Which target a plan is made for, while it is being made: how loop nests become kernels, and calls launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from flowc.codegen.cuda.libraries import Choice
    from flowc.codegen.ir import Node
    from flowc.codegen.program import Program
    from flowc.codegen.render import Rendered
    from flowc.codegen.templates import Launch
    from flowc.framework.dtypes import DType

Name = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Backend:
    """A target's part of the compiler.

    render: the kernel of a loop nest; arguments as of `flowc.codegen.render.render`.
    launches: the launches of a call node.
    has_tiles: whether products and convolutions have kernels by tiles in vector registers.
    runs_regions: whether kernels can have parts of the tape run, as loops and conditionals do.

    For a target that has libraries:
    chosen_product: what computes a product of two nodes; None if their type must be converted first.
    chosen_convolution: what computes a convolution of a type and tensors of these sizes.
    rewrite: patterns that a call of a library computes in one pass.
    """

    name: Name
    render: Callable[..., Rendered]
    launches: Callable[[Node], Sequence[Launch]]
    has_tiles: bool
    runs_regions: bool
    chosen_product: Callable[[Node, Node], Choice | None] = lambda a, b: None
    chosen_convolution: Callable[[DType, Sequence[int]], Choice | None] = lambda dtype, sizes: None
    rewrite: Callable[[Program], None] = lambda program: None


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
        from flowc.codegen.cuda.gradient_epilogues import with_gradient_epilogues
        from flowc.codegen.cuda.libraries import chosen_convolution, chosen_product
        from flowc.codegen.cuda.lowering import cuda_launches

        libraries = chosen_product, chosen_convolution, with_gradient_epilogues
        return Backend("cuda", render_cuda, cuda_launches, False, False, *libraries)
    from flowc.codegen.render import render
    from flowc.codegen.templates import template_of

    return Backend("cpu", render, lambda call: template_of(call).launches(call), has_tiles=True, runs_regions=True)
