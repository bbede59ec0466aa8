"""`tf.import_graph_def`: a stored graph's operations, added to the default graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

from flowc.framework import attributes, protos
from flowc.framework.building import make_operation
from flowc.framework.convert import convert_to_tensor
from flowc.framework.default_graph import get_default_graph
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.names import split_tensor_name
from flowc.framework.op_signature import input_types, output_types
from flowc.framework.registry import OpDef, lookup
from flowc.framework.scopes import op_scope

__all__ = ["import_graph_def"]


def import_graph_def(
    graph_def: Any,
    input_map: Mapping[str, Any] | None = None,
    return_elements: Sequence[str] | None = None,
    name: str | None = None,
    op_dict: Mapping[str, Any] | None = None,
) -> list[Operation | Tensor] | None:
    """Adds the operations of a graph definition to the default graph.

    Args:
        graph_def: a GraphDef message; its nodes may be in any order.
        input_map: what stands in the place of tensors of the definition, by their names in it (`"x"` or `"x:0"`).
        return_elements: names of operations and tensors in the definition.
        name: what is put before all names, as a name scope; "import" by default.
        op_dict: the OpDef messages of op types that flowc does not know, by type.

    Returns:
        The operations and tensors that `return_elements` name, in that order; None without it.

    Raises:
        TypeError: an argument of another type than these.
        ValueError: `input_map` or `return_elements` names what is not in the definition; or the definition is not well
            formed, as when a node has an unknown op type, or an input that does not exist or has the wrong type.
    """
    graph_def, given, wanted = _graph_def(graph_def), _input_map(input_map), _return_elements(return_elements)
    if name == "" and any(not isinstance(value, Tensor) for value in given.values()):
        raise ValueError(
            "tf.import_graph_def() requires a non-empty `name` if `input_map` contains non-Tensor values. Convert them "
            "with tf.convert_to_tensor() first."
        )
    with op_scope(list(given.values()), name, "import"):
        tensors = {key: convert_to_tensor(value) for key, value in given.items()}
        importer = _Importer(graph_def, tensors, op_dict or {})
        importer.run()
    unused = [key for key in tensors if key not in importer.used_inputs]
    if unused:
        raise ValueError(f"Attempted to map inputs that were not found in graph_def: [{', '.join(unused)}]")
    return None if return_elements is None else [importer.element(element) for element in wanted]


_MERGES: Final = ("Merge", "RefMerge")
_ITERATIONS: Final = ("NextIteration", "RefNextIteration")

# -- arguments ---------------------------------------------------------------------------------------------------------


def _graph_def(graph_def: Any) -> Any:
    if isinstance(graph_def, protos.GraphDef):
        return graph_def
    descriptor = getattr(graph_def, "DESCRIPTOR", None)
    if getattr(descriptor, "name", None) != "GraphDef":
        raise TypeError("graph_def must be a GraphDef proto.")
    return protos.GraphDef.FromString(graph_def.SerializeToString())  # another library's class of the same message


def _input_map(input_map: Any) -> Mapping[str, Any]:
    if input_map is None:
        return {}
    if not isinstance(input_map, Mapping) or not all(isinstance(key, str) for key in input_map):
        raise TypeError("input_map must be a dictionary mapping strings to Tensor objects.")
    return input_map


def _return_elements(elements: Any) -> Sequence[str]:
    if elements is None:
        return ()
    if isinstance(elements, str) or not all(isinstance(element, str) for element in elements):
        raise TypeError("return_elements must be a list of strings.")
    return tuple(elements)


# -- operations --------------------------------------------------------------------------------------------------------


class _Importer:
    """One import: `run` makes the operations."""

    def __init__(self, graph_def: Any, input_map: Mapping[str, Tensor], op_dict: Mapping[str, Any]) -> None:
        self._nodes: dict[str, Any] = {node.name: node for node in graph_def.node}
        if len(self._nodes) < len(graph_def.node):
            raise ValueError("graph_def is invalid: two nodes have the same name.")
        self._input_map, self._op_dict = input_map, op_dict
        self._graph: Graph = get_default_graph()
        self._ops: dict[str, Operation] = {}
        self.used_inputs: set[str] = set()

    def run(self) -> None:
        """Makes the operations, each after those that it takes values from or waits for.

        Only loops lead back: a Merge is made before the NextIteration that it also takes values from.
        """
        for node in self._in_order():
            with self._graph.device(node.device or _as_it_is):
                op = self._made(node)
            controls = [self._control(node, item[1:]) for item in node.input if item.startswith("^")]
            if controls:
                op._add_control_inputs(controls)
            self._ops[node.name] = op
        for node in self._nodes.values():
            for index, item in enumerate(node.input):
                if self._leads_back(node, item):
                    self._ops[node.name]._update_input(index, self._input(node, item))

    def element(self, name: str) -> Operation | Tensor:
        """The operation or tensor that has this name in the definition."""
        op_name, index = split_tensor_name(name) or (name, None)
        op = self._ops.get(op_name)
        if op is None or (index is not None and index >= len(op._outputs)):
            raise ValueError(f"Requested return_element {name!r} not found in graph_def.")
        return op if index is None else op._outputs[index]

    def _in_order(self) -> Iterator[Any]:
        """The nodes, sources first. Without recursion, since a path may be long."""
        done: set[str] = set()
        for start in self._nodes.values():
            path, open_names = [(start, self._sources(start))], {start.name}
            while path and start.name not in done:
                node, sources = path[-1]
                following = next((s for s in sources if s in self._nodes and s not in done), None)
                if following is None:
                    path.pop()
                    open_names.discard(node.name)
                    done.add(node.name)
                    yield node
                elif following in open_names:
                    _refuse(node, f"it depends on itself, through {following!r}")
                else:
                    open_names.add(following)
                    path.append((self._nodes[following], self._sources(self._nodes[following])))

    def _sources(self, node: Any) -> Iterator[str]:
        """The names of the nodes that a node takes values from or waits for, but for those that lead back."""
        return (_node_name(item) for item in node.input if not self._leads_back(node, item))

    def _leads_back(self, node: Any, item: str) -> bool:
        source = self._nodes.get(_node_name(item))
        return node.op in _MERGES and source is not None and source.op in _ITERATIONS

    def _made(self, node: Any) -> Operation:
        data = [item for item in node.input if not item.startswith("^")]
        forward = [item for item in data if not self._leads_back(node, item)]
        if not forward and data:
            _refuse(node, "it takes values from later iterations only.")
        inputs = [self._input(node, item if item in forward else forward[0]) for item in data]
        try:
            attrs = attributes.from_protos(node.attr)
        except (TypeError, ValueError) as error:
            _refuse(node, str(error))
        definition = lookup(node.op)
        if definition is not None:
            return _of_known_type(node, definition, inputs, attrs)
        if node.op not in self._op_dict:
            raise ValueError(f"No op named {node.op} in defined operations.")
        op_def = self._op_dict[node.op]
        _check_types(node, inputs, input_types(op_def, attrs))
        return self._graph.create_op(node.op, inputs, output_types(op_def, attrs), None, node.name, attrs)

    def _input(self, node: Any, item: str) -> Tensor:
        name, index = split_tensor_name(item) or (item, 0)
        if ":" in name:
            _refuse(node, f"Cannot convert {item!r} to a tensor name.")
        key = f"{name}:{index}"
        for spelling in (key, name) if index == 0 else (key,):
            if spelling in self._input_map:
                self.used_inputs.add(spelling)
                return self._input_map[spelling]
        op = self._ops.get(name)
        if op is None or index >= len(op._outputs):
            _refuse(node, f"Input tensor {key!r} not found in graph_def.")
        return op._outputs[index]

    def _control(self, node: Any, name: str) -> Operation:
        if name not in self._ops:
            _refuse(node, f"Control input '^{name}' not found in graph_def.")
        return self._ops[name]


def _as_it_is(op: Operation) -> str:
    return op.device


def _node_name(item: str) -> str:
    """The name of the node that an input of another is of."""
    return item[1:] if item.startswith("^") else item.partition(":")[0]


def _of_known_type(node: Any, definition: OpDef, inputs: list[Tensor], attrs: dict[str, Any]) -> Operation:
    """The operation of a node; the attributes that its inputs' types decide must agree with them."""
    types = [tensor._dtype._base for tensor in inputs]
    if definition.arity is not None and len(inputs) != definition.arity:
        if len(inputs) > definition.arity:
            extra = ", ".join(repr(tensor.name) for tensor in inputs[definition.arity :])
            _refuse(node, f"More inputs specified ({extra}) than the op expects.")
        _refuse(node, f"It has {len(inputs)} inputs where the op expects {definition.arity}.")
    for name, found in definition.attributes(types).items():
        if attrs.get(name, found) != found:
            _refuse(node, f"Input types mismatch (expected {_names(attrs[name])} but got {_names(found)}).")
    try:
        return make_operation(node.op, inputs, {**definition.defaults, **attrs}, node.name)
    except KeyError as error:
        _refuse(node, f"its attribute {error} is missing.")
    except (TypeError, ValueError) as error:
        _refuse(node, str(error))


def _check_types(node: Any, inputs: list[Tensor], expected: Sequence[Any]) -> None:
    if len(inputs) > len(expected):
        extra = ", ".join(repr(tensor.name) for tensor in inputs[len(expected) :])
        _refuse(node, f"More inputs specified ({extra}) than the op expects.")
    given = [tensor.dtype for tensor in inputs]
    fits = len(given) == len(expected) and all(e.is_compatible_with(g) for e, g in zip(expected, given, strict=True))
    if not fits:
        _refuse(node, f"Input types mismatch (expected {_names(expected)} but got {_names(given)}).")


def _names(types: Any) -> str:
    items = types if isinstance(types, list | tuple) else [types]
    return repr(", ".join(getattr(item, "name", str(item)) for item in items))


def _refuse(node: Any, why: str) -> NoReturn:
    raise ValueError(f"graph_def is invalid at node {node.name!r}: {why}")
