"""Random ops. How the numbers are made is told in `flowc.codegen.kernels.random`."""

from __future__ import annotations

from typing import Any, Final

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import dense, refuse_strings
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import float64, int64

DISTRIBUTIONS: Final = {"RandomStandardNormal": "normal", "RandomUniform": "uniform", "TruncatedNormal": "truncated"}
_BAD_RANGE: Final = {"error": "InvalidArgumentError", "message": "Need minval < maxval, got {1} >= {2}"}


def identity_and_seed(op: LoweredOp) -> dict[str, Any]:
    """What makes an op's numbers its own: its name, which keys its state in the session, and its seeds."""
    return {"key": op.name, "seed": (int(op.attrs["seed"]), int(op.attrs["seed2"]))}


@lowering(*DISTRIBUTIONS)
def random(p: Program, op: LoweredOp, shape: Node) -> Node:
    distribution = DISTRIBUTIONS[op.type]
    return p.call("random", [], op.shapes[0], op.dtypes[0], distribution=distribution, **identity_and_seed(op))


@lowering("RandomUniformInt")
def random_ints(p: Program, op: LoweredOp, shape: Node, low: Node, high: Node) -> Node:
    """The integer part of a uniform number, of 53 bits, times the number of values, which may need 64."""
    uniform = p.call("random", [], op.shapes[0], float64, distribution="uniform", **identity_and_seed(op))
    span = p.map("sub", p.cast(high, float64), p.cast(low, float64))
    steps = _wrapped(p, p.map("mul", uniform, span))
    below = p.call("check_below_other", [dense(p, low), dense(p, high)], (), low.dtype, **_BAD_RANGE)
    numbers = p.map("add", p.cast(steps, low.dtype), p.map("add", low, below))
    return p.map("minimum", numbers, p.map("sub", high, p.scalar(1, high.dtype)))  # the product may be rounded up


def _wrapped(p: Program, x: Node) -> Node:
    """The integer part of floats from 0 to 2^64 as an int64, those of 2^63 and more wrapped around."""
    half = p.scalar(2.0**32, float64)
    upper = p.map("floor", p.map("div", x, half))
    lower = p.map("sub", x, p.map("mul", upper, half))
    return p.map("add", p.map("mul", p.cast(upper, int64), p.scalar(2**32, int64)), p.cast(lower, int64))


@lowering("RandomShuffle")
def random_shuffle(p: Program, op: LoweredOp, value: Node) -> Node:
    """Rows gathered by a random permutation."""
    refuse_strings(value.dtype, "RandomShuffle")
    if not value.shape or value.shape[0] < 2:
        return value
    order = p.call("random_permutation", [], value.shape[:1], int64, **identity_and_seed(op))
    return p.call("gather", [dense(p, value), order], value.shape, value.dtype)
