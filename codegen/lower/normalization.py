"""Normalisation across channels (hand-written kernels) and across a batch (maps and sums). Float16 as float32."""

from __future__ import annotations

from collections.abc import Sequence

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import full, in_float32
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import float16, float32


@lowering("LRN", "LRNGrad")
def local_response_normalization(p: Program, op: LoweredOp, *inputs: Node) -> Node:
    template = "lrn" if op.type == "LRN" else "lrn_grad"
    params = {
        "radius": int(op.attrs["depth_radius"]),
        **{key: float(op.attrs[key]) for key in ("bias", "alpha", "beta")},
    }
    return in_float32(p, lambda *wide: p.call(template, wide, op.shapes[0], wide[0].dtype, **params), *inputs)


@lowering("BatchNormWithGlobalNormalization")
def batch_norm(p: Program, op: LoweredOp, *inputs: Node) -> Node:
    def compute(t: Node, m: Node, v: Node, beta: Node, gamma: Node) -> Node:
        return p.map("add", p.map("mul", p.map("sub", t, m), _scale(p, op, v, gamma)), beta)

    return in_float32(p, compute, *inputs)


def _inverse_deviation(p: Program, op: LoweredOp, v: Node) -> Node:
    return p.map("rsqrt", p.map("add", v, p.scalar(op.attrs["variance_epsilon"], v.dtype)))


def _scale(p: Program, op: LoweredOp, v: Node, gamma: Node) -> Node:
    inverse = _inverse_deviation(p, op, v)
    return p.map("mul", inverse, gamma) if op.attrs["scale_after_normalization"] else inverse


@lowering("BatchNormWithGlobalNormalizationGrad")
def batch_norm_grad(p: Program, op: LoweredOp, *inputs: Node) -> Sequence[Node]:
    """The gradients by t, m, v, beta and gamma. All sums are of one pass over the batch."""
    half = inputs[0].dtype is float16
    t, m, v, gamma, grad = (p.cast(x, float32) if half else x for x in inputs)
    inverse, scale = _inverse_deviation(p, op, v), _scale(p, op, v, gamma)
    total = p.reduce("sum", grad, [0, 1, 2])
    along = p.reduce("sum", p.map("mul", grad, p.map("sub", t, m)), [0, 1, 2])
    by_mean = p.map("neg", p.map("mul", total, scale))
    by_variance = p.map("mul", along, p.map("mul", scale, _minus_half_square(p, inverse)))
    by_gamma = full(p, gamma.shape, 0, gamma.dtype)
    if op.attrs["scale_after_normalization"]:
        by_gamma = p.map("mul", along, inverse)
    gradients = [p.map("mul", grad, scale), by_mean, by_variance, total, by_gamma]
    return [p.cast(x, float16) if half else x for x in gradients]


def _minus_half_square(p: Program, inverse: Node) -> Node:
    """d/dv of 1/√(v + ε) is 1/√(v + ε) times this: -1 / 2(v + ε)."""
    return p.map("mul", p.scalar(-0.5, inverse.dtype), p.map("square", inverse))
