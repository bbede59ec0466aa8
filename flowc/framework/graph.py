"""The graph that users build: operations, their tensors, and the graph that makes and finds them.

The three types name each other, so they stand together. Operations are immutable once made, but for `_set_device`,
added control inputs and refined shapes (`Tensor.set_shape`), all before the graph runs. Each remembers the user's line
that made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from flowc.framework import attributes, device as device_lib, html, source
from flowc.framework.dtypes import DType, as_dtype
from flowc.framework.graph_scopes import GraphScopes
from flowc.framework.graph_state import GraphState
from flowc.framework.names import checked_name, kinds, named
from flowc.framework.node_def import to_graph_def, to_node_def
from flowc.framework.overloads import Overloads
from flowc.framework.registry import OpDef, lookup
from flowc.framework.shape_inference import infer_shapes
from flowc.framework.shapes import TensorShape, as_shape
from flowc.framework.stacks import default_session, graph_stack

_VALID_OP_NAME: Final = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\-/]*")
_UNKNOWN: Final = TensorShape(None)
GRADIENT_TYPE: Final = "_gradient_op_type"  # the attribute that names another type's gradient


class Tensor(Overloads["Tensor"]):
    """The symbolic value of one of an operation's outputs. It holds no data: run it in a session to get some."""

    __slots__ = ("__weakref__", "_consumers", "_dtype", "_op", "_shape", "_value_index")
    __array_priority__ = 100  # so that `ndarray * tensor` asks the tensor

    def __init__(self, op: Operation, value_index: int, dtype: Any) -> None:
        self._op, self._value_index, self._dtype = op, value_index, as_dtype(dtype)
        self._shape = _UNKNOWN
        self._consumers: list[Operation] = []

    @property
    def op(self) -> Operation:
        """The operation that computes this tensor."""
        return self._op

    @property
    def dtype(self) -> DType:
        """The type of the elements; a reference type for a variable's own tensor."""
        return self._dtype

    @property
    def graph(self) -> Graph:
        """The graph of the operation."""
        return self._op._graph

    @property
    def name(self) -> str:
        """The operation's name and the output's index: `"add:0"`."""
        return f"{self._op._name}:{self._value_index}"

    @property
    def device(self) -> str:
        """The device that the operation is to run on, or `""`."""
        return self._op._device

    @property
    def value_index(self) -> int:
        """Which output of the operation this is."""
        return self._value_index

    def consumers(self) -> list[Operation]:
        """The operations that take this tensor as an input."""
        return list(self._consumers)

    def get_shape(self) -> TensorShape:
        """What is known of the shape before a run."""
        return self._shape

    def set_shape(self, shape: Any) -> None:
        """Adds what the caller knows of the shape; ValueError if it contradicts what is known."""
        self._shape = self._shape.merge_with(as_shape(shape))

    def eval(self, feed_dict: Mapping[Any, Any] | None = None, session: Any = None) -> Any:
        """This tensor's value, computed in `session` or the default session."""
        return default_session("evaluate tensor", "eval", self.graph, session).run(self, feed_dict)

    def __iter__(self) -> Iterator[Tensor]:
        raise TypeError("'Tensor' object is not iterable: use tf.unpack(), or fetch it and iterate over the array.")

    def __bool__(self) -> bool:
        raise TypeError(
            "Using a tf.Tensor as a Python bool is not allowed: it has no value before a run. "
            "Use tf.cond or tf.select in the graph, or fetch it first."
        )

    def __repr__(self) -> str:
        return f"<tf.Tensor {self.name!r} shape={self._shape} dtype={self._dtype.name}>"

    def __str__(self) -> str:
        return f'Tensor("{self.name}", shape={self._shape}, dtype={self._dtype.name})'

    def _repr_html_(self) -> str:
        kind = {"shape": self._shape, "dtype": self._dtype.name, "of": f"{self._op._type} {self._op._name}"}
        return html.of_properties("Tensor", {"name": self.name, **kind, "made at": self._op.source_line()})


