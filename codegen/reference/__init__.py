"""The reference executor: plain NumPy, one function an op type; what every op means. It never runs a user's graph."""

from flowc.codegen.reference import arrays, elementwise, linear, nn, random, reductions, state
from flowc.codegen.reference.interpreter import run_reference
from flowc.codegen.reference.registry import (
    ReferenceOp,
    evaluate,
    has_reference,
    is_random,
    reference,
    reference_types,
    reference_update,
    update_rule,
)

__all__ = [
    "ReferenceOp",
    "arrays",
    "elementwise",
    "evaluate",
    "has_reference",
    "is_random",
    "linear",
    "nn",
    "random",
    "reductions",
    "reference",
    "reference_types",
    "reference_update",
    "run_reference",
    "state",
    "update_rule",
]
