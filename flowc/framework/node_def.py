"""Operations and graphs as NodeDef and GraphDef messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from flowc.framework import attributes, protos
from flowc.framework.constant_value import OperationLike
from flowc.framework.tensor_proto import array_to_proto

GRAPH_DEF_VERSION: Final = 2
_MOST_BYTES: Final = 2**31 - 1  # of a message, by the protocol buffers' rules


class Described(OperationLike, Protocol):
    """What is asked here of an operation, such as `flowc.framework.graph.Operation`."""

    @property
    def _device(self) -> str: ...
    @property
    def _control_inputs(self) -> Sequence[Described]: ...


def to_node_def(op: Described, node: Any = None) -> Any:
    """The NodeDef of an operation; written into `node` if that is given.

    Its `input` holds tensor names (`"add"`, `"split:1"`), then control inputs (`"^init"`).
    """
    node = protos.NodeDef() if node is None else node
    node.name, node.op, node.device = op._name, op._type, op._device
    node.input.extend([f"{t._op._name}:{t._value_index}" if t._value_index else t._op._name for t in op._inputs])
    node.input.extend([f"^{control._name}" for control in op._control_inputs])
    for name, value in attributes.of_operation(op).items():
        if value is not None:
            node.attr[name].CopyFrom(_attr_value(name, value, op._attrs))
    return node


def _attr_value(name: str, value: Any, attrs: Mapping[str, Any]) -> Any:
    if name == "value" and "dtype" in attrs:  # an array does not tell all types: those of bfloat16 are of uint16
        return protos.AttrValue(tensor=array_to_proto(value, attrs["dtype"]))
    return attributes.to_proto(value)


def to_graph_def(ops: Iterable[Described]) -> Any:
    """The GraphDef of operations, in their order; ValueError if it is larger than such a message can be."""
    graph_def = protos.GraphDef(version=GRAPH_DEF_VERSION)
    size = 0
    for op in ops:
        size += to_node_def(op, graph_def.node.add()).ByteSize()
        if size > _MOST_BYTES:
            raise ValueError(f"GraphDef cannot be larger than 2GB: it is so from operation {op._name!r} on.")
    return graph_def