class Operation:
    """A node of a graph: an op type with attributes, its input tensors, and its output tensors."""

    __slots__ = (
        "__weakref__",
        "_attrs",
        "_control_inputs",
        "_device",
        "_gradient_type",
        "_graph",
        "_id",
        "_inputs",
        "_lines",
        "_name",
        "_outputs",
        "_type",
    )
    _control_inputs: tuple[Operation, ...]
    _device: str
    _graph: Graph

    def __init__(
        self,
        node_def: Any,
        g: Graph,
        inputs: Sequence[Tensor] | None = None,
        output_types: Sequence[Any] | None = None,
        control_inputs: Sequence[Any] | None = None,
        input_types: Sequence[Any] | None = None,
        original_op: Operation | None = None,
        op_def: Any = None,
    ) -> None:
        """An operation that a NodeDef describes; `Graph.create_op` is what makes operations that are in a graph.

        Raises TypeError for arguments of other types than these, or `inputs` that are not of `input_types`; ValueError
        for a bad name.
        """
        if not hasattr(node_def, "attr"):
            raise TypeError(f"node_def needs to be a NodeDef: {node_def!r}")
        if not isinstance(g, Graph):
            raise TypeError(f"g needs to be a Graph: {g!r}")
        attrs = attributes.from_protos(node_def.attr)
        given = _of_types(tuple(inputs or ()), input_types)
        self._set_up(g, node_def.op, node_def.name, given, output_types or (), attrs)
        self._device = node_def.device
        self._control_inputs = tuple(as_operation(c) for c in control_inputs or ())

    @classmethod
    def _make(
        cls, g: Graph, op_type: str, name: str, inputs: tuple[Tensor, ...], output_types: Any, attrs: dict[str, Any]
    ) -> Operation:
        """An operation without a NodeDef, which large graphs have no time to make."""
        op = cls.__new__(cls)
        op._set_up(g, op_type, name, inputs, output_types, attrs)
        return op

    def _set_up(
        self, g: Graph, op_type: str, name: str, inputs: tuple[Tensor, ...], output_types: Any, attrs: dict[str, Any]
    ) -> None:
        if not _VALID_OP_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid node name")
        for tensor in inputs:
            if tensor._op._graph is not g:
                raise ValueError(f"{tensor} must be from the same graph as operation {name!r}.{source.at_user_line()}")
        self._graph, self._name, self._type, self._attrs, self._inputs = g, name, op_type, attrs, inputs
        self._device = ""
        self._control_inputs = ()
        self._outputs = tuple([Tensor(self, i, t) for i, t in enumerate(output_types)])
        self._gradient_type = attrs.get(GRADIENT_TYPE, op_type)  # the type whose registered gradient this has
        self._lines = source.user_lines()
        self._id = 0  # operations are numbered in the order in which they were made, so in a topological one

    @property
    def name(self) -> str:
        """The name, unique in the graph."""
        return self._name

    @property
    def type(self) -> str:
        """The op type: `"MatMul"`."""
        return self._type

    @property
    def graph(self) -> Graph:
        """The graph this is part of."""
        return self._graph

    @property
    def device(self) -> str:
        """The device asked for, or `""`."""
        return self._device

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The input tensors."""
        return self._inputs

    @property
    def control_inputs(self) -> list[Operation]:
        """Operations that must run before this one."""
        return list(self._control_inputs)

    @property
    def outputs(self) -> list[Tensor]:
        """The output tensors."""
        return list(self._outputs)

    def values(self) -> tuple[Tensor, ...]:
        """The output tensors."""
        return self._outputs

    @property
    def node_def(self) -> Any:
        """This operation as a NodeDef message."""
        return to_node_def(self)

    @property
    def op_def(self) -> OpDef | None:
        """The registered definition of the op type, or None for a type flowc does not know."""
        return lookup(self._type)

    def get_attr(self, name: str) -> Any:
        """The attribute `name`, as a Python value; ValueError if the operation has none of that name."""
        found = self._attrs if name in self._attrs else attributes.of_operation(self)
        if name not in found:
            raise ValueError(f"No attr named {name!r} in operation {self._name!r} ({self._type}).")
        return found[name]

    @property
    def traceback(self) -> list[tuple[str, int, str, str]]:
        """The user's lines that made this operation, outermost first: (file, line, function, text)."""
        return source.traceback(self._lines)

    def source_line(self) -> str:
        """The user's innermost line that made this operation, as `file:line`; empty if there is none."""
        return str(source.describe(self._lines[:2])[0]) if self._lines else ""

    def run(self, feed_dict: Mapping[Any, Any] | None = None, session: Any = None) -> None:
        """Runs this operation in `session` or the default session."""
        default_session("execute operation", "run", self._graph, session).run(self, feed_dict)

    def _set_device(self, device: Any) -> None:
        self._device = device_lib.canonical(device)

    def _add_control_inputs(self, ops: Iterable[Operation]) -> None:
        self._control_inputs += tuple(op for op in ops if op not in self._control_inputs)
        self._graph._version += 1

    def _update_input(self, index: int, tensor: Tensor) -> None:
        """Makes `tensor` input `index`: how a loop's Merge gets what the body gives. TypeError for another type."""
        old = self._inputs[index]
        if tensor._dtype._base is not old._dtype._base:
            message = f"Input {index} of {self._name!r} ({self._type}) is {old._dtype.name}, not {tensor._dtype.name}."
            raise TypeError(message + source.at_user_line())
        self._inputs = (*self._inputs[:index], tensor, *self._inputs[index + 1 :])
        old._consumers.remove(self)
        tensor._consumers.append(self)
        self._graph._version += 1

    def __repr__(self) -> str:
        return f"<tf.Operation {self._name!r} type={self._type}>"

    def _repr_html_(self) -> str:
        return html.of_operation(self)


