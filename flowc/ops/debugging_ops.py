"""Looking at values while a run computes them: checks that fail it, and printing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework import shape_rules
from flowc.framework.arranging import arrange
from flowc.framework.building import apply, make_operation
from flowc.framework.convert import convert_to_tensor
from flowc.framework.default_graph import get_default_graph
from flowc.framework.dtypes import ANY, BOOL, REAL
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import SWITCHES
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.scopes import control_dependencies, op_scope
from flowc.framework.shape_rules import Shapes
from flowc.ops.order_ops import group, with_dependencies

__all__ = ["Assert", "Print", "add_check_numerics_ops", "check_numerics", "verify_tensor_all_finite"]

_SUMMARIZE = 3  # elements that a message shows of a tensor

# -- numbers -----------------------------------------------------------------------------------------------------------

define("CheckNumerics", shape=shape_rules.unchanged, allowed=REAL, inputs="tensor")


def check_numerics(tensor: Any, message: str, name: str | None = None) -> Tensor:
    """`tensor`, floats of any shape, as it is; the run fails if it has a NaN or an infinity.

    The InvalidArgumentError says `"<message> : Tensor had NaN values"`, `"… Inf values"` or `"… Inf and NaN values"`.
    """
    return apply("CheckNumerics", [tensor], {"message": message}, name)


@gradient("CheckNumerics")
def _check_numerics_grad(op: Operation, grad: Tensor) -> Tensor:
    return grad


def verify_tensor_all_finite(t: Any, msg: str, name: str | None = None) -> Tensor:
    """`t`, floats of any shape, which is there only after a check that it has no NaN and no infinity.

    Raises InvalidArgumentError when run, with `msg`, if it has.
    """
    with op_scope([t], name, "VerifyFinite"):
        t = convert_to_tensor(t, name="t")
        checked = check_numerics(t, message=msg)
        result: Tensor = with_dependencies([checked], t)
    return result


def add_check_numerics_ops() -> Operation:
    """An operation that checks all tensors of floats that the default graph has now, each after those before it.

    What is inside branches and loops is not looked at. The message of the InvalidArgumentError starts with the name of
    the tensor.
    """
    checks: list[Operation] = []
    steps = arrange(get_default_graph().get_operations())
    for op in (step for step in steps if isinstance(step, Operation) and step._type not in SWITCHES):
        for tensor in op._outputs:
            if tensor._dtype._base in REAL:
                with control_dependencies(checks):
                    checks = [check_numerics(tensor, f"{op._name}:{tensor._value_index}")._op]
    return group(*checks)


# -- assertions --------------------------------------------------------------------------------------------------------


def _asserted(ctx: ShapeContext) -> Shapes:
    ctx.shapes[0].merge_with(())
    return ()


define(
    "Assert",
    shape=_asserted,
    allowed=(BOOL, ANY),
    result=lambda types, attrs: [],
    stateful=True,
    inputs="condition data",
    type_attrs="- *T",
    attrs={"summarize": _SUMMARIZE},
)
not_differentiable("Assert")


def Assert(condition: Any, data: Sequence[Any], summarize: int | None = None, name: str | None = None) -> Operation:
    """An operation that fails the run if `condition` is false, with InvalidArgumentError "assertion failed: [data…]".

    Args:
        condition: a bool scalar.
        data: a list of tensors whose values the message shows.
        summarize: how many elements of each it shows; 3 by default.
        name: the operation's name.
    """
    attrs = {"summarize": _SUMMARIZE if summarize is None else int(summarize)}
    return make_operation("Assert", [condition, *data], attrs, name)


# -- printing ----------------------------------------------------------------------------------------------------------

define(
    "Print",
    shape=lambda c: [c.shapes[0]],
    allowed=(ANY, ANY),
    stateful=True,
    inputs="input data",
    type_attrs="T *U",
    attrs={"message": "", "first_n": -1, "summarize": _SUMMARIZE},
)


def Print(
    input_: Any,
    data: Sequence[Any],
    message: str | None = None,
    first_n: int | None = None,
    summarize: int | None = None,
    name: str | None = None,
) -> Tensor:
    """`input_` as it is; when it is computed, the values of `data` are written to standard error.

    Args:
        input_: a tensor.
        data: a list of tensors, each shown in brackets.
        message: what is written before them.
        first_n: how many times a session writes; by default every time.
        summarize: how many elements of each tensor are shown; 3 by default.
        name: the operation's name.
    """
    attrs = {
        "message": message or "",
        "first_n": -1 if first_n is None else int(first_n),
        "summarize": _SUMMARIZE if summarize is None else int(summarize),
    }
    return apply("Print", [input_, *data], attrs, name)


@gradient("Print")
def _print_grad(op: Operation, grad: Tensor) -> list[Tensor | None]:
    return [grad, *([None] * (len(op.inputs) - 1))]
