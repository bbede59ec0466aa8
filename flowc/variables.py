"""Variables: tensors that keep their values from one run to the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from flowc.framework import html, protos
from flowc.framework.convert import convert_to_tensor, register_tensor_conversion_function
from flowc.framework.default_graph import get_default_graph
from flowc.framework.dtypes import DType
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices
from flowc.framework.overloads import Overloads
from flowc.framework.scopes import GraphKeys, add_to_collection, get_collection, op_scope
from flowc.framework.shapes import TensorShape
from flowc.ops import array_ops, control_flow_ops, logic_ops, state_ops

__all__ = [
    "Variable",
    "all_variables",
    "assert_variables_initialized",
    "initialize_all_variables",
    "initialize_local_variables",
    "initialize_variables",
    "is_variable_initialized",
    "local_variables",
    "moving_average_variables",
    "report_uninitialized_variables",
    "trainable_variables",
]


class Variable(Overloads[Tensor]):
    """A tensor that keeps its value between runs of a session, and that assignments change.

    It must be initialised before it is read: run `initializer`, or `initialize_all_variables()` for all of them. Used
    where a tensor is expected, it stands for its value from before the run, or from after the operations whose
    `control_dependencies` scope it is used in; `assign` returns the new one.

    A variable `W` makes the operations `W` (the storage), `W/Assign` (`initializer`) and `W/read` (`value()`).
    """

    __array_priority__ = 100  # so that `ndarray * variable` asks the variable

    def __init__(
        self,
        initial_value: Any,
        trainable: bool = True,
        collections: Sequence[str] | None = None,
        validate_shape: bool = True,
        name: str | None = None,
    ) -> None:
        """Adds a variable to the default graph.

        Args:
            initial_value: what the initializer assigns, and so the variable's type and shape: a tensor, a value that
                converts to one, or a function without arguments that returns either.
            trainable: whether optimizers train it by default; it is then in the collection TRAINABLE_VARIABLES.
            collections: names of the collections to add it to; by default [GraphKeys.VARIABLES].
            validate_shape: if False, the initial value's shape need not be known and may change by assignment.
            name: the variable's name; "Variable" by default, made unique in the scope.

        Raises:
            ValueError: `initial_value` is None, or its shape is not fully known and `validate_shape` is True.
        """
        if initial_value is None:
            raise ValueError("initial_value must be specified.")
        # The initializer stands alone: it must not wait for what happens to be in force where the variable is made.
        with get_default_graph().control_dependencies(None), op_scope([initial_value], name, "Variable") as scope:
            given = initial_value() if callable(initial_value) else initial_value
            self._initial_value = convert_to_tensor(given, name="initial_value")
            self._make_operations(scope, validate_shape)
        keys = [GraphKeys.VARIABLES] if collections is None else list(collections)
        if trainable and GraphKeys.TRAINABLE_VARIABLES not in keys:
            keys.append(GraphKeys.TRAINABLE_VARIABLES)
        for key in keys:
            add_to_collection(key, self)

    def _make_operations(self, scope: str, validate_shape: bool) -> None:
        shape = self._initial_value.get_shape() if validate_shape else TensorShape(None)
        if validate_shape and not shape.is_fully_defined():
            raise ValueError(f"initial_value must have a shape specified: {self._initial_value}")
        self._ref = state_ops.variable_op(shape, self._initial_value.dtype, name=scope)
        with self.graph.device(self._ref.device):
            self._initializer = state_ops.assign(self._ref, self._initial_value, validate_shape, name="Assign").op
            self._read = array_ops.identity(self._ref, name="read")

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name of the reference tensor: `"W:0"`."""
        return self._ref.name

    @property
    def dtype(self) -> DType:
        """The reference type of the elements."""
        return self._ref.dtype

    @property
    def op(self) -> Operation:
        """The operation that holds the storage."""
        return self._ref.op

    @property
    def device(self) -> str:
        """The device of the storage, or `""`."""
        return self._ref.device

    @property
    def graph(self) -> Graph:
        """The graph of the variable."""
        return self._ref.graph

    @property
    def initializer(self) -> Operation:
        """The operation that assigns the initial value."""
        return self._initializer

    @property
    def initial_value(self) -> Tensor:
        """The tensor that the initializer assigns. To use it in another initial value, take `initialized_value()`."""
        return self._initial_value

    def get_shape(self) -> TensorShape:
        """The shape; unknown if the variable was made with `validate_shape=False`."""
        return self._ref.get_shape()

    def to_proto(self) -> Any:
        """A VariableDef message: the names of the variable's operations."""
        return protos.VariableDef(
            variable_name=self._ref.name, initializer_name=self._initializer.name, snapshot_name=self._read.name
        )

    @staticmethod
    def from_proto(variable_def: Any) -> Variable:
        """The variable that a VariableDef describes, whose operations are in the default graph. KeyError if not."""
        graph = get_default_graph()
        variable = Variable.__new__(Variable)
        variable._ref = graph.as_graph_element(variable_def.variable_name)
        variable._initializer = graph.as_graph_element(variable_def.initializer_name)
        variable._read = graph.as_graph_element(variable_def.snapshot_name)
        variable._initial_value = variable._initializer.inputs[1]
        return variable

    # -- reading -------------------------------------------------------------------------------------------------------

    def value(self) -> Tensor:
        """The value that the variable has before the run, as a tensor.

        In the scope of `control_dependencies`, the value that it has after these operations.
        """
        if not self.graph._control_stack:
            return self._read
        with self.graph.name_scope(None), self.graph.device(self._ref.device or None):
            return array_ops.identity(self._ref, name=self._read.op.name)

    def ref(self) -> Tensor:
        """The reference to the storage, as operations that write to it take."""
        return self._ref

    def initialized_value(self) -> Tensor:
        """The value after the initializer has run: what to compute another variable's initial value from."""
        with self.graph.control_dependencies(None), self.graph.control_dependencies([self._initializer]):
            return array_ops.identity(self._ref)

    def eval(self, session: Any = None) -> Any:
        """The value, in `session` or the default session, as an array."""
        return self._ref.eval(session=session)

    # -- writing -------------------------------------------------------------------------------------------------------

    def assign(self, value: Any, use_locking: bool = False) -> Tensor:
        """Writes a value of the variable's type and shape; the result stands for the new value."""
        return state_ops.assign(self._ref, value, use_locking=use_locking)

    def assign_add(self, delta: Any, use_locking: bool = False) -> Tensor:
        """Adds `delta`; the result stands for the new value."""
        return state_ops.assign_add(self._ref, delta, use_locking=use_locking)

    def assign_sub(self, delta: Any, use_locking: bool = False) -> Tensor:
        """Subtracts `delta`; the result stands for the new value."""
        return state_ops.assign_sub(self._ref, delta, use_locking=use_locking)

    def scatter_sub(self, sparse_delta: IndexedSlices, use_locking: bool = False) -> Tensor:
        """Subtracts an IndexedSlices from the rows that it names; the result stands for the new value."""
        if not isinstance(sparse_delta, IndexedSlices):
            raise ValueError(f"sparse_delta is not IndexedSlices: {sparse_delta}")
        return state_ops.scatter_sub(self._ref, sparse_delta.indices, sparse_delta.values, use_locking=use_locking)

    def count_up_to(self, limit: int) -> Tensor:
        """The value of an integer scalar, which is then incremented; OutOfRangeError when run at `limit`."""
        return state_ops.count_up_to(self._ref, limit)

    # -- standing for a tensor -----------------------------------------------------------------------------------------

    def _as_graph_element(self) -> Tensor:
        return self._ref

    def __iter__(self) -> NoReturn:
        raise TypeError("'Variable' object is not iterable: use tf.unpack(), or fetch it and iterate over the array.")

    def __repr__(self) -> str:
        return f"<tf.Variable {self.name!r} shape={self.get_shape()} dtype={self.dtype.base_dtype.name}>"

    def _repr_html_(self) -> str:
        kind = {"shape": self.get_shape(), "dtype": self.dtype.base_dtype.name}
        return html.of_properties("Variable", {"name": self.name, **kind, "made at": self.op.source_line()})


