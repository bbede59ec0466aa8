"""Ops that make tensors of strings: raw bytes, and Example messages."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from flowc.codegen.host.examples import Malformed, features_of
from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.dtypes import DType
from flowc.framework.errors import InvalidArgumentError
from flowc.framework.shapes import TensorShape, all_known


def _invalid(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, message)


# -- raw bytes ---------------------------------------------------------------------------------------------------------


@host("DecodeRaw")
def _decode_raw(op: HostOp, strings: Array) -> Array:
    is_native = op.attrs.get("little_endian", True) == (sys.byteorder == "little")
    dtype = op.dtype if is_native else op.dtype.newbyteorder()
    flat: list[bytes] = strings.ravel().tolist() if strings.ndim else [strings.item()]
    length = len(flat[0]) if flat else 0
    for index, text in enumerate(flat):
        if len(text) != length:
            message = "DecodeRaw requires input strings to all be the same size, but element "
            raise _invalid(f"{message}{index} has size {len(text)} != {length}")
    if length % dtype.itemsize:
        message = f"Input to DecodeRaw has length {length} that is not a multiple of {dtype.itemsize}"
        raise _invalid(f"{message}, the size of {op.dtypes[0].name}")
    data = flat[0] if len(flat) == 1 else b"".join(flat)
    # Copied by Python: NumPy lets other threads run meanwhile, which costs more than the copy of most records.
    numbers = np.frombuffer(bytearray(data), dtype).astype(op.dtype, copy=False)
    return numbers.reshape(*strings.shape, length // dtype.itemsize) if strings.ndim else numbers


# -- examples ----------------------------------------------------------------------------------------------------------

_SHOWN: Final = {"float32": "float"}  # types that messages call by their names in the API's protocol buffers

Feature = tuple[str, Any] | None  # the type's name and the values; None where an example lacks it


@host("ParseExample")
def _parse_example(op: HostOp, serialized: Array, names: Array, *rest: Array) -> list[Array]:
    sparse, dense = int(op.attrs["Nsparse"]), int(op.attrs["Ndense"])
    keys: list[bytes] = [key.item() for key in rest[: sparse + dense]]
    defaults = rest[sparse + dense :]
    if names.size and names.size != serialized.size:
        raise _invalid(f"Expected len(names) == len(serialized), but got: {names.size} vs. {serialized.size}")
    shown = [name.decode(errors="replace") for name in names] or ["<unknown>"] * serialized.size
    examples = _decoded(serialized, frozenset(keys))
    columns = [_Column(key, [example.get(key) for example in examples], shown) for key in keys]
    triples = [c.sparse(d) for c, d in zip(columns[:sparse], op.attrs["sparse_types"], strict=True)]
    outputs = [array for part in zip(*triples, strict=True) for array in part]
    described = zip(columns[sparse:], op.attrs["Tdense"], op.attrs["dense_shapes"], defaults, strict=True)
    return outputs + [column.dense(dtype, _known(shape), default) for column, dtype, shape, default in described]


def _known(shape: Any) -> tuple[int, ...]:
    known = all_known(TensorShape(shape).tuple)
    if known is None:
        raise _invalid(f"The shape of a dense feature must be known: {shape}")
    return known


def _decoded(serialized: Array, keys: frozenset[bytes]) -> list[dict[bytes, tuple[str, Any]]]:
    found = []
    for data in serialized:
        try:
            found.append(features_of(data, keys))
        except Malformed:
            shown = data[:100].decode(errors="replace")
            raise _invalid(f"Could not parse example input, value: '{shown}'") from None
    return found


class _Column:
    """One feature of a batch of examples. `names`: the examples' names, for messages."""

    def __init__(self, key: bytes, features: Sequence[Feature], names: Sequence[str]) -> None:
        self._key = key.decode(errors="replace")
        self._features, self._names = features, names

    def _values(self, index: int, dtype: DType) -> Any:
        """What an example has of the feature, None if it has nothing. InvalidArgumentError for another type."""
        feature = self._features[index]
        if feature is None:
            return None
        kind, values = feature
        if kind != dtype.name:
            raise _invalid(
                f"Name: {self._names[index]}, Key: {self._key}, Index: {index}.  Data types don't match. "
                f"Expected type: {_shown(dtype.name)}, Feature is: {_shown(kind)}"
            )
        return values

    def sparse(self, dtype: DType) -> tuple[Array, Array, Array]:
        """(indices, values, shape): one row an example, as long as the longest."""
        lists = [self._values(index, dtype) for index in range(len(self._features))]
        lengths = [0 if values is None else len(values) for values in lists]
        rows = np.repeat(np.arange(len(lists)), lengths)
        starts = np.cumsum([0, *lengths[:-1]])
        indices = np.stack([rows, np.arange(len(rows)) - np.repeat(starts[: len(lists)], lengths)], axis=1)
        values = _joined([part for part in lists if part is not None], dtype)
        shape = np.array([len(lists), max(lengths, default=0)], np.int64)
        return indices.astype(np.int64, copy=False), values, shape

    def dense(self, dtype: DType, shape: tuple[int, ...], default: Array) -> Array:
        """One row of `shape` an example; the default, if there is one, where an example lacks the feature."""
        size = int(np.prod(shape))
        if default.size and default.shape != shape:
            message = f"Dense_default for key {self._key} has shape {list(default.shape)}, not {list(shape)}"
            raise _invalid(message)
        result = np.empty((len(self._features), size), dtype.as_numpy_dtype)
        for index in range(len(self._features)):
            values = self._values(index, dtype)
            if values is None:
                if default.shape != shape:
                    message = (
                        f"Feature: {self._key} (data type: {_shown(dtype.name)}) is required but could not be found."
                    )
                    raise _invalid(f"Name: {self._names[index]}, {message}")
                values = default.ravel()
            elif len(values) != size:
                message = f"Name: {self._names[index]}, Key: {self._key}, Index: {index}.  "
                message += f"Number of {_shown(dtype.name)} values != expected.  "
                raise _invalid(f"{message}values size: {len(values)} but output shape: {list(shape)}")
            result[index] = values
        return result.reshape(len(self._features), *shape)


def _joined(parts: Sequence[Any], dtype: DType) -> Array:
    empty = np.empty(0, dtype.as_numpy_dtype)
    joined: Array = np.concatenate([empty, *(np.array(part, dtype.as_numpy_dtype) for part in parts)])
    return joined


def _shown(name: str) -> str:
    return _SHOWN.get(name, name)