def as_operation(element: Any) -> Operation:
    """The operation that an Operation, a Tensor or a Variable stands for; TypeError for anything else."""
    element = _unwrap(element)
    op = element if isinstance(element, Operation) else getattr(element, "op", None)
    if not isinstance(op, Operation):
        raise TypeError(f"Expected an Operation, a Tensor or a Variable, not {element!r}.")
    return op


def _of_types(inputs: tuple[Any, ...], input_types: Sequence[Any] | None) -> tuple[Tensor, ...]:
    """The inputs, if they are tensors of the types; else TypeError."""
    if not all(isinstance(tensor, Tensor) for tensor in inputs):
        raise TypeError(f"inputs needs to be a list of Tensors: {list(inputs)}")
    if input_types is None:
        return inputs
    given, wanted = [tensor._dtype for tensor in inputs], [as_dtype(dtype) for dtype in input_types]
    if len(wanted) != len(given) or not all(w.is_compatible_with(g) for w, g in zip(wanted, given, strict=True)):
        raise TypeError(f"Inputs are not compatible with expected input types: {given} vs. {wanted}")
    return inputs


def _unwrap(element: Any) -> Any:
    """What stands for `element` in a graph: a Variable's tensor, or `element` itself."""
    convert = getattr(element, "_as_graph_element", None)
    return element if convert is None else convert()


