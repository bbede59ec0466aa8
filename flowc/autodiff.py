"""Reverse-mode differentiation of a graph: `tf.gradients`.

Operations are made after their inputs, so their order of creation is a topological one. The operations that lie between
`xs` and `ys` are visited once, last made first; by then all gradients of an operation's outputs are known. Their sum is
handed to the op type's gradient function, and what it returns is noted for the inputs. The cost is linear in the number
of operations that `ys` depend on.

Source: A. Griewank, A. Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, ch. 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any, Final

import numpy as np

from flowc import branch_gradients as branch_gradients, loop_gradients  # the former registers its functions
from flowc.framework import registry
from flowc.framework.arranging import ancestors, arrange
from flowc.framework.convert import convert_to_tensor
from flowc.framework.default_graph import graph_of
from flowc.framework.dtypes import FLOATING
from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices, convert_to_tensor_or_indexed_slices
from flowc.framework.regions import ENTERS, EXITS, Loop, loops_in
from flowc.framework.scopes import op_scope
from flowc.framework.source import made_at
from flowc.ops import arithmetic_ops, array_ops, constant_ops, control_flow_ops, joining_ops

__all__ = ["AggregationMethod", "gradients"]

Gradient = Tensor | IndexedSlices

_PASSES_SLICES: Final = frozenset(("Identity",))  # gradient functions that take IndexedSlices as they are


class AggregationMethod:
    """How gradients that reach a tensor by several ways are added up."""

    ADD_N: Final = 0  # by one AddN
    DEFAULT: Final = ADD_N
    EXPERIMENTAL_TREE: Final = 1  # by a tree of pairs, so that the first ones need not be kept until the last is there
    EXPERIMENTAL_ACCUMULATE_N: Final = 2  # as ADD_N: the compiler adds in place anyway


def gradients(
    ys: Any,
    xs: Any,
    grad_ys: Any = None,
    name: str = "gradients",
    colocate_gradients_with_ops: bool = False,
    gate_gradients: bool = False,
    aggregation_method: int | None = None,
) -> list[Gradient | None]:
    """The derivatives of the sum of `ys` with respect to each of `xs`, as tensors added to the graph.

    Args:
        ys: a tensor or a list of tensors, of numbers; no gradient flows from integers to what they were cast from.
        xs: a tensor or a list of tensors; a variable stands for all reads of it.
        grad_ys: None, or for each of `ys` a tensor of its type and shape, or None: the gradient to start from, by
            default all ones.
        name: a name scope for the operations added; those for an operation `op` are in `<name>/<op>_grad`.
        colocate_gradients_with_ops: whether they go to the device of the operation that they differentiate.
        gate_gradients: whether the gradients of one operation's inputs are all computed before any of them is used.
        aggregation_method: one of AggregationMethod.

    Returns:
        For each x a tensor of its shape; an IndexedSlices where only rows of x were used, as by `gather`; None where no
        differentiable way leads from x to ys.

    Raises:
        LookupError: an operation on the way has no gradient registered.
        TypeError: one of `ys` is of strings or bools.
        ValueError: `grad_ys` do not fit `ys`, or a gradient function returned what does not fit its operation.
    """
    targets = [convert_to_tensor(y) for y in _as_list(ys)]
    sources = [_source_tensor(x) for x in _as_list(xs)]
    seeds = [None] * len(targets) if grad_ys is None else _as_list(grad_ys)
    if len(seeds) != len(targets):
        raise ValueError(f"Passed {len(seeds)} grad_ys for {len(targets)} ys")
    graph_of([*targets, *sources])  # raises ValueError where they are of several graphs
    with op_scope([*targets, *sources], name, "gradients"):
        flow = _Flow(sources, aggregation_method)
        path = _operations_between(sources, targets)
        for y, seed in zip(targets, seeds, strict=True):
            start = _initial_gradient(y, seed)
            flow.add(y, start)
        for op in path:
            if isinstance(op, Loop):
                _differentiate_loop(op, flow)
                continue
            with op.graph.device(op.device or None) if colocate_gradients_with_ops and op.device else nullcontext():
                _differentiate(op, flow, gate_gradients)
        return [flow.take(x) for x in sources]


def _as_list(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _source_tensor(x: Any) -> Tensor:
    """What to differentiate by: of a variable its reference, which all its reads come from."""
    if isinstance(x, IndexedSlices):
        return x.values
    return convert_to_tensor(x, as_ref=True)


# -- where gradients flow ----------------------------------------------------------------------------------------------


def _operations_between(sources: Iterable[Tensor], targets: Sequence[Tensor]) -> list[Operation | Loop]:
    """The operations on ways from sources to targets, last made first; all of a loop as one, where its Exits are."""
    sources = set(sources)
    reached: set[Operation] = set()
    path: list[Operation | Loop] = []
    ops = sorted(_ancestors(targets), key=_creation_order)
    loops = _loops(ops, targets)
    for op in ops:
        loop = loops.get(op)
        if loop is not None and (op is not loop.exits[0] or loop in path):
            continue
        inputs = op._inputs if loop is None else [t for o in loop.ops if o._type in ENTERS for t in o._inputs]
        if any(tensor in sources or tensor._op in reached for tensor in inputs):
            reached.update((op,) if loop is None else loop.exits)
            path.append(op if loop is None else loop)
    path.reverse()
    return path


def _loops(ops: Sequence[Operation], targets: Iterable[Tensor]) -> dict[Operation, Loop]:
    """The loop that each operation is in, of those that stand where the targets are made."""
    if not any(op._type in EXITS for op in ops):
        return {}
    found = loops_in(arrange(ancestors(ops)))
    frames = {op: loop.frame for loop in found for op in loop.frame.ops}
    frames.update({op: loop.frame.parent for loop in found for op in loop.exits if loop.frame.parent is not None})
    around = [frames[tensor._op] for tensor in targets if tensor._op in frames]
    depth = max((frame.depth for frame in around), default=0) + 1
    here = [loop for loop in found if loop.frame.depth == depth and (depth == 1 or loop.frame.parent in around)]
    return {op: loop for loop in here for op in loop.ops}


def _creation_order(op: Operation) -> int:
    return op._id


def _ancestors(targets: Iterable[Tensor]) -> set[Operation]:
    """The targets' operations and all that they depend on by data."""
    found = {tensor._op for tensor in targets}
    pending = list(found)
    while pending:
        for tensor in pending.pop()._inputs:
            if tensor._op not in found:
                found.add(tensor._op)
                pending.append(tensor._op)
    return found


