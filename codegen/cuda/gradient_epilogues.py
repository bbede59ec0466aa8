"""Gradients that cuBLASLt computes together with a product, so that nobody reads its matrices once more.

mask             bits that say where max(x·w + b, 0) is positive are stored along with it, if a gradient asks for them
relu gradient    a product that is dropped where these bits are 0: select(relu > 0, a·b, 0)
bias gradient    the sums over the rows of b along with a·b, as the gradients of a bias and of its weights need them

Such a call has two results. It is one vector, of which users see parts: first the product, then, from a multiple of 64
elements on, the mask or the sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from flowc.codegen.cuda.libraries import library_call
from flowc.codegen.cuda.vendor import vendor
from flowc.codegen.fuse import live_nodes
from flowc.codegen.ir import Node, base_of
from flowc.codegen.program import Program
from flowc.codegen.templates import Launch, Pointer, params_of, template, template_of
from flowc.framework.dtypes import float32

_ALIGNMENT: Final = 64  # elements
_MASK_BITS: Final = 128  # of which the length of a row of a mask is a multiple


@template("library_product_mask", strided=frozenset({0, 1}))
def library_product_mask(call: Node) -> Sequence[Launch]:
    """A product, then max(…, 0), and its mask. Params: `bias`, as of `library_product`; `product`, the product's."""
    shape = params_of(call)["product"]
    bias = Pointer(2) if params_of(call).get("bias") else 0
    mask = Pointer(-1, _second(shape) * call.dtype.size)
    return [library_call(call, 0, shape, bias=bias, mask=mask, relu=1, mask_bits=_mask_bits(shape))]


@template("library_product_relu_gradient", strided=frozenset({0, 1}))
def library_product_relu_gradient(call: Node) -> Sequence[Launch]:
    """A product where the mask of the third argument, a `library_product_mask` of the same shape, has bits; else 0."""
    mask = Pointer(2, _second(call.shape) * call.dtype.size)
    return [library_call(call, 0, call.shape, mask=mask, relu_gradient=1, mask_bits=_mask_bits(call.shape))]


@template("library_product_sums", strided=frozenset({0, 1}))
def library_product_sums(call: Node) -> Sequence[Launch]:
    """A product, and the sums over the rows of its second factor. Params: `product`, the product's."""
    shape = params_of(call)["product"]
    sums = Pointer(-1, _second(shape) * call.dtype.size)
    return [library_call(call, 0, shape, bias=sums, bias_gradient=1)]


