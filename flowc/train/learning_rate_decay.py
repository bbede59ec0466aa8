"""Learning rates that fall as training goes on."""

from __future__ import annotations

from typing import Any

from flowc.framework.convert import convert_to_tensor
from flowc.framework.graph import Tensor
from flowc.framework.scopes import op_scope
from flowc.ops.arithmetic_ops import div, mul, pow
from flowc.ops.array_ops import cast
from flowc.ops.math_ops import floor

__all__ = ["exponential_decay"]


def exponential_decay(
    learning_rate: Any,
    global_step: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    name: str | None = None,
) -> Tensor:
    """learning_rate · decay_rate ^ (global_step / decay_steps).

    Args:
        learning_rate: a scalar of floating-point type, which the result has as well.
        global_step: a scalar: the number of steps so far.
        decay_steps: a scalar: after how many steps the rate has been multiplied by `decay_rate` once.
        decay_rate: a scalar.
        staircase: whether the rate falls once every `decay_steps` steps, rather than a little at each.
        name: a name scope; "ExponentialDecay" by default.
    """
    with op_scope([learning_rate, global_step, decay_steps, decay_rate], name, "ExponentialDecay") as scope:
        rate = convert_to_tensor(learning_rate, name="learning_rate")
        step, steps, factor = (cast(convert_to_tensor(x), rate.dtype) for x in (global_step, decay_steps, decay_rate))
        periods = div(step, steps)
        return mul(rate, pow(factor, floor(periods) if staircase else periods), name=scope)
