"""What decides whether, when and how often operations run: one name for all of it, as the API has it."""

from __future__ import annotations

from flowc.ops.conditional_ops import case as case, cond as cond
from flowc.ops.functional_ops import fold as fold
from flowc.ops.loop_ops import While as While, while_loop as while_loop
from flowc.ops.order_ops import group as group, no_op as no_op, tuple as tuple, with_dependencies as with_dependencies
from flowc.ops.switch_ops import (
    control_trigger as control_trigger,
    enter as enter,
    exit as exit,
    loop_cond as loop_cond,
    merge as merge,
    next_iteration as next_iteration,
    switch as switch,
)

__all__ = ["While", "case", "cond", "fold", "group", "no_op", "tuple", "while_loop", "with_dependencies"]