class Graph(GraphState, GraphScopes[Operation]):
    """A dataflow graph: its operations in the order they were made, by name, and what is in force for the next."""

    def __init__(self) -> None:
        super().__init__()
        self._by_name: dict[str, Operation] = {}
        self._conditions: dict[Operation, Any] = {}  # what decides at Merges, as far as `regions` was asked
        self._loop_extras: dict[Operation, dict[Any, Any]] = {}  # what loops got for gradients, by what decides in them
        self._unsaved_loops: set[str] = set()  # frames of loops that were made with back_prop=False

    # -- making operations ---------------------------------------------------------------------------------------------

    def create_op(
        self,
        op_type: str,
        inputs: Sequence[Tensor],
        dtypes: Sequence[Any],
        input_types: Sequence[Any] | None = None,
        name: str | None = None,
        attrs: Mapping[str, Any] | None = None,
        op_def: Any = None,
        compute_shapes: bool = True,
    ) -> Operation:
        """Adds an operation and returns it. Users call the ops' own constructors instead.

        Args:
            op_type: the operation's type.
            inputs: tensors; dtypes: the types of the outputs.
            input_types: if given, what the types of the inputs must be compatible with.
            name: the operation's name, by default the type; made unique.
            attrs: attributes by name, as Python values or AttrValue messages.
            op_def: taken for the API's sake; flowc's own definition of the type counts.
            compute_shapes: whether the shapes of the outputs are inferred.

        Raises TypeError for inputs that are no tensors or of other types; ValueError for shapes or attributes that the
        op type refuses; RuntimeError if the graph is finalized.
        """
        given = _of_types(tuple(inputs), input_types)
        return self._create(op_type, given, dtypes, name, attributes.from_protos(attrs or {}), compute_shapes)

    def _create(
        self,
        op_type: str,
        inputs: Sequence[Tensor],
        dtypes: Sequence[Any],
        name: str | None,
        attrs: Mapping[str, Any] | None,
        compute_shapes: bool = True,
    ) -> Operation:
        """`create_op` of arguments that are known to be right."""
        if self._finalized:
            raise RuntimeError("Graph is finalized and cannot be modified.")
        # A name that ends in "/" is that of a scope, kept as it is.
        name = name[:-1] if name and name[-1] == "/" else self.unique_name(name or op_type)
        attrs = dict(attrs) if attrs else {}
        if self._gradient_overrides and op_type in self._gradient_overrides:
            attrs[GRADIENT_TYPE] = self._gradient_overrides[op_type]
        inputs = tuple(inputs)
        if self._context is not None:
            inputs = self._context.captured(inputs)
        op = Operation._make(self, op_type, name, inputs, dtypes, attrs)
        if self._control_stack:
            op._control_inputs = self._controls_for({t._op for t in inputs})
        if compute_shapes:
            for tensor, shape in zip(op._outputs, infer_shapes(op), strict=True):
                tensor._shape = shape
        self._add(op)
        if self._device_functions:
            self._place(op)
        return op

    def _add(self, op: Operation) -> None:
        self._version += 1
        op._id = self._version
        self._by_name[op._name] = op
        for tensor in op._inputs:
            tensor._consumers.append(op)
        if self._control_stack:
            self._joined_by(op)
        if self._context is not None:
            self._context.joined_by(op)

    # -- scopes --------------------------------------------------------------------------------------------------------

    @contextmanager
    def as_default(self) -> Iterator[Graph]:
        """In the with-block, this graph is the default graph of the thread."""
        with graph_stack.using(self):
            yield self

    def control_dependencies(self, control_inputs: Iterable[Any] | None) -> AbstractContextManager[None]:
        """In the with-block, new operations run after all of `control_inputs`; None lifts the enclosing blocks."""
        if control_inputs is None:
            return self._after(None)
        return self._after([as_operation(self.as_graph_element(element)) for element in control_inputs])

    def get_default_device(self) -> str | None:
        """The name that `device` scopes give to new operations, or None."""
        probe = Operation._make(self, "NoOp", "probe", (), (), {})
        self._place(probe)
        return probe._device or None

    # -- looking things up ---------------------------------------------------------------------------------------------

    def get_operations(self) -> list[Operation]:
        """All operations, in the order they were made."""
        return list(self._by_name.values())

    def get_operation_by_name(self, name: str) -> Operation:
        """The operation of that name; KeyError if there is none, ValueError if it is a tensor's name."""
        op: Operation = named(self._by_name, checked_name(name, "Operation"), False, True)
        return op

    def get_tensor_by_name(self, name: str) -> Tensor:
        """The tensor of that name (`"add:0"`); KeyError if there is none, ValueError if it is no tensor's name."""
        tensor: Tensor = named(self._by_name, checked_name(name, "Tensor"), True, False)
        return tensor

    def as_graph_element(self, obj: Any, allow_tensor: bool = True, allow_operation: bool = True) -> Any:
        """The tensor or operation that `obj` (either, its name, or a Variable) stands for in this graph.

        Raises TypeError for other objects, ValueError if it is of another graph or badly named, KeyError if not found.
        """
        obj = _unwrap(obj)
        if isinstance(obj, str):
            return named(self._by_name, obj, allow_tensor, allow_operation)
        if (isinstance(obj, Tensor) and allow_tensor) or (isinstance(obj, Operation) and allow_operation):
            if obj.graph is not self:
                kind = "Tensor" if isinstance(obj, Tensor) else "Operation"
                raise ValueError(f"{kind} {obj} is not an element of this graph.{source.made_at(as_operation(obj))}")
            return obj
        raise TypeError(f"Can not convert a {type(obj).__name__} into a {kinds(allow_tensor, allow_operation)}.")

    # -- as a whole ----------------------------------------------------------------------------------------------------

    def as_graph_def(self, from_version: int | None = None) -> Any:
        """The operations (those added after `from_version`) as a GraphDef message; `tf.import_graph_def` reads it.

        Raises ValueError if it would be larger than 2 GB.
        """
        return to_graph_def(op for op in self._by_name.values() if from_version is None or op._id > from_version)

    def _repr_html_(self) -> str:
        return html.of_graph(self.get_operations())
