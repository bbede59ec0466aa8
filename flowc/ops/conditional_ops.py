"""`tf.cond` and `tf.case`: one of several computations, chosen by a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowc.framework.building import apply, make_operation
from flowc.framework.convert import convert_to_tensor
from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices, convert_to_tensor_or_indexed_slices
from flowc.framework.scopes import op_scope
from flowc.framework.source import at_user_line
from flowc.ops.array_ops import identity
from flowc.ops.contexts import BranchContext
from flowc.ops.logic_ops import logical_and, logical_not
from flowc.ops.order_ops import with_dependencies
from flowc.ops.switch_ops import Value, merge, switch

__all__ = ["case", "cond"]


def cond(pred: Any, fn1: Callable[[], Any], fn2: Callable[[], Any], name: str | None = None) -> Any:
    """What `fn1()` returns if `pred` is true, else what `fn2()` returns; only that one's operations run.

    An operation made outside the functions runs in either case; so does the computation of what they take from there.

    Args:
        pred: a bool scalar tensor.
        fn1, fn2: functions without arguments that return a tensor or an IndexedSlices, or a list of them; both as many,
            of the same types. An operation counts as a bool tensor that is there when it is done.
        name: a name scope for the operations.

    Returns:
        The tensors of the branch that ran; one by itself, if the functions return one.

    Raises:
        TypeError: a function is not callable, or `pred` is a Python bool.
        ValueError: the functions do not return the same number of tensors of the same types.
    """
    _check(pred, fn1, fn2)
    with op_scope([pred], name, "cond"):
        pred = convert_to_tensor(pred)
        pivot_false, pivot_true = switch(pred, pred)
        pivots = identity(pivot_true, name="switch_t"), identity(pivot_false, name="switch_f")
        pred = identity(pred, name="pred_id")
        results_true = _branch(fn1, "fn1", pred, pivots[0], True)
        results_false = _branch(fn2, "fn2", pred, pivots[1], False)
        _check_alike(results_true, results_false)
        merged = [_merged(f, t) for f, t in zip(results_false, results_true, strict=True)]
    return merged[0] if len(merged) == 1 else merged


def _check(pred: Any, fn1: Any, fn2: Any) -> None:
    if isinstance(pred, bool):
        raise TypeError("pred must not be a Python bool")
    for name, function in (("fn1", fn1), ("fn2", fn2)):
        if not callable(function):
            raise TypeError(f"{name} must be callable.")


def _branch(function: Callable[[], Any], name: str, pred: Tensor, pivot: Tensor, outcome: bool) -> list[Value]:
    """What the function returns, as tensors made inside the branch."""
    context = BranchContext(pred._op._graph, pred, pivot, outcome)
    with context.entered():
        given = function()
        if given is None:
            raise ValueError(f"{name} must have a return value.")
        values = list(given) if isinstance(given, (list, tuple)) else [given]
        return [_inside(value, context, pivot) for value in values]


def _inside(value: Any, context: BranchContext, pivot: Tensor) -> Value:
    if isinstance(value, Operation):
        done: Tensor = with_dependencies([value], pivot)
        return done
    tensor = convert_to_tensor_or_indexed_slices(value)
    if isinstance(tensor, IndexedSlices):
        parts = (tensor.values, tensor.indices, tensor.dense_shape)
        return IndexedSlices(*(None if part is None else context.capture(part) for part in parts))  # type: ignore[arg-type]
    return context.capture(tensor)


def _check_alike(results_true: Sequence[Value], results_false: Sequence[Value]) -> None:
    if len(results_true) != len(results_false):
        raise ValueError(
            f"fn1 and fn2 must return the same number of results: {len(results_true)} and {len(results_false)}."
            + at_user_line()
        )
    for t, f in zip(results_true, results_false, strict=True):
        if t.dtype.base_dtype is not f.dtype.base_dtype or isinstance(t, Tensor) != isinstance(f, Tensor):
            kinds = f"{_kind(t)}, {_kind(f)}"
            raise ValueError(f"Outputs of fn1 and fn2 must have the same type: {kinds}" + at_user_line())


def _kind(value: Value) -> str:
    name = value.dtype.base_dtype.name
    return name if isinstance(value, Tensor) else f"IndexedSlices of {name}"


def _merged(if_false: Value, if_true: Value) -> Value:
    found: Value = merge([if_false, if_true])[0]
    return found


def case(pred_fn_pairs: Any, default: Callable[[], Any], exclusive: bool = False, name: str = "case") -> Any:
    """What the function of the first predicate that is true returns, or what `default()` does.

    Args:
        pred_fn_pairs: a list of pairs (bool scalar tensor, function), or a dict of them; in a dict's order.
        default: what is called if no predicate is true. All functions are as those of `cond`.
        exclusive: whether it is an InvalidArgumentError when run if several predicates are true.
        name: a name scope for the operations.

    Raises:
        TypeError: the pairs are none, or something is not callable. ValueError: as for `cond`.
    """
    pairs = list(pred_fn_pairs.items()) if isinstance(pred_fn_pairs, Mapping) else list(pred_fn_pairs)
    if any(not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]) for pair in pairs):
        raise TypeError("pred_fn_pairs must be pairs (pred, callable).")
    if not callable(default):
        raise TypeError("default must be callable.")
    with op_scope([pred for pred, _ in pairs], name, "case"):
        preds = [convert_to_tensor(pred) for pred, _ in pairs]
        if exclusive and len(preds) > 1:
            preds = _exclusive(preds)
        chosen = default
        for pred, (_, function) in reversed(list(zip(preds, pairs, strict=True))):
            chosen = _either(pred, function, chosen)
        return chosen()


def _either(pred: Tensor, function: Callable[[], Any], otherwise: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: cond(pred, function, otherwise)


def _exclusive(preds: list[Tensor]) -> list[Tensor]:
    """The predicates, behind a check that no two are true."""
    clashes, any_before = None, preds[0]
    for pred in preds[1:]:
        both = logical_and(any_before, pred)
        clashes = both if clashes is None else apply("LogicalOr", [clashes, both])
        any_before = apply("LogicalOr", [any_before, pred])
    message = "More than one condition evaluated as True but exclusive=True."
    check = make_operation("Assert", [logical_not(clashes), message], {"summarize": 3})
    return [with_dependencies([check], pred) for pred in preds]
