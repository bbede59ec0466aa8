"""Functions over the rows of tensors, as loops: fold, foldl, foldr, map_fn, scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ANY, INDEX, as_dtype, int32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape
from flowc.ops import array_ops, constant_ops, joining_ops, slicing_ops
from flowc.ops.loop_ops import While, while_loop

__all__ = ["foldl", "foldr", "map_fn", "scan"]

Function = Callable[..., Any]

# -- one row put in the place of another -------------------------------------------------------------------------------


def _updated_shape(ctx: ShapeContext) -> Shapes:
    x, indices, rows = ctx.shapes
    indices.assert_has_rank(1)
    rows.assert_is_compatible_with(indices.concatenate(x.with_rank_at_least(1)[1:]))
    return [x]


define("InplaceUpdate", shape=_updated_shape, allowed=(ANY, INDEX, ANY), inputs="x i v", type_attrs="T - T")


def _with_row(x: Tensor, index: Tensor, row: Any) -> Tensor:
    """`x` with `row` at `index` along its first dimension."""
    return apply("InplaceUpdate", [x, array_ops.expand_dims(index, 0), array_ops.expand_dims(row, 0)])


@gradient("InplaceUpdate")
def _inplace_update_grad(op: Any, grad: Any) -> Any:
    _, indices, rows = op.inputs
    return apply("InplaceUpdate", [grad, indices, array_ops.zeros_like(rows)]), None, slicing_ops.gather(grad, indices)


# -- to one value ------------------------------------------------------------------------------------------------------


def _callable(fn: Any) -> None:
    if not callable(fn):
        raise TypeError("fn must be callable.")


def fold(fn: Function, elems: Any, elem_shape: Sequence[int], name: str | None = None) -> Tensor:
    """`fn` applied to one slice of `elems` after the other: `fn(fn(s0, s1), s2)`, and so on.

    Args:
        fn: a function of the result so far and the next slice that returns the next result, of the same shape.
        elems: a tensor that has at least one slice.
        elem_shape: the shape of a slice; its first size is that of the slices along dimension 0.
        name: a name scope for the operations.

    Raises TypeError if `fn` is not callable.
    """
    _callable(fn)
    with op_scope([elems], name, "fold"):
        elems = convert_to_tensor(elems)
        height = int(elem_shape[0])
        sizes = [int(size) for size in elem_shape]
        limit = slicing_ops.gather(array_ops.shape(elems), 0)

        def at(start: Any) -> Tensor:
            rest = constant_ops.constant([0] * (len(sizes) - 1), int32)
            begin = joining_ops.concat(0, [array_ops.expand_dims(start, 0), rest])
            return slicing_ops.slice(elems, begin, sizes)

        def step(start: Tensor, result: Tensor) -> list[Any]:
            return [start + height, fn(result, at(start))]

        first = at(constant_ops.constant(0, int32))
        results = While(lambda start, _: start + (height - 1) < limit, step, [constant_ops.constant(height), first])
    result: Tensor = results[1]
    return result


def foldl(
    fn: Function,
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Tensor:
    """`fn` applied to the rows of `elems`, from the first to the last: `fn(fn(initializer, row0), row1)`, and so on.

    Args:
        fn: a function of the result so far and the next row that returns the next result.
        elems: a tensor of rank 1 or more.
        initializer: what to start with; by default the first row, which is then not applied.
        parallel_iterations, swap_memory: taken for the API's sake. back_prop: whether `tf.gradients` goes through.
        name: a name scope for the operations.

    Raises TypeError if `fn` is not callable.
    """
    return _folded(fn, elems, initializer, back_prop, name or "foldl", backwards=False)


def foldr(
    fn: Function,
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Tensor:
    """`foldl` from the last row to the first."""
    return _folded(fn, elems, initializer, back_prop, name or "foldr", backwards=True)


def _folded(fn: Function, elems: Any, initializer: Any, back_prop: bool, name: str, backwards: bool) -> Tensor:
    _callable(fn)
    with op_scope([elems], name, name):
        elems = convert_to_tensor(elems)
        count = _rows(elems)

        def row(i: Any) -> Tensor:
            return slicing_ops.gather(elems, count - 1 - i if backwards else i)

        zero = constant_ops.constant(0, int32)
        start = row(zero) if initializer is None else convert_to_tensor(initializer)
        first = constant_ops.constant(0 if initializer is not None else 1, int32)
        results = while_loop(
            lambda i, result: i < count,
            lambda i, result: [i + 1, fn(result, row(i))],
            [first, start],
            back_prop=back_prop,
        )
    result: Tensor = results[1]
    return result


def _rows(elems: Tensor) -> Tensor:
    """How many rows there are."""
    return slicing_ops.gather(array_ops.shape(elems), 0)


# -- to as many rows ---------------------------------------------------------------------------------------------------


def map_fn(
    fn: Function,
    elems: Any,
    dtype: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Tensor:
    """`fn` of each row of `elems`, one after the other, packed into one tensor.

    Args:
        fn: a function of a row that returns a tensor, of the same shape for all.
        elems: a tensor of rank 1 or more that has at least one row.
        dtype: the type of what `fn` returns; by default that of `elems`.
        parallel_iterations, swap_memory: taken for the API's sake. back_prop: whether `tf.gradients` goes through.
        name: a name scope for the operations.

    Raises TypeError if `fn` is not callable, or returns another type.
    """
    _callable(fn)
    with op_scope([elems], name, "map"):
        elems = convert_to_tensor(elems)
        wanted = elems.dtype.base_dtype if dtype is None else as_dtype(dtype)
        count = _rows(elems)
        first = convert_to_tensor(fn(slicing_ops.gather(elems, constant_ops.constant(0, int32))), wanted)
        rows = _empty_rows(count, first, elems)
        results = while_loop(
            lambda i, rows: i < count,
            lambda i, rows: [i + 1, _with_row(rows, i, fn(slicing_ops.gather(elems, i)))],
            [constant_ops.constant(1, int32), rows],
            back_prop=back_prop,
        )
    result: Tensor = results[1]
    return result


def scan(
    fn: Function,
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Tensor:
    """All results of `foldl` with these arguments on the way, packed: one for each row of `elems`."""
    _callable(fn)
    with op_scope([elems], name, "scan"):
        elems = convert_to_tensor(elems)
        count = _rows(elems)
        row = slicing_ops.gather(elems, constant_ops.constant(0, int32))
        first = row if initializer is None else convert_to_tensor(fn(convert_to_tensor(initializer), row))

        def step(i: Tensor, result: Tensor, rows: Tensor) -> list[Any]:
            following = convert_to_tensor(fn(result, slicing_ops.gather(elems, i)))
            return [i + 1, following, _with_row(rows, i, following)]

        results = while_loop(
            lambda i, result, rows: i < count,
            step,
            [constant_ops.constant(1, int32), first, _empty_rows(count, first, elems)],
            back_prop=back_prop,
        )
    result: Tensor = results[2]
    return result


def _empty_rows(count: Tensor, first: Tensor, elems: Tensor) -> Tensor:
    """`count` rows like `first`, which is the first of them; the others are to be written."""
    ones = array_ops.ones_like(array_ops.shape(first))
    times = joining_ops.concat(0, [array_ops.expand_dims(count, 0), ones])
    rows = slicing_ops.tile(array_ops.expand_dims(first, 0), times)
    rows.set_shape(TensorShape([elems.get_shape()[0]]).concatenate(first.get_shape()))
    return rows
