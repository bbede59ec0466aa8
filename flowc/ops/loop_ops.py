"""`tf.while_loop`, and `While` as TensorFlow 0.6 has it: computations that repeat while a condition is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import bool_
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.scopes import op_scope
from flowc.framework.shape_inference import infer_shapes
from flowc.framework.shapes import TensorShape, as_shape
from flowc.framework.source import at_user_line
from flowc.ops.array_ops import identity
from flowc.ops.contexts import LoopContext
from flowc.ops.switch_ops import exit, general_shape, loop_cond, merge, next_iteration, switch

__all__ = ["While", "while_loop"]


def While(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Sequence[Any],
    parallel_iterations: int = 10,
    back_prop: bool = True,
    name: str | None = None,
) -> Any:
    """The loop variables when `cond` of them is false at last; until then, `body` gives the next ones.

    Args:
        cond: a function of the loop variables, each an argument, that returns a bool scalar tensor.
        body: a function of the loop variables that returns as many tensors of the same types. Shapes may change from
            iteration to iteration.
        loop_vars: tensors, or values that convert to tensors: the first iteration's.
        parallel_iterations: taken for the API's sake.
        back_prop: whether `tf.gradients` goes through the loop.
        name: a name scope for the operations.

    Returns:
        A list of tensors, or the tensor itself if `loop_vars` has one.

    Raises:
        TypeError: `cond` or `body` is not callable, `cond` returns no bool, or `body` returns other types.
        ValueError: no loop variables are given, `body` returns another number of tensors, or `cond` no scalar.
    """
    _check(cond, body, loop_vars)
    with op_scope(loop_vars, name, "While") as scope:
        results = _Builder(scope, parallel_iterations, back_prop).build(cond, body, loop_vars, None)
    return results[0] if len(results) == 1 else results


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    shape_invariants: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Any:
    """`While` as TensorFlow 1 has it: `loop_vars` may be nested lists and tuples.

    Args:
        cond, body, parallel_iterations, back_prop, name: as for `While`; `cond` and `body` get as many arguments as
            `loop_vars` has items, which may be lists and tuples themselves.
        loop_vars: a list or tuple of tensors, or of lists and tuples of them.
        shape_invariants: None, or a shape for each loop variable, nested like `loop_vars`: what its shape is in all
            iterations, with None for a size that changes. Without it, shapes must stay as they are.
        swap_memory: taken for the API's sake.

    Returns:
        The loop variables, nested like `loop_vars`; one by itself, if there is one.

    Raises:
        TypeError: as for `While`. ValueError: also for a shape that is not as its invariant says.
    """
    _check(cond, body, loop_vars)
    flat = list(_flattened(loop_vars))
    shapes = None if shape_invariants is None else [as_shape(s) for s in _flattened_shapes(shape_invariants, loop_vars)]

    def flat_cond(*values: Tensor) -> Any:
        return cond(*_packed(loop_vars, iter(values)))

    def flat_body(*values: Tensor) -> list[Any]:
        given = body(*_packed(loop_vars, iter(values)))
        return list(_flattened(given if isinstance(given, (list, tuple)) else [given]))

    with op_scope(flat, name, "while") as scope:
        invariants = [None] * len(flat) if shapes is None else shapes
        results = _Builder(scope, parallel_iterations, back_prop).build(flat_cond, flat_body, flat, invariants)
    packed = _packed(loop_vars, iter(results))
    return packed[0] if len(packed) == 1 else packed


def _check(cond: Any, body: Any, loop_vars: Any) -> None:
    if not callable(cond):
        raise TypeError("cond must be callable.")
    if not callable(body):
        raise TypeError("body must be callable.")
    if not isinstance(loop_vars, (list, tuple)) or not loop_vars:
        raise ValueError("No loop variables provided")


# -- nested loop variables ---------------------------------------------------------------------------------------------


def _flattened(values: Any) -> Iterator[Any]:
    if isinstance(values, (list, tuple)):
        for value in values:
            yield from _flattened(value)
    else:
        yield values


def _flattened_shapes(shapes: Any, structure: Any) -> Iterator[Any]:
    """One shape a leaf of `structure`: a shape may be a list, too."""
    if not isinstance(structure, (list, tuple)):
        yield shapes
        return
    if len(shapes) != len(structure):
        raise ValueError(f"shape_invariants must be nested as loop_vars are: {len(shapes)} and {len(structure)} items.")
    for shape, part in zip(shapes, structure, strict=True):
        yield from _flattened_shapes(shape, part)


def _packed(structure: Any, values: Iterator[Any]) -> Any:
    if not isinstance(structure, (list, tuple)):
        return next(values)
    parts = [_packed(part, values) for part in structure]
    if isinstance(structure, list):
        return parts
    return type(structure)(*parts) if hasattr(structure, "_fields") else tuple(parts)


# -- building ----------------------------------------------------------------------------------------------------------


class _Builder:
    """Makes one loop, in the name scope `scope`."""

    def __init__(self, scope: str, parallel_iterations: int, back_prop: bool) -> None:
        self._frame, self._parallel, self._back_prop = scope, parallel_iterations, back_prop

    def build(
        self,
        cond: Callable[..., Any],
        body: Callable[..., Any],
        loop_vars: Sequence[Any],
        shapes: Sequence[TensorShape | None] | None,
    ) -> list[Tensor]:
        """The loop's results. `shapes`: of each variable its invariant, or None to keep its shape; None: any goes."""
        starts = [convert_to_tensor(value) for value in loop_vars]
        graph: Graph = starts[0]._op._graph
        first = graph._version
        context = LoopContext(graph, self._frame, self._parallel)
        if not self._back_prop:
            graph._unsaved_loops.add(self._frame)
        entered = [context.enter(start) for start in starts]
        for tensor, shape in zip(entered, shapes or [], strict=False):
            if shape is not None:
                _generalise(tensor, shape)
        with context.entered():
            merges = [merge([tensor, tensor])[0] for tensor in entered]
            switches = self._switches(context, cond, merges)
            inputs = [identity(sides[1]) for sides in switches]
            context.pivot = inputs[0]._op
            results = _checked_results(body(*inputs), entered)
            for merged, result in zip(merges, results, strict=True):
                merged._op._update_input(1, next_iteration(context.capture(result)))
        if shapes is None:
            _relax(graph, merges, first)
        else:
            _check_shapes(merges)
        return self._exits(graph, context, switches)

    def _switches(
        self, context: LoopContext, cond: Callable[..., Any], merges: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        context.pivot = merges[0]._op
        pred = convert_to_tensor(cond(*merges))
        if pred.dtype.base_dtype is not bool_:
            raise TypeError(f"cond must return a bool, not {pred.dtype.base_dtype.name}." + at_user_line())
        if not pred._shape.is_compatible_with(TensorShape(())):
            raise ValueError(f"cond must return a scalar, not a tensor of shape {pred._shape}." + at_user_line())
        condition = loop_cond(pred, name="LoopCond")
        return [switch(merged, condition) for merged in merges]

    def _exits(self, graph: Graph, context: LoopContext, switches: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        with context.left():
            exits: list[Tensor] = [exit(sides[0]) for sides in switches]
        return exits


def _checked_results(given: Any, entered: Sequence[Tensor]) -> list[Tensor]:
    values = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(values) != len(entered):
        message = f"Number of inputs and outputs of body must match loop_vars: {len(entered)}, {len(values)}"
        raise ValueError(message + at_user_line())
    results = []
    for number, (value, start) in enumerate(zip(values, entered, strict=True)):
        expected = start.dtype.base_dtype
        result = convert_to_tensor(value, None if hasattr(value, "dtype") else expected)
        if result.dtype.base_dtype is not expected:
            raise TypeError(
                f"body must return tensors of the loop variables' types: loop variable {number} is {expected.name}, "
                f"and becomes {result.dtype.base_dtype.name}." + at_user_line()
            )
        results.append(result)
    return results


# -- shapes ------------------------------------------------------------------------------------------------------------


def _generalise(tensor: Tensor, shape: TensorShape) -> None:
    """Forgets what `shape` does not say."""
    if not tensor._shape.is_compatible_with(shape):
        raise ValueError(
            f"The shape invariant specified for {tensor.name!r} is not compatible with the initial shape of the loop "
            f"variable. It enters the loop with shape {tensor._shape}, but the specified shape invariant is {shape}."
        )
    tensor._shape = shape


def _check_shapes(merges: Sequence[Tensor]) -> None:
    for merged in merges:
        after = merged._op._inputs[1]._shape
        if general_shape(merged._shape, after) != merged._shape and not _is_as_general(merged._shape, after):
            raise ValueError(
                f"The shape for {merged.name!r} is not an invariant for the loop. It enters the loop with shape "
                f"{merged._shape}, but has shape {after} after one iteration. Provide shape invariants using the "
                "`shape_invariants` argument of tf.while_loop." + at_user_line()
            )


def _is_as_general(shape: TensorShape, other: TensorShape) -> bool:
    """Whether every shape that is `other` is `shape`."""
    mine, others = shape.tuple, other.tuple
    if mine is None:
        return True
    return (
        others is not None
        and len(mine) == len(others)
        and all(m is None or m == n for m, n in zip(mine, others, strict=True))
    )


def _relax(graph: Graph, merges: Sequence[Tensor], first: int) -> None:
    """Forgets of loop variables' shapes what the body changes, and of all shapes in the loop what followed from it."""
    changed = [m for m in merges if not _is_as_general(m._shape, m._op._inputs[1]._shape)]
    while changed:
        for merged in changed:
            merged._shape = general_shape(merged._shape, merged._op._inputs[1]._shape)
        _infer_again(graph, first, set(merges))
        changed = [m for m in merges if not _is_as_general(m._shape, m._op._inputs[1]._shape)]


def _infer_again(graph: Graph, first: int, fixed: set[Tensor]) -> None:
    """Infers the shapes anew of all that was made since version `first`."""
    made: list[Operation] = [op for op in graph.get_operations() if op._id > first]
    for op in made:
        for tensor, shape in zip(op._outputs, infer_shapes(op), strict=True):
            if tensor not in fixed:
                tensor._shape = shape
