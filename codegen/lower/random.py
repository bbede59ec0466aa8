"""Random ops. How the numbers are made is told in `flowc.codegen.kernels.random`."""

from __future__ import annotations

from typing import Any, Final

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import dense, refuse_strings
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import int64

DISTRIBUTIONS: Final = {"RandomStandardNormal": "normal", "RandomUniform": "uniform", "TruncatedNormal": "truncated"}


def _identity_and_seed(op: LoweredOp) -> dict[str, Any]:
    """What makes an op's numbers its own: its name, which keys its state in the session, and its seeds."""
    return {"key": op.name, "seed": (int(op.attrs["seed"]), int(op.attrs["seed2"]))}


@lowering(*DISTRIBUTIONS)
def random(p: Program, op: LoweredOp, shape: Node) -> Node:
    distribution = DISTRIBUTIONS[op.type]
    return p.call("random", [], op.shapes[0], op.dtypes[0], distribution=distribution, **_identity_and_seed(op))


@lowering("RandomShuffle")
def random_shuffle(p: Program, op: LoweredOp, value: Node) -> Node:
    """Rows gathered by a random permutation."""
    refuse_strings(value.dtype, "RandomShuffle")
    if not value.shape or value.shape[0] < 2:
        return value
    order = p.call("random_permutation", [], value.shape[:1], int64, **_identity_and_seed(op))
    return p.call("gather", [dense(p, value), order], value.shape, value.dtype)