def _second(shape: Sequence[int]) -> int:
    """Where the second result starts."""
    return -(-shape[0] * shape[1] // _ALIGNMENT) * _ALIGNMENT


def _mask_bits(shape: Sequence[int]) -> int:
    return -(-shape[1] // _MASK_BITS) * _MASK_BITS


# -- the rewrite -------------------------------------------------------------------------------------------------------


def with_gradient_epilogues(program: Program) -> None:
    """Replaces products, and what follows or accompanies them, by calls that do both."""
    if vendor().blas and vendor().gradient_epilogues:
        _Rewrite(program).run()


class _Rewrite:
    def __init__(self, program: Program) -> None:
        self.program, self.nodes = program, live_nodes(program)
        self.place = {node: i for i, node in enumerate(self.nodes)}
        self.uses = Counter(arg for node in self.nodes for arg in node.args)
        self.uses.update([*program.fetches, *program.stores.values(), *program.effects])
        self.new: dict[Node, Node] = {}
        self.gradients = {node: found for node in self.nodes if (found := self._relu_gradient(node)) is not None}
        self.masked = {relu for _, relu in self.gradients.values()}
        taken = {product for product, _ in self.gradients.values()} | self.masked
        self.sums = self._sums([node for node in self.nodes if _is_plain(node) and node not in taken])

    def run(self) -> None:
        if not self.gradients and not self.sums:
            return
        for node in self.nodes:
            self.program.origin = node.origin
            made = self._made(node)
            if made is not None:
                self.new[node] = made
        program, new = self.program, self.new
        program.origin = ""
        program.fetches = [new.get(node, node) for node in program.fetches]
        program.effects = [new.get(node, node) for node in program.effects]
        program.stores = {name: new.get(node, node) for name, node in program.stores.items()}

    def _made(self, node: Node) -> Node | None:
        """What takes the place of a node; None if nothing has to."""
        if node in self.new:
            return self.new[node]
        if node in self.masked:
            return self._with_mask(node)
        if node in self.gradients:
            return self._masked(*self.gradients[node])
        if node in self.sums:
            return self._with_sums(node)
        if any(arg in self.new for arg in node.args):
            return _with_args(self.program, node, self._args(node))
        return None

    def _args(self, node: Node) -> list[Node]:
        return [self._arg(arg) for arg in node.args]

    def _arg(self, arg: Node) -> Node:
        """What takes the place of an argument: of a view, too, whose turn has not come yet."""
        if arg not in self.new and arg.op == "view" and arg.args[0] in self.new:
            self.new[arg] = _with_args(self.program, arg, [self.new[arg.args[0]]])
        return self.new.get(arg, arg)

    # -- what is found -------------------------------------------------------------------------------------------------

    def _relu_gradient(self, node: Node) -> tuple[Node, Node] | None:
        """The product and the relu, if the node is the first where the second is positive, and else 0."""
        if node.op != "map" or node.attr != "select" or node.dtype is not float32:
            return None
        positive, product, zero = node.args
        if positive.op != "map" or positive.attr != "gt" or not _is_plain(product) or self.uses[product] > 1:
            return None
        relu, least = positive.args
        if not _is_relu(relu):
            return None
        zeros = self.program.scalar_value(zero) == 0 and self.program.scalar_value(least) == 0
        return (product, relu) if zeros and product.shape == node.shape == relu.shape else None

    def _sums(self, products: Sequence[Node]) -> dict[Node, tuple[Node, Node]]:
        """By products and by sums over the rows of their second factors: both."""
        sums = {
            node.args[0]: node
            for node in self.nodes
            if node.op == "reduce" and node.attr == ("sum", (0,), 0) and len(node.args[0].shape) == 2
        }
        found: dict[Node, tuple[Node, Node]] = {}
        for product in products:
            total = sums.pop(product.args[1], None)
            if total is None:
                continue
            if all(self.place[base_of(arg)] < self.place[total] for arg in product.args if base_of(arg) in self.place):
                found[product] = found[total] = product, total
        return found

    # -- what is made --------------------------------------------------------------------------------------------------

    def _with_mask(self, relu: Node) -> Node:
        params = {name: value for name, value in params_of(relu).items() if name != "relu"}
        words = -(-relu.shape[0] * _mask_bits(relu.shape) // (8 * relu.dtype.size))
        size = (_second(relu.shape) + words,)
        args = self._args(relu)
        both = self.program.call("library_product_mask", args, size, relu.dtype, **params, product=relu.shape)
        return _part(self.program, both, 0, relu.shape)

    def _masked(self, product: Node, relu: Node) -> Node:
        args = [*self._args(product), base_of(self.new[relu])]
        params = _with_reason(product, "with the gradient of relu")
        return self.program.call("library_product_relu_gradient", args, product.shape, product.dtype, **params)

    def _with_sums(self, node: Node) -> Node:
        product, total = self.sums[node]
        size = (_second(product.shape) + total.size,)
        params = _with_reason(product, "with the gradient of a bias") | {"product": product.shape}
        both = self.program.call("library_product_sums", self._args(product), size, product.dtype, **params)
        self.new[product] = _part(self.program, both, 0, product.shape)
        self.new[total] = _part(self.program, both, _second(product.shape), total.shape)
        return self.new[node]


def _part(program: Program, both: Node, first: int, shape: tuple[int, ...]) -> Node:
    """One of two results that lie in one vector."""
    strides = (shape[1], 1) if len(shape) == 2 else (1,)
    return program.view(both, shape, first, strides)


def _with_args(program: Program, node: Node, args: Sequence[Node]) -> Node:
    """The same node of other arguments, some of which may be views now, of the same elements in order."""
    if node.op in ("call", "region"):
        strided = template_of(node).strided if node.op == "call" else ()
        whole = [a if a is was or i in strided else _copied(program, a) for i, (a, was) in _paired(args, node.args)]
        return program.with_args(node, whole)
    if node.op != "view":
        return program.with_args(node, args)
    offset, strides = node.attr
    base, first = (args[0], 0) if args[0].op != "view" else (args[0].args[0], args[0].attr[0])
    return program.view(base, node.shape, first + offset, strides)


def _paired(args: Sequence[Node], before: Sequence[Node]) -> Iterator[tuple[int, tuple[Node, Node]]]:
    return enumerate(zip(args, before, strict=True))


def _copied(program: Program, arg: Node) -> Node:
    return program.map("copy", arg) if arg.op == "view" else arg


def _is_plain(node: Node) -> bool:
    """Whether it is a product of two matrices and no more."""
    if node.op != "call" or node.attr[0] != "library_product" or len(node.shape) != 2:
        return False
    return node.dtype is float32 and not params_of(node).get("bias") and not params_of(node).get("relu")


def _is_relu(node: Node) -> bool:
    named = node.op == "call" and node.attr[0] == "library_product" and len(node.shape) == 2
    return named and node.dtype is float32 and bool(params_of(node).get("relu"))


def _with_reason(product: Node, more: str) -> dict[str, Any]:
    return {"why": f"{params_of(product)['why']}, {more}"}