def _initial_gradient(y: Tensor, seed: Any) -> Gradient:
    dtype = y.dtype.base_dtype
    if not (dtype.is_floating or dtype.is_complex or dtype.is_integer):
        raise TypeError(f"Gradients are of numbers; {y.name!r} is {dtype.name}." + made_at(y.op))
    if seed is None:
        if y.get_shape().is_fully_defined():
            return constant_ops.ones(y.get_shape(), dtype)
        return constant_ops.fill(array_ops.shape(y), np.array(1, dtype.as_numpy_dtype))
    gradient = convert_to_tensor_or_indexed_slices(
        seed, dtype=None if hasattr(seed, "dtype") else dtype, name="grad_ys"
    )
    if gradient.dtype.base_dtype is not dtype:
        raise ValueError(
            f"Y type {dtype.name} and gradient type {gradient.dtype.base_dtype.name} of {y.name!r} differ."
        )
    if isinstance(gradient, Tensor) and not gradient.get_shape().is_compatible_with(y.get_shape()):
        raise ValueError(f"The gradient given for {y.name!r} has shape {gradient.get_shape()}, not {y.get_shape()}.")
    return gradient


# -- adding up ---------------------------------------------------------------------------------------------------------


class _Flow:
    """The gradients that have arrived at each tensor so far."""

    def __init__(self, sources: Iterable[Tensor], aggregation_method: int | None) -> None:
        methods = (
            AggregationMethod.ADD_N,
            AggregationMethod.EXPERIMENTAL_TREE,
            AggregationMethod.EXPERIMENTAL_ACCUMULATE_N,
        )
        if aggregation_method is None:
            aggregation_method = AggregationMethod.DEFAULT
        if aggregation_method not in methods:
            raise ValueError(f"Invalid aggregation_method specified: {aggregation_method!r}")
        self._tree = aggregation_method == AggregationMethod.EXPERIMENTAL_TREE
        self._sources = frozenset(sources)
        self._arrived: dict[Tensor, list[Gradient]] = {}

    def add(self, tensor: Tensor, gradient: Gradient) -> None:
        """Notes one more gradient of a tensor."""
        self._arrived.setdefault(tensor, []).append(gradient)

    def take(self, tensor: Tensor) -> Gradient | None:
        """The sum of a tensor's gradients, or None; it is kept only if it will be asked for again."""
        arrived = self._arrived.pop(tensor, None)
        if arrived is None:
            return None
        total = arrived[0] if len(arrived) == 1 else self._sum(arrived)
        if tensor in self._sources:
            self._arrived[tensor] = [total]
        return total

    def _sum(self, parts: list[Gradient]) -> Gradient:
        sparse = [part for part in parts if isinstance(part, IndexedSlices)]
        if len(sparse) == len(parts):
            return _concatenated(sparse)
        dense = [part for part in parts if isinstance(part, Tensor)]
        if sparse:
            dense.append(convert_to_tensor(_concatenated(sparse) if len(sparse) > 1 else sparse[0]))
        return _tree_sum(dense) if self._tree else arithmetic_ops.add_n(dense)