def _variable_to_tensor(value: Any, dtype: DType | None, name: str | None, as_ref: bool) -> Tensor:
    variable: Variable = value
    return variable.ref() if as_ref else variable.value()


register_tensor_conversion_function(Variable, _variable_to_tensor)

# -- all variables of a graph ------------------------------------------------------------------------------------------


def all_variables() -> list[Variable]:
    """The variables of the default graph: the collection GraphKeys.VARIABLES."""
    return get_collection(GraphKeys.VARIABLES)


def trainable_variables() -> list[Variable]:
    """The variables made with `trainable=True`: the collection GraphKeys.TRAINABLE_VARIABLES."""
    return get_collection(GraphKeys.TRAINABLE_VARIABLES)


def moving_average_variables() -> list[Variable]:
    """The variables of which a moving average is kept: the collection GraphKeys.MOVING_AVERAGE_VARIABLES."""
    return get_collection(GraphKeys.MOVING_AVERAGE_VARIABLES)


def local_variables() -> list[Variable]:
    """The variables that no checkpoint is to hold: those made with collections=[GraphKeys.LOCAL_VARIABLES]."""
    return get_collection(GraphKeys.LOCAL_VARIABLES)


def initialize_local_variables() -> Operation:
    """An operation that initialises all local variables of the default graph that exist now."""
    return initialize_variables(local_variables())


def initialize_variables(var_list: Iterable[Variable], name: str = "init") -> Operation:
    """An operation that runs the initializers of all of `var_list`, in no given order."""
    return control_flow_ops.group(*[variable.initializer for variable in var_list], name=name)


def initialize_all_variables() -> Operation:
    """An operation that initialises all variables of the default graph that exist now."""
    return initialize_variables(all_variables())


def assert_variables_initialized(var_list: Iterable[Variable] | None = None) -> Operation | None:
    """An operation that raises FailedPreconditionError when run before all of `var_list` are initialised.

    By default all variables of the graph; None if there are none.
    """
    variables = list(all_variables() if var_list is None else var_list)
    if not variables:
        return None
    return state_ops.assert_initialized([variable.ref() for variable in variables])


def is_variable_initialized(variable: Variable) -> Tensor:
    """Whether a variable has a value before the run: a bool scalar."""
    missing = state_ops.report_uninitialized([variable.ref()])
    return logic_ops.equal(array_ops.size(missing), 0)


def report_uninitialized_variables(
    var_list: Iterable[Variable] | None = None, name: str = "report_uninitialized_variables"
) -> Tensor:
    """The names of those variables that have no value before the run: string[count], empty if all have one.

    var_list: which variables; by default all of the graph that exist now.
    """
    variables = all_variables() if var_list is None else var_list
    return state_ops.report_uninitialized([variable.ref() for variable in variables], name)
