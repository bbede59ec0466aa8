"""Sharing variables by name: `get_variable`, variable scopes, and initializers.

`get_variable("w", …)` inside `variable_scope("layer")` makes the variable `layer/w`; after `reuse_variables()`, or in a
scope entered with `reuse=True`, it returns that same variable instead. Asking for the wrong one of the two is an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from flowc.framework.default_graph import get_default_graph, graph_of
from flowc.framework.dtypes import DType, as_dtype, float32
from flowc.framework.graph import Graph, Tensor
from flowc.framework.shapes import TensorShape, as_shape
from flowc.framework.source import made_at
from flowc.ops import constant_ops, random_ops
from flowc.variables import Variable

__all__ = [
    "VariableScope",
    "constant_initializer",
    "get_variable",
    "get_variable_scope",
    "random_normal_initializer",
    "random_uniform_initializer",
    "truncated_normal_initializer",
    "uniform_unit_scaling_initializer",
    "variable_op_scope",
    "variable_scope",
    "zeros_initializer",
]

Initializer = Callable[..., Tensor]  # (shape, dtype=) -> initial value

_STORE: Final = "__variable_store"
_SCOPE: Final = "__variable_scope"


# -- initializers ------------------------------------------------------------------------------------------------------


def zeros_initializer(shape: Any, dtype: Any = float32) -> Tensor:
    """An initializer for variables that start as zeros."""
    return constant_ops.zeros(shape, dtype)


def constant_initializer(value: Any = 0.0) -> Initializer:
    """An initializer for variables all of whose elements start as `value`."""

    def initialize(shape: Any, dtype: Any = float32) -> Tensor:
        return constant_ops.constant(value, dtype=dtype, shape=shape)

    return initialize


def random_uniform_initializer(minval: float = 0.0, maxval: float = 1.0, seed: int | None = None) -> Initializer:
    """An initializer that draws from the uniform distribution over [minval, maxval)."""

    def initialize(shape: Any, dtype: Any = float32) -> Tensor:
        return random_ops.random_uniform(shape, minval, maxval, dtype, seed=seed)

    return initialize


def random_normal_initializer(mean: float = 0.0, stddev: float = 1.0, seed: int | None = None) -> Initializer:
    """An initializer that draws from the normal distribution."""

    def initialize(shape: Any, dtype: Any = float32) -> Tensor:
        return random_ops.random_normal(shape, mean, stddev, dtype, seed=seed)

    return initialize


def truncated_normal_initializer(mean: float = 0.0, stddev: float = 1.0, seed: int | None = None) -> Initializer:
    """An initializer that draws from the normal distribution, cut off at two standard deviations from the mean."""

    def initialize(shape: Any, dtype: Any = float32) -> Tensor:
        return random_ops.truncated_normal(shape, mean, stddev, dtype, seed=seed)

    return initialize


def uniform_unit_scaling_initializer(factor: float = 1.0, seed: int | None = None) -> Initializer:
    """An initializer that keeps the scale of a layer's input: uniform over ±factor·√(3 / input size).

    The input size is the product of all dimensions but the last. `factor` is that of the nonlinearity that follows:
    about 1.15 for tanh, 1.43 for relu. Source: D. Sussillo, L. F. Abbott, arXiv:1412.6558.
    """

    def initialize(shape: Any, dtype: Any = float32) -> Tensor:
        inputs = math.prod(int(size) for size in as_shape(shape).as_list()[:-1] if size is not None)
        limit = math.sqrt(3.0 / max(inputs, 1)) * factor
        return random_ops.random_uniform(shape, -limit, limit, dtype, seed=seed)

    return initialize


# -- scopes ------------------------------------------------------------------------------------------------------------


class VariableScope:
    """What is in force for `get_variable`: the prefix of names, whether variables are reused, and an initializer."""

    def __init__(self, reuse: bool | None, name: str = "", initializer: Initializer | None = None) -> None:
        self._name, self._reuse, self._initializer = name, reuse, initializer

    @property
    def name(self) -> str:
        """The prefix of the names of variables, without a final slash; `""` outside all scopes."""
        return self._name

    @property
    def reuse(self) -> bool | None:
        """True where variables are shared, None or False where they are made."""
        return self._reuse

    @property
    def initializer(self) -> Initializer | None:
        """The initializer of variables that are given none."""
        return self._initializer

    def reuse_variables(self) -> None:
        """From here on in this scope, `get_variable` returns variables that exist already."""
        self._reuse = True

    def set_initializer(self, initializer: Initializer | None) -> None:
        """Sets the initializer of variables that are given none."""
        self._initializer = initializer


def get_variable_scope() -> VariableScope:
    """The variable scope in force in the default graph."""
    scopes = get_default_graph().get_collection(_SCOPE)
    if not scopes:
        scopes = [VariableScope(None)]
        _enter(get_default_graph(), scopes[0])
    scope: VariableScope = scopes[0]
    return scope


def _enter(graph: Graph, scope: VariableScope) -> None:
    graph._collections[_SCOPE] = [scope]  # also in a finalized graph: looking up a variable adds nothing to it


@contextmanager
def _entered(scope: VariableScope) -> Iterator[VariableScope]:
    graph, outer = get_default_graph(), get_variable_scope()
    _enter(graph, scope)
    try:
        yield scope
    finally:
        _enter(graph, outer)


def _inner_scope(name_or_scope: str | VariableScope, reuse: bool | None, initializer: Any) -> VariableScope:
    """The scope that a with-block opens inside the one in force."""
    outer = get_variable_scope()
    if isinstance(name_or_scope, VariableScope):
        base, name = name_or_scope, name_or_scope.name
    elif isinstance(name_or_scope, str):
        if not name_or_scope:
            raise ValueError("A variable scope needs a name.")
        base, name = outer, f"{outer.name}/{name_or_scope}" if outer.name else name_or_scope
    else:
        raise TypeError(f"A variable scope is entered by a string or a VariableScope, not {name_or_scope!r}.")
    inherited = reuse or base.reuse or outer.reuse
    return VariableScope(inherited, name, base.initializer if initializer is None else initializer)


@contextmanager
def variable_scope(
    name_or_scope: str | VariableScope, reuse: bool | None = None, initializer: Initializer | None = None
) -> Iterator[VariableScope]:
    """In the with-block, `get_variable` puts `name/` before the names of variables, and operations get it as well.

    Args:
        name_or_scope: a name, that adds to the enclosing scope's; or a scope that was open before, to enter it again.
        reuse: True to share variables that exist already; None to do as the enclosing scope does.
        initializer: that of variables that are given none; by default the enclosing scope's.

    Raises:
        ValueError: an empty name. TypeError: neither a name nor a scope.
    """
    scope = _inner_scope(name_or_scope, reuse, initializer)
    own_name = scope.name.rpartition("/")[2] if isinstance(name_or_scope, VariableScope) else name_or_scope
    with get_default_graph().name_scope(own_name), _entered(scope):
        yield scope


@contextmanager
def variable_op_scope(
    values: Sequence[Any], name: str | None, default_name: str | None, initializer: Initializer | None = None
) -> Iterator[VariableScope]:
    """A variable scope and a name scope for an op that makes variables, in the graph that `values` are of.

    With a name, variables are made and shared as in `variable_scope(name)`. Without one, `default_name` made unique is
    used, so that each use of the op makes variables of its own.

    Raises ValueError if both names are None, or if there is no name where variables are to be reused.
    """
    if name is None and default_name is None:
        raise ValueError("At least one of name and default_name must be given.")
    graph = graph_of(values)
    with graph.as_default():
        if name is None and get_variable_scope().reuse:
            raise ValueError("Variables of an op can only be reused by the name that they were made with: give a name.")
        with graph.name_scope(name or default_name) as names:
            own_name = name or names.rstrip("/").rpartition("/")[2]
            with _entered(_inner_scope(own_name, None, initializer)) as scope:
                yield scope


# -- variables ---------------------------------------------------------------------------------------------------------


def get_variable(
    name: str,
    shape: Any = None,
    dtype: Any = float32,
    initializer: Initializer | None = None,
    trainable: bool = True,
    collections: Sequence[str] | None = None,
) -> Variable:
    """The variable of that name in the variable scope: a new one, or where the scope says reuse, the one that exists.

    Args:
        name: the name within the scope.
        shape: the shape of a new variable, or what a shared one must be compatible with.
        dtype: the type of its elements.
        initializer: a function (shape, dtype=) that returns the initial value; by default the scope's, else
            `uniform_unit_scaling_initializer()`.
        trainable: as for Variable.
        collections: as for Variable.

    Raises:
        ValueError: the variable exists and the scope does not reuse, or the other way round; the shape of a new one is
            not fully given; the shape or type of a shared one is another.
    """
    scope = get_variable_scope()
    graph = get_default_graph()
    store: dict[str, Variable] = graph._collections.setdefault(_STORE, [{}])[0]
    full = f"{scope.name}/{name}" if scope.name else name
    kind, wanted = as_dtype(dtype).base_dtype, as_shape(shape)
    if full in store:
        return _shared(store[full], full, bool(scope.reuse), kind, wanted)
    if scope.reuse:
        raise ValueError(
            f"Under-sharing: Variable {full} does not exist, disallowed. Did you mean to set reuse=None in VarScope?"
        )
    if not wanted.is_fully_defined():
        raise ValueError(f"Shape of a new variable ({full}) must be fully defined, but instead was {wanted}.")
    make = initializer or scope.initializer or uniform_unit_scaling_initializer()
    with graph.name_scope(None):
        variable = Variable(lambda: make(wanted.as_list(), dtype=kind), trainable, collections, name=full)
    store[full] = variable
    return variable


def _shared(variable: Variable, name: str, reuse: bool, dtype: DType, shape: TensorShape) -> Variable:
    if not reuse:
        raise ValueError(
            f"Over-sharing: Variable {name} already exists, disallowed. Did you mean to set reuse=True in VarScope?"
            + made_at(variable.op)
        )
    if not shape.is_compatible_with(variable.get_shape()):
        raise ValueError(
            f"Trying to share variable {name}, but specified shape {shape} and found shape {variable.get_shape()}."
        )
    found = variable.dtype.base_dtype
    if found is not dtype:
        raise ValueError(
            f"Trying to share variable {name}, but specified dtype {dtype.name} and found dtype {found.name}."
        )
    return variable
