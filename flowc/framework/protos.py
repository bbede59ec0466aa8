"""The classes of the messages in `proto_schema`: `protos.GraphDef`, `protos.NodeDef`, …; real protocol buffers.

They are made when the first of them is asked for, in a pool of their own, so that `import flowc` does not import the
protocol buffers' library and another library may bring messages of the same names.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from flowc.framework.proto_schema import SCHEMA

PACKAGE: Final = "tensorflow"
_lock: Final = threading.Lock()
_TOKEN: Final = re.compile(r"//[^\n]*|map<\w+,\w+>|\w+|[{}=;]")
_SINGULAR, _REPEATED = 1, 3  # the library's numbers of a field's label
_SCALARS: Final = ("double", "float", "int64", "int32", "bool", "string", "bytes")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return message(name)


@cache
def message(name: str) -> Any:
    """The class of a message, or the wrapper of an enumeration; AttributeError if the schema has none of that name."""
    from google.protobuf import message_factory
    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

    with _lock:  # threads must not make two pools, whose classes would not mix
        found = _file()
    if name in found.enum_types_by_name:
        return EnumTypeWrapper(found.enum_types_by_name[name])
    if name not in found.message_types_by_name:
        raise AttributeError(f"there is no message {name!r}")
    made = message_factory.GetMessageClass(found.message_types_by_name[name])
    made.__module__ = __name__
    return made


@cache
def _file() -> Any:
    """The schema, compiled."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="flowc.proto", package=PACKAGE, syntax="proto3")
    tokens = (token for token in _TOKEN.findall(SCHEMA) if not token.startswith("//"))
    for kind in tokens:
        if kind == "enum":
            _read_enum(file.enum_type.add(name=next(tokens)), tokens)
        else:
            _read_message(file.message_type.add(name=next(tokens)), tokens)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindFileByName(file.name)


def _read_enum(enum: Any, tokens: Iterator[str]) -> None:
    _expect("{", tokens)
    while (name := next(tokens)) != "}":
        enum.value.add(name=name, number=_number(tokens))


def _read_message(message: Any, tokens: Iterator[str]) -> None:
    _expect("{", tokens)
    while (token := next(tokens)) != "}":
        if token == "message":
            _read_message(message.nested_type.add(name=next(tokens)), tokens)
        elif token == "oneof":
            message.oneof_decl.add(name=next(tokens))
            _expect("{", tokens)
            while (kind := next(tokens)) != "}":
                _add_field(message, kind, tokens).oneof_index = len(message.oneof_decl) - 1
        elif token == "repeated":
            _add_field(message, next(tokens), tokens).label = _REPEATED
        else:
            _add_field(message, token, tokens)


def _add_field(message: Any, kind: str, tokens: Iterator[str]) -> Any:
    name = next(tokens)
    field = message.field.add(name=name, label=_SINGULAR)
    if kind.startswith("map<"):
        kind = _add_entry(message, name, *kind[4:-1].split(","))
        field.label = _REPEATED
    _set_type(field, kind)
    field.number = _number(tokens)
    return field


def _add_entry(message: Any, field: str, key: str, value: str) -> str:
    """A map is a list of messages of a key and a value."""
    name = field.title().replace("_", "") + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, (part, kind) in enumerate((("key", key), ("value", value)), 1):
        _set_type(entry.field.add(name=part, number=number, label=_SINGULAR), kind)
    return name


def _set_type(field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = field.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type_name = kind


def _number(tokens: Iterator[str]) -> int:
    _expect("=", tokens)
    number = int(next(tokens))
    _expect(";", tokens)
    return number


def _expect(wanted: str, tokens: Iterator[str]) -> None:
    token = next(tokens)
    if token != wanted:
        raise SyntaxError(f"the schema has {token!r} where {wanted!r} is expected")
