"""Neural networks: activations and their gradients, softmax and cross entropies.

A softmax is written as its maps and reductions; fusion makes one pass over each row of it. Float16 is computed in
float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import in_float32, token
from flowc.codegen.lower.pooling import spread_later
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import float16, float32

# -- activations -------------------------------------------------------------------------------------------------------


@lowering("BiasAdd")
def bias_add(p: Program, op: LoweredOp, value: Node, bias: Node) -> Node:
    return p.map("add", value, bias)


@lowering("Relu")
def relu(p: Program, op: LoweredOp, x: Node) -> Node:
    return p.map("maximum", x, p.scalar(0, x.dtype))


@lowering("ReluGrad")
def relu_grad(p: Program, op: LoweredOp, grad: Node, features: Node) -> Node:
    later = spread_later(p, grad, features)
    if later is not None:
        return later
    zero = p.scalar(0, grad.dtype)
    return p.map("select", p.map("gt", features, zero), grad, zero)


@lowering("Relu6")
def relu6(p: Program, op: LoweredOp, x: Node) -> Node:
    return p.map("minimum", p.map("maximum", x, p.scalar(0, x.dtype)), p.scalar(6, x.dtype))


@lowering("Relu6Grad")
def relu6_grad(p: Program, op: LoweredOp, grad: Node, features: Node) -> Node:
    zero = p.scalar(0, grad.dtype)
    inside = p.map("and", p.map("gt", features, zero), p.map("lt", features, p.scalar(6, grad.dtype)))
    return p.map("select", inside, grad, zero)


def _elu(p: Program, x: Node) -> Node:
    return p.map("select", p.map("lt", x, p.scalar(0, x.dtype)), p.map("expm1", x), x)


def _elu_grad(p: Program, grad: Node, outputs: Node) -> Node:
    slope = p.map("add", outputs, p.scalar(1, outputs.dtype))
    negative = p.map("lt", outputs, p.scalar(0, outputs.dtype))
    return p.map("select", negative, p.map("mul", grad, slope), grad)


def _softplus(p: Program, x: Node) -> Node:
    """max(x, 0) + log(1 + e^-|x|)."""
    small = p.map("exp", p.map("neg", p.map("abs", x)))
    return p.map("add", p.map("maximum", x, p.scalar(0, x.dtype)), p.map("log1p", small))


def _softplus_grad(p: Program, grad: Node, features: Node) -> Node:
    return p.map("mul", grad, p.map("sigmoid", features))


def _softsign(p: Program, x: Node) -> Node:
    return p.map("div", x, _one_more(p, x))


def _softsign_grad(p: Program, grad: Node, features: Node) -> Node:
    return p.map("div", grad, p.map("square", _one_more(p, features)))


def _one_more(p: Program, x: Node) -> Node:
    """1 + |x|."""
    return p.map("add", p.map("abs", x), p.scalar(1, x.dtype))


ACTIVATIONS: Final[dict[str, Callable[..., Node]]] = {
    "Elu": _elu,
    "EluGrad": _elu_grad,
    "Softplus": _softplus,
    "SoftplusGrad": _softplus_grad,
    "Softsign": _softsign,
    "SoftsignGrad": _softsign_grad,
}


@lowering(*ACTIVATIONS)
def activation(p: Program, op: LoweredOp, *inputs: Node) -> Node:
    return in_float32(p, lambda *wide: ACTIVATIONS[op.type](p, *wide), *inputs)


# -- softmax -----------------------------------------------------------------------------------------------------------


class _Softmax(NamedTuple):
    """The parts of a softmax over the last dimension of x; the last two have size 1 there."""

    shifted: Node  # x less its greatest
    powers: Node  # e to that
    inverse_sum: Node  # 1 / the sum of the powers, a sum between 1 and the number of classes
    log_sum: Node


def _softmax(p: Program, x: Node) -> _Softmax:
    last = len(x.shape) - 1
    shifted = p.map("sub", x, p.reduce("max", x, [last], keep_dims=True))
    powers = p.map("exp", shifted)
    total = p.reduce("sum", powers, [last], keep_dims=True)
    return _Softmax(shifted, powers, p.map("reciprocal", total), p.map("log", total))


@lowering("Softmax")
def softmax(p: Program, op: LoweredOp, x: Node) -> Node:
    def compute(x: Node) -> Node:
        parts = _softmax(p, x)
        return p.map("mul", parts.powers, parts.inverse_sum)

    return in_float32(p, compute, x)


@lowering("LogSoftmax")
def log_softmax(p: Program, op: LoweredOp, x: Node) -> Node:
    def compute(x: Node) -> Node:
        parts = _softmax(p, x)
        return p.map("sub", parts.shifted, parts.log_sum)

    return in_float32(p, compute, x)


@lowering("SoftmaxCrossEntropyWithLogits")
def softmax_cross_entropy(p: Program, op: LoweredOp, logits: Node, labels: Node) -> Sequence[Node]:
    """loss = Σ labels · -log softmax, where labels of 0 add nothing; its gradient = softmax - labels."""
    half = logits.dtype is float16
    x, weights = (p.cast(a, float32) if half else a for a in (logits, labels))
    parts = _softmax(p, x)
    zero = p.scalar(0, x.dtype)
    surprise = p.map("sub", parts.log_sum, parts.shifted)
    terms = p.map("select", p.map("eq", weights, zero), zero, p.map("mul", weights, surprise))
    return _loss_and_gradient(p, parts, terms, weights, half)


@lowering("SparseSoftmaxCrossEntropyWithLogits")
def sparse_softmax_cross_entropy(p: Program, op: LoweredOp, logits: Node, labels: Node) -> Sequence[Node]:
    """The same for labels that are the numbers of classes."""
    half = logits.dtype is float16
    x = p.cast(logits, float32) if half else logits
    classes = x.shape[-1]
    check = token(p, "check_range", labels, "labels[{0}] = {1} is not in [0, {2})", bound=classes)
    numbers = p.reshape(p.map("add", labels, check), (*labels.shape, 1))
    chosen = p.map("eq", p.iota(x.shape, len(x.shape) - 1, labels.dtype), numbers)
    parts = _softmax(p, x)
    terms = p.map("select", chosen, p.map("sub", parts.log_sum, parts.shifted), p.scalar(0, x.dtype))
    return _loss_and_gradient(p, parts, terms, p.cast(chosen, x.dtype), half)


def _loss_and_gradient(p: Program, parts: _Softmax, terms: Node, weights: Node, half: bool) -> Sequence[Node]:
    loss = p.reduce("sum", terms, [len(terms.shape) - 1])
    gradient = p.map("sub", p.map("mul", parts.powers, parts.inverse_sum), weights)
    return [p.cast(x, float16) if half else x for x in (loss, gradient)]


@lowering("L2Loss")
def l2_loss(p: Program, op: LoweredOp, x: Node) -> Node:
    """Σ x² / 2."""

    def compute(x: Node) -> Node:
        total = p.reduce("sum", p.map("square", x), range(len(x.shape)))
        return p.map("mul", total, p.scalar(0.5, x.dtype))

    return in_float32(p, compute, x)
