"""The program of one run: makes the nodes of `flowc.codegen.ir`, each expression once, in its simplest form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, Final

import numpy as np

from flowc.codegen.ir import (
    ARG_REDUCTIONS,
    Array,
    Node,
    Shape,
    access,
    broadcast_access,
    is_dense,
    is_within,
    reshaped_strides,
)
from flowc.codegen.templates import template_named
from flowc.framework.dtypes import DType, as_dtype, bool_, float16, float32, int64, string
from flowc.framework.errors import InvalidArgumentError, UnimplementedError

COMPARISONS: Final = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite"})
SPLIT_SIZE: Final = 1 << 16  # elements from which a reduction to few values is split into blocks that run in parallel
SPLIT_BLOCK: Final = 1 << 13  # elements a block
FEW: Final = 8  # fewer independent results than this leave threads idle


class Program:
    """The nodes of one run, in an order in which arguments come first; makes and interns them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: list[Array] = []
        self.fetches: list[Node] = []
        self.stores: dict[str, Node] = {}  # variable name → its value at the end of the run
        self.effects: list[Node] = []  # what is computed for the error that it may record
        self.required: list[Node] = []  # variables that must be initialised, read or not
        self.is_part = False  # of a loop or a conditional: its variables are memory that a failed run forgets
        self.origin = ""  # the operation being lowered
        self._interned: dict[Any, Node] = {}
        self._constant_ids: dict[Any, int] = {}

    # -- leaves --------------------------------------------------------------------------------------------------------

    def _make(self, op: str, dtype: DType, shape: Shape, args: tuple[Node, ...], attr: Any) -> Node:
        key = (op, dtype._enum, shape, tuple([a.id for a in args]), attr)
        node = self._interned.get(key)
        if node is None:
            node = Node(op, dtype, shape, args, attr, len(self.nodes))
            node.origin = self.origin
            self._interned[key] = node
            self.nodes.append(node)
        return node

    def feed(self, index: int, dtype: DType, shape: Shape) -> Node:
        """The array fed as number `index`."""
        return self._make("input", dtype, shape, (), ("feed", index))

    def variable(self, name: str, dtype: DType, shape: Shape) -> Node:
        """The value of a variable before the run."""
        return self._make("input", dtype, shape, (), ("variable", name))

    def const(self, value: Any, dtype: DType | None = None) -> Node:
        """A constant array or scalar."""
        array = np.asarray(value) if dtype is None else np.asarray(value, dtype=dtype.as_numpy_dtype)
        array = np.ascontiguousarray(array).reshape(array.shape)
        kind = as_dtype(array.dtype) if dtype is None else dtype
        content = tuple(array.reshape(-1).tolist()) if array.dtype == object else array.tobytes()
        key = (kind._enum, array.shape, content)
        index = self._constant_ids.get(key)
        if index is None:
            index = self._constant_ids[key] = len(self.constants)
            self.constants.append(array)
        return self._make("const", kind, array.shape, (), index)

    def iota(self, shape: Shape, axis: int, dtype: DType = int64) -> Node:
        """At every index, the index along `axis`."""
        return self._make("iota", dtype, shape, (), axis)

    # -- elementwise ---------------------------------------------------------------------------------------------------

    def map(self, primitive: str, *args: Node, dtype: DType | None = None) -> Node:
        """`primitive` at every index of the broadcast arguments. `dtype`: the result's, if not the arguments'."""
        shape = args[0].shape
        for arg in args[1:]:
            if arg.shape != shape:
                shape = np.broadcast_shapes(shape, arg.shape)
        if dtype is None:
            dtype = bool_ if primitive in COMPARISONS else args[-1].dtype
        if len(args) > 1:
            args = self._without_fills(args, shape)
        return self._simplified(primitive, args, dtype, shape)

    def _without_fills(self, args: tuple[Node, ...], shape: Shape) -> tuple[Node, ...]:
        """The arguments, with a repeated constant as the constant itself where another argument gives the shape."""
        fills = [arg.op == "view" and arg.args[0].op == "const" and arg.args[0].size == 1 for arg in args]
        if not any(fills) or not any(arg.shape == shape for arg, fill in zip(args, fills, strict=True) if not fill):
            return args
        return tuple(self._scalar_of(arg) if fill else arg for arg, fill in zip(args, fills, strict=True))

    def _scalar_of(self, fill: Node) -> Node:
        base = fill.args[0]
        return base if not base.shape else self.const(self.constants[base.attr].reshape(()), base.dtype)

    def _simplified(self, primitive: str, args: tuple[Node, ...], dtype: DType, shape: Shape) -> Node:
        """The algebra that is exact in IEEE arithmetic: x·1, x/1, x-0, -(-x), casts to the same type, x·x for x²."""
        first = args[0]
        if primitive in ("copy", "cast") and first.dtype is dtype and first.op != "view" and first.shape == shape:
            return first
        if primitive == "cast" and first.dtype is dtype:
            return self.map("copy", first)
        if primitive == "neg" and first.op == "map" and first.attr == "neg":
            return first.args[0]
        if primitive == "square":
            return self._make("map", dtype, shape, (first, first), "mul")
        if len(args) == 2:
            simple = self._with_scalar(primitive, first, args[1], dtype, shape)
            if simple is None and primitive == "mul":
                simple = self._with_scalar(primitive, args[1], first, dtype, shape)
            if simple is not None:
                return simple
        return self._make("map", dtype, shape, args, primitive)

    def scalar_value(self, x: Node) -> Any:
        """The value of a constant of one element; None for any other node."""
        return self.constants[x.attr].reshape(-1)[0] if x.op == "const" and x.size == 1 else None

    def _with_scalar(self, primitive: str, x: Node, scalar: Node, dtype: DType, shape: Shape) -> Node | None:
        """What is simpler than `primitive` of `x` and a constant, if anything is."""
        value = self.scalar_value(scalar)
        if value is None or x.shape != shape:
            return None
        if (primitive in ("mul", "div") and value == 1) or (primitive == "pow" and value == 1):
            return x
        if primitive == "sub" and value == 0 and not np.signbit(np.real(value)):
            return x
        if primitive == "pow" and value == 2:
            return self.map("mul", x, x)
        if primitive == "div" and dtype.is_floating and value != 0 and np.isfinite(value):
            mantissa, _ = np.frexp(value)
            if abs(mantissa) == 0.5 and abs(np.log2(abs(float(value)))) < 14:  # a power of two: its inverse is exact
                return self.map("mul", x, self.const(np.reshape(1 / value, scalar.shape), dtype))
        return None

    def fresh_copy(self, x: Node) -> Node:
        """A copy of `x` that is a node of its own, not shared with other copies."""
        node = Node("map", x.dtype, x.shape, (x,), "copy", len(self.nodes))
        node.origin = x.origin
        self.nodes.append(node)
        return node

    def with_args(self, node: Node, args: Sequence[Node]) -> Node:
        """`node` of other arguments, of the same shapes; not shared with others if it is not."""
        key = (node.op, node.dtype._enum, node.shape, tuple([a.id for a in node.args]), node.attr)
        if self._interned.get(key) is node:
            return self._make(node.op, node.dtype, node.shape, tuple(args), node.attr)
        new = Node(node.op, node.dtype, node.shape, tuple(args), node.attr, len(self.nodes))
        new.origin = node.origin
        self.nodes.append(new)
        return new

    def cast(self, x: Node, dtype: DType) -> Node:
        """`x` converted to `dtype`, as C does it."""
        return self.map("cast", x, dtype=dtype)

    def scalar(self, value: Any, dtype: DType) -> Node:
        """A constant of rank 0."""
        return self.const(np.asarray(value, dtype=dtype.as_numpy_dtype), dtype)

    # -- views ---------------------------------------------------------------------------------------------------------

    def view(self, x: Node, shape: Shape, offset: int, strides: tuple[int, ...]) -> Node:
        """The strided array over the memory of `x`'s base; the base itself where it is all of it, in order.

        Raises InvalidArgumentError if it would reach outside that memory: no kernel can, whatever a lowering did.
        """
        if x.op == "iota":
            return self.view(self.map("copy", x), shape, offset, strides)
        base, _, _ = access(x)
        if not is_within(base.size, shape, offset, strides):
            raise InvalidArgumentError(
                None, None, f"The part of shape {list(shape)} reaches outside the tensor of shape {list(x.shape)}"
            )
        if shape == base.shape and offset == 0 and is_dense(shape, strides):
            return base
        if x.dtype is string:
            raise UnimplementedError(None, None, "There is no kernel for parts or other shapes of a tensor of strings")
        strides = tuple(0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True))
        return self._make("view", x.dtype, shape, (base,), (offset, strides))

    def reshape(self, x: Node, shape: Iterable[int]) -> Node:
        """`x` with another shape of as many elements: a view where strides allow it, else a view of a copy."""
        shape = tuple(shape)
        if shape == x.shape:
            return x
        if prod(shape) != x.size:
            raise InvalidArgumentError(None, None, f"Cannot reshape a tensor of shape {list(x.shape)} to {list(shape)}")
        _, offset, strides = access(x)
        new = reshaped_strides(x.shape, strides, shape)
        if new is None:
            return self.reshape(self.map("copy", x), shape)
        return self.view(x, shape, offset, new)

    def transpose(self, x: Node, perm: Sequence[int]) -> Node:
        """`x` with its dimensions in another order: result dimension k is dimension perm[k]."""
        _, offset, strides = access(x)
        return self.view(x, tuple(x.shape[p] for p in perm), offset, tuple(strides[p] for p in perm))

    def slice(self, x: Node, begin: Sequence[int], size: Sequence[int]) -> Node:
        """The block of `size` that starts at `begin`."""
        _, offset, strides = access(x)
        start = offset + sum(b * s for b, s in zip(begin, strides, strict=True))
        return self.view(x, tuple(size), start if prod(size) else 0, strides)

    def reverse(self, x: Node, axes: Iterable[int]) -> Node:
        """`x` read backwards along `axes`."""
        _, offset, strides = access(x)
        flipped = list(strides)
        for axis in axes:
            if x.shape[axis] > 1:
                offset += strides[axis] * (x.shape[axis] - 1)
                flipped[axis] = -strides[axis]
        return self.view(x, x.shape, offset, tuple(flipped))

    def broadcast(self, x: Node, shape: Shape) -> Node:
        """`x` repeated to `shape` by NumPy's rules, without a copy."""
        if shape == x.shape:
            return x
        _, offset, strides = broadcast_access(x, shape)
        return self.view(x, shape, offset, strides)

    # -- reductions, calls ---------------------------------------------------------------------------------------------

    def reduce(self, kind: str, x: Node, axes: Iterable[int], keep_dims: bool = False) -> Node:
        """`x` reduced over `axes`. `keep_dims`: they stay, with size 1. argmax and argmin give int64."""
        kept_axes = set(range(len(x.shape))) - set(axes)
        axes = tuple(a for a in range(len(x.shape)) if a not in kept_axes)
        shape = tuple(x.shape[a] for a in sorted(kept_axes))
        if x.dtype is float16 and kind in ("sum", "prod"):  # a half would lose most of what it adds up
            return self.cast(self.reduce(kind, self.cast(x, float32), axes, keep_dims), float16)
        dtype = int64 if kind in ARG_REDUCTIONS else x.dtype
        if not axes:
            result = (
                self.map("copy", x) if kind not in ARG_REDUCTIONS else self.broadcast(self.scalar(0, int64), x.shape)
            )
        elif kind not in ARG_REDUCTIONS and self._should_split(x, axes, shape):
            blocks = -(-(x.size // max(prod(shape), 1)) // SPLIT_BLOCK)
            parts = self._make("reduce", dtype, (blocks, *shape), (x,), (kind, axes, blocks))
            result = self._make("reduce", dtype, shape, (parts,), (kind, (0,), 0))
        else:
            result = self._make("reduce", dtype, shape, (x,), (kind, axes, 0))
        if not keep_dims:
            return result
        return self.reshape(result, tuple(1 if a in axes else n for a, n in enumerate(x.shape)))

    @staticmethod
    def _should_split(x: Node, axes: tuple[int, ...], kept: Shape) -> bool:
        if x.size < SPLIT_SIZE:
            return False
        last = len(x.shape) - 1
        independent = prod(kept) if last in axes else prod(kept) // 64
        return independent < FEW and x.size // max(prod(kept), 1) > SPLIT_BLOCK

    def call(self, template: str, args: Sequence[Node], shape: Iterable[int], dtype: DType, **params: Any) -> Node:
        """The result of a hand-written kernel or a library; `params` fix its form. Views it cannot take are copied."""
        strided = template_named(template).strided
        args = [arg if i in strided else self._dense(arg) for i, arg in enumerate(args)]
        return self._make("call", dtype, tuple(shape), tuple(args), (template, tuple(sorted(params.items()))))

    def region(self, args: Sequence[Node], region: Any) -> Node:
        """A loop or a conditional; see `flowc.codegen.regions.region`, which makes them."""
        return self._make("region", bool_, (), tuple(args), region)

    def result(self, region: Node, index: int, dtype: DType, shape: Shape) -> Node:
        """One of the values that a region leaves."""
        return self._make("result", dtype, shape, (region,), index)

    def _dense(self, x: Node) -> Node:
        """`x` as an array that lies in memory in order, from its base's start."""
        base, offset, strides = access(x)
        if x.op == "iota" or offset or base.size != x.size or not is_dense(x.shape, strides):
            return self.map("copy", x)
        return x
