"""Gradients through branches: what a Merge gets goes back to the side that its value came from, and only there."""

from __future__ import annotations

from typing import Any

from flowc.framework.arranging import condition_of
from flowc.framework.graph import Operation, Tensor
from flowc.framework.registry import gradient
from flowc.ops.array_ops import zeros_like
from flowc.ops.switch_ops import merge, switch


@gradient("Switch", "RefSwitch")
def _switch_grad(op: Operation, grad_false: Tensor | None, grad_true: Tensor | None) -> list[Tensor | None]:
    """The gradient of the side that is taken; zeros where that side uses nothing."""
    if_false, if_true = (
        zeros_like(output) if grad is None else grad
        for output, grad in zip(op.outputs, (grad_false, grad_true), strict=True)
    )
    return [merge([if_false, if_true])[0], None]


@gradient("Merge", "RefMerge")
def _merge_grad(op: Operation, grad: Any, grad_index: Any) -> list[Tensor | None]:
    pred, outcomes = condition_of(op)
    sides = switch(grad, pred)
    given = outcomes.index(None) if None in outcomes else -1
    found: list[Tensor | None] = [None if outcome is None else sides[outcome] for outcome in outcomes]
    if given >= 0:  # of several inputs that always come, it is the first that is passed on
        found[given] = grad
    return found
