"""A graph with its collections and its saver as one file, from which another program can go on.

tf.train.Saver().export_meta_graph("model.meta")
…
saver = tf.train.import_meta_graph("model.meta")        # in another program, which does not build the graph
saver.restore(sess, tf.train.latest_checkpoint(folder))
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from flowc.framework import protos
from flowc.framework.default_graph import get_default_graph
from flowc.framework.errors import DataLossError
from flowc.framework.file_errors import file_errors
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.importer import import_graph_def
from flowc.framework.scopes import GraphKeys
from flowc.train.atomic_files import write_file
from flowc.variables import Variable

__all__ = ["export_meta_graph", "read_meta_graph"]

_OF_VARIABLES: Final = (
    GraphKeys.VARIABLES,
    GraphKeys.TRAINABLE_VARIABLES,
    GraphKeys.MOVING_AVERAGE_VARIABLES,
)


# -- writing -----------------------------------------------------------------------------------------------------------


def export_meta_graph(
    filename: str | None = None,
    saver_def: Any = None,
    collection_list: Sequence[str] | None = None,
    as_text: bool = False,
) -> Any:
    """The default graph as a MetaGraphDef message: its definition, its collections and, if given, a saver's definition.

    Args:
        filename: a file to write it to, too, in one step.
        saver_def: what `Saver.as_saver_def()` gave.
        collection_list: the keys of the collections to take; by default all.
        as_text: whether to write the file as text that people read.

    A collection that holds something other than variables, tensors, operations, strings and numbers is left out, with a
    warning.
    """
    graph = get_default_graph()
    meta = protos.MetaGraphDef(graph_def=graph.as_graph_def(), saver_def=saver_def)
    for key in graph.get_all_collection_keys() if collection_list is None else collection_list:
        collection = _collection_def(graph.get_collection(key))
        if collection is None:
            warnings.warn(f"The collection {key!r} is not exported: it holds what has no stored form.", stacklevel=2)
        else:
            meta.collection_def[key].CopyFrom(collection)
    if filename is not None:
        with file_errors(filename):
            write_file(filename, _content(meta, as_text))
    return meta


def _content(meta: Any, as_text: bool) -> bytes:
    from google.protobuf import text_format

    content: bytes = text_format.MessageToString(meta).encode() if as_text else meta.SerializeToString()
    return content


_FORMS: Final[tuple[tuple[Any, str, Callable[[Any], Any]], ...]] = (
    (Variable, "bytes_list", lambda item: item.to_proto().SerializeToString()),
    ((Tensor, Operation), "node_list", lambda item: item.name),
    (bytes, "bytes_list", lambda item: item),
    (str, "bytes_list", str.encode),
    (int, "int64_list", int),
    (float, "float_list", float),
)


def _collection_def(items: Sequence[Any]) -> Any:
    """A CollectionDef of the items; None where they have no common stored form."""
    for kind, field, convert in _FORMS:
        if items and all(isinstance(item, kind) for item in items):
            collection = protos.CollectionDef()
            getattr(collection, field).value.extend(map(convert, items))
            return collection
    return None if items else protos.CollectionDef()


# -- reading -----------------------------------------------------------------------------------------------------------


def read_meta_graph(meta_graph_or_file: Any) -> Any:
    """Adds the operations and collections of a MetaGraphDef, or of a file of one, to the default graph; the message.

    Raises NotFoundError for a file that is not there; DataLossError for one that is no MetaGraphDef; ValueError for
    names that the graph has already.
    """
    meta = meta_graph_or_file
    if not isinstance(meta, protos.MetaGraphDef):
        meta = _parsed(os.fspath(meta_graph_or_file))
    graph = get_default_graph()
    _check_names(graph, (node.name for node in meta.graph_def.node))
    import_graph_def(meta.graph_def, name="")
    variables: dict[bytes, Variable] = {}  # one object for each, in all collections
    for key, collection in meta.collection_def.items():
        for item in _items(graph, key, collection, variables):
            graph.add_to_collection(key, item)
    return meta


def _parsed(path: str) -> Any:
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError

    with file_errors(path), open(path, "rb") as file:
        content = file.read()
    try:
        return protos.MetaGraphDef.FromString(content)
    except DecodeError:
        try:
            return text_format.Parse(content.decode(), protos.MetaGraphDef())
        except (UnicodeDecodeError, text_format.ParseError) as error:
            raise DataLossError(None, None, f"{path} is damaged, or no MetaGraphDef: {error}") from None


def _check_names(graph: Graph, names: Iterable[str]) -> None:
    taken = [name for name in names if name in graph._by_name]
    if taken:
        raise ValueError(
            f"The graph has an operation {taken[0]!r} already: import a MetaGraphDef into an empty graph "
            "(with tf.Graph().as_default())."
        )


def _items(graph: Graph, key: str, collection: Any, variables: dict[bytes, Variable]) -> list[Any]:
    kind = collection.WhichOneof("kind")
    if kind is None:
        return []
    values = list(getattr(collection, kind).value)
    if kind == "node_list":
        return [graph.as_graph_element(name) for name in values]
    if key not in _OF_VARIABLES:
        return values
    for content in values:
        if content not in variables:
            variables[content] = Variable.from_proto(protos.VariableDef.FromString(content))
    return [variables[content] for content in values]