def _tree_sum(parts: Sequence[Tensor]) -> Tensor:
    while len(parts) > 1:
        pairs = [arithmetic_ops.add_n(parts[i : i + 2]) for i in range(0, len(parts) - 1, 2)]
        parts = pairs + list(parts[2 * len(pairs) :])
    return parts[0]


def _concatenated(slices: Sequence[IndexedSlices]) -> IndexedSlices:
    """The sum of sparse gradients: all their rows, in which an index may repeat."""
    values = joining_ops.concat(0, [part.values for part in slices])
    indices = joining_ops.concat(0, _of_one_type([part.indices for part in slices]))
    shapes = (part.dense_shape for part in slices)
    return IndexedSlices(values, indices, next((shape for shape in shapes if shape is not None), None))


def _of_one_type(indices: list[Tensor]) -> list[Tensor]:
    if len({tensor.dtype.base_dtype for tensor in indices}) == 1:
        return indices
    return [array_ops.cast(tensor, "int64") for tensor in indices]


# -- loops -------------------------------------------------------------------------------------------------------------


def _differentiate_loop(loop: Loop, flow: _Flow) -> None:
    """Adds the gradients of what a loop takes to `flow`, if anything that comes out of it has one."""
    arrived = {op: flow.take(op._outputs[0]) for op in loop.exits}
    given = {op: convert_to_tensor(gradient) for op, gradient in arrived.items() if gradient is not None}
    graph = loop.exits[0]._graph
    if not given or loop.frame.name in graph._unsaved_loops:
        return
    with graph.name_scope(loop.exits[0]._name + "_grad"):
        for tensor, gradient in loop_gradients.differentiate(loop, given, gradients):
            flow.add(tensor, gradient)


# -- one operation -----------------------------------------------------------------------------------------------------


def _differentiate(op: Operation, flow: _Flow, gated: bool) -> None:
    """Adds the gradients of the operation's inputs to `flow`, if any of its outputs has one."""
    arrived = [flow.take(tensor) for tensor in op._outputs]
    if all(gradient is None for gradient in arrived):
        return
    rule = _rule_of(op)
    if rule is None:
        return
    with op._graph.name_scope(op._name + "_grad"):
        arguments = [_argument(op, rule, i, gradient) for i, gradient in enumerate(arrived)]
        results = _checked(op, _as_list(rule.function(op, *arguments)))
        if gated:
            results = _gate(results)
    for tensor, gradient in zip(op._inputs, results, strict=True):
        if gradient is not None:
            flow.add(tensor, gradient)


def _rule_of(op: Operation) -> registry.GradientRule | None:
    """How to differentiate the operation, None if it is not differentiable."""
    if not op._inputs:
        return None
    try:
        return registry.gradient_rule(op._gradient_type)
    except KeyError:
        missing = f"No gradient defined for operation {op.name!r} (op type: {op._gradient_type})"
        raise LookupError(missing + made_at(op)) from None


def _argument(op: Operation, rule: registry.GradientRule, index: int, gradient: Gradient | None) -> Gradient | None:
    """The gradient of one output as the op's gradient function takes it: few take IndexedSlices."""
    output = op._outputs[index]
    if gradient is None and rule.wants_zeros and output._dtype._base in FLOATING:
        return array_ops.zeros_like(output)
    if isinstance(gradient, IndexedSlices) and op._gradient_type not in _PASSES_SLICES:
        return convert_to_tensor(gradient)
    return gradient


def _checked(op: Operation, results: list[Any]) -> list[Gradient | None]:
    """What a gradient function returned, if it fits the operation's inputs."""
    if len(results) != len(op._inputs):
        raise _misfit(op, f"returned {len(results)} gradients for {len(op._inputs)} inputs")
    return [
        None if r is None else _fitting(op, i, convert_to_tensor_or_indexed_slices(r)) for i, r in enumerate(results)
    ]


def _fitting(op: Operation, index: int, gradient: Gradient) -> Gradient:
    """A gradient with all that is known of its input's shape; ValueError if its type or shape is another."""
    tensor = op._inputs[index]
    expected, given = tensor._dtype._base, gradient.dtype._base
    if given is not expected:
        raise _misfit(op, f"for input {tensor.name!r} has type {given.name}, not {expected.name}")
    if isinstance(gradient, Tensor) and gradient._shape != tensor._shape:
        try:
            gradient.set_shape(tensor._shape)
        except ValueError:
            raise _misfit(op, f"for input {tensor.name!r} has shape {gradient._shape}, not {tensor._shape}") from None
    return gradient


def _misfit(op: Operation, what: str) -> ValueError:
    return ValueError(f"The gradient of {op.name!r} ({op.type}) {what}." + made_at(op))


def _gate(results: Sequence[Gradient | None]) -> list[Gradient | None]:
    """The gradients, none of which is given on before all are computed."""
    present = [gradient for gradient in results if gradient is not None]
    if len(present) < 2:
        return list(results)
    gated = iter(control_flow_ops.tuple(present))
    return [None if gradient is None else next(gated) for gradient in results]
