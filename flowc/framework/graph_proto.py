"""Graph definitions as messages of other libraries."""

from __future__ import annotations

from typing import Any


def to_proto(graph_def: Any) -> Any:
    """A GraphDef message as TensorBoard's class of the same message, whose event writer takes no other.

    Raises ImportError, naming the extra to install, where TensorBoard is not.
    """
    try:
        from tensorboard.compat.proto.graph_pb2 import GraphDef
    except ImportError:
        raise ImportError("TensorBoard's messages are its own package's: pip install 'flowc[tensorboard]'") from None
    return GraphDef.FromString(graph_def.SerializeToString())
