"""What lowerings share: arguments of calls, constants, checks of values, wide sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flowc.codegen.ir import Node, access, is_dense
from flowc.codegen.kernels.source import out_of_range
from flowc.codegen.lower.registry import LoweredOp
from flowc.codegen.program import Program
from flowc.framework.dtypes import DType, float16, float32, string
from flowc.framework.errors import InvalidArgumentError, UnimplementedError


def stored(p: Program, x: Node) -> Node:
    """`x`, or a copy of it if it is no memory that a kernel can read: indices along an axis, or views of those."""
    return _copied(p, x) if access(x)[0].op == "iota" else x


def dense(p: Program, x: Node) -> Node:
    """`x`, or a copy of it if it is a view whose elements do not lie side by side."""
    return stored(p, x) if is_dense(x.shape, access(x)[2]) else _copied(p, x)


def whole(p: Program, x: Node) -> Node:
    """`x`, or a copy of it if it is a view: what a call may write over."""
    return _copied(p, x) if x.op == "view" else stored(p, x)


def _copied(p: Program, x: Node) -> Node:
    """A row-major array of `x`'s values."""
    refuse_strings(x.dtype, "A copy of it")
    return p.map("copy", x) if x.op == "view" else p.fresh_copy(x)


def refuse_strings(dtype: DType, what: str) -> None:
    """Raises UnimplementedError where a kernel would have to work on strings."""
    if dtype is string:
        raise UnimplementedError(None, None, f"{what} has no kernel for {dtype.name}")


def full(p: Program, shape: Iterable[int], value: Any, dtype: DType) -> Node:
    """An array of one value, without memory."""
    return p.broadcast(p.scalar(value, dtype), tuple(shape))


def checked(p: Program, check: str, x: Node, message: str, error: str = "InvalidArgumentError", **params: Any) -> Node:
    """`x` as it is, after a check of its elements that fails the run: see `flowc.codegen.kernels.checks`."""
    return p.map("add", x, token(p, check, x, message, error, **params))


def token(p: Program, check: str, x: Node, message: str, error: str = "InvalidArgumentError", **params: Any) -> Node:
    """A scalar that is ready only after the check of `x`: adding it to something changes nothing."""
    return p.call(check, [dense(p, x)], (), x.dtype, error=error, message=message, **params)


def index_token(p: Program, indices: Node, bound: int, name: str = "indices") -> Node:
    """The token that says that all `indices`, called `name`, are in [0, bound)."""
    return token(p, "check_range", indices, out_of_range(name, indices.shape), bound=bound)


def axes_of(op: LoweredOp, index: int, rank: int) -> tuple[int, ...]:
    """The axes that input `index` holds, counted from 0."""
    return tuple(sorted({int(axis) % max(rank, 1) for axis in op.known(index).reshape(-1)}))


def in_float32(p: Program, compute: Callable[..., Node], *args: Node) -> Node:
    """`compute` of the arguments; of float16 ones, done in float32 and rounded once at the end."""
    if args[0].dtype is not float16:
        return compute(*args)
    return p.cast(compute(*(p.cast(x, float32) for x in args)), float16)


def invalid(message: str) -> InvalidArgumentError:
    """The error for values, known before the run, that an op cannot work on."""
    return InvalidArgumentError(None, None, message)
