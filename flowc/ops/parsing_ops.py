"""Tensors of strings: raw bytes, comma-separated values, and Example messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flowc.framework.building import apply, apply_list
from flowc.framework.convert import constant, convert_to_tensor
from flowc.framework.dtypes import (
    ANY,
    STRING,
    DType,
    as_dtype,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    string,
    uint8,
)
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape, as_shape, unknown_shape
from flowc.framework.sparse_tensor import SparseTensor
from flowc.ops.array_ops import expand_dims, reshape, squeeze
from flowc.ops.slicing_ops import slice as slice_

__all__ = ["decode_csv", "decode_raw", "parse_example", "parse_single_example"]

RAW = frozenset((float32, float64, int8, int16, int32, int64, uint8))
CSV = frozenset((float32, int32, int64, string))
FEATURES = frozenset((float32, int64, string))

# -- raw bytes ---------------------------------------------------------------------------------------------------------


def _with_elements(ctx: ShapeContext) -> Shapes:
    return (ctx.shapes[0].concatenate(unknown_shape(1)),)


define(
    "DecodeRaw",
    shape=_with_elements,
    allowed=STRING,
    result=lambda types, attrs: [attrs["out_type"]],
    inputs="bytes",
    type_attrs="-",
    attrs={"little_endian": True},
)
not_differentiable("DecodeRaw")


def decode_raw(bytes: Any, out_type: Any, little_endian: bool | None = None, name: str | None = None) -> Tensor:
    """The bytes of strings as numbers, along a new last axis.

    Args:
        bytes: strings of one length, a multiple of the type's size; of any shape.
        out_type: float32, float64, int8, int16, int32, int64 or uint8.
        little_endian: whether the least significant byte of a number comes first (by default it does).
        name: the operation's name.

    Raises:
        TypeError: another `out_type`. When run, InvalidArgumentError for lengths that do not fit.
    """
    dtype = _checked_type(out_type, RAW, "decode_raw")
    attrs = {"out_type": dtype, "little_endian": little_endian is not False}
    return apply("DecodeRaw", [bytes], attrs, name)


def _checked_type(dtype: Any, allowed: frozenset[DType], what: str) -> DType:
    given = as_dtype(dtype).base_dtype
    if given not in allowed:
        names = ", ".join(sorted(t.name for t in allowed))
        raise TypeError(f"{what} makes {names}, not {given.name}.")
    return given


# -- comma-separated values --------------------------------------------------------------------------------------------


def _one_a_column(ctx: ShapeContext) -> Shapes:
    for default in ctx.shapes[1:]:
        default.with_rank_at_most(1)
    return [ctx.shapes[0]] * (len(ctx.shapes) - 1)


define(
    "DecodeCSV",
    shape=_one_a_column,
    allowed=(STRING, CSV),
    result=lambda types, attrs: types[1:],
    inputs="records record_defaults",
    type_attrs="- *OUT_TYPE",
    attrs={"field_delim": ","},
)
not_differentiable("DecodeCSV")


def decode_csv(
    records: Any, record_defaults: Sequence[Any], field_delim: str | None = None, name: str | None = None
) -> list[Tensor]:
    """The columns of records of comma-separated values: one tensor of the records' shape a column.

    Fields may be quoted, and then hold the delimiter, line breaks and (doubled) quotes, as RFC 4180 says. Spaces around
    numbers are ignored.

    Args:
        records: strings, one a record, of any shape.
        record_defaults: one tensor a column, float32, int32, int64 or string, which says the column's type. Of shape
            [1]: the value of empty fields; of shape [0]: fields may not be empty.
        field_delim: what is between fields, one character (by default a comma).
        name: the operation's name.

    Raises:
        ValueError: a longer delimiter. When run, InvalidArgumentError for a record that is not well formed, has another
        number of fields, or a field that is missing or not of the column's type.
    """
    delimiter = "," if field_delim is None else field_delim
    if len(delimiter.encode()) != 1 or delimiter in '"\r\n':
        raise ValueError(f"field_delim should be only 1 char, and no quote or line break: {delimiter!r}")
    return apply_list("DecodeCSV", [records, *record_defaults], {"field_delim": delimiter}, name)


# -- examples ----------------------------------------------------------------------------------------------------------


def _example_types(types: Any, attrs: Any) -> list[DType]:
    count = len(attrs["sparse_types"])
    return [*[int64] * count, *attrs["sparse_types"], *[int64] * count, *attrs["Tdense"]]


def _example_shapes(ctx: ShapeContext) -> Shapes:
    batch = ctx.shapes[0].with_rank(1)
    count = len(ctx.attrs["sparse_types"])
    dense = [batch.concatenate(as_shape(shape)) for shape in ctx.attrs["dense_shapes"]]
    return [*[TensorShape((None, 2))] * count, *[unknown_shape(1)] * count, *[TensorShape((2,))] * count, *dense]


define(
    "ParseExample",
    shape=_example_shapes,
    allowed=(STRING, STRING, ANY),
    result=_example_types,
    inputs="serialized names keys_and_defaults",
    type_attrs="- - *-",
)
not_differentiable("ParseExample")


class _Features:
    """The features that `parse_example` is asked for, checked."""

    def __init__(
        self,
        sparse_keys: Sequence[str] | None,
        sparse_types: Sequence[Any] | None,
        dense_keys: Sequence[str] | None,
        dense_types: Sequence[Any] | None,
        dense_defaults: Mapping[str, Any] | None,
        dense_shapes: Sequence[Any] | None,
    ) -> None:
        self.sparse_keys, self.dense_keys = list(sparse_keys or ()), list(dense_keys or ())
        self.dense_shapes = [as_shape(s) for s in dense_shapes or [()] * len(self.dense_keys)]
        self.defaults = dict(dense_defaults or {})
        _check_lengths("sparse", self.sparse_keys, types=list(sparse_types or ()))
        _check_lengths("dense", self.dense_keys, shapes=self.dense_shapes, types=list(dense_types or ()))
        self.sparse_types = [_checked_type(t, FEATURES, "parse_example") for t in sparse_types or ()]
        self.dense_types = [_checked_type(t, FEATURES, "parse_example") for t in dense_types or ()]
        self._check()

    def _check(self) -> None:
        common = set(self.sparse_keys) & set(self.dense_keys)
        if common:
            raise ValueError(f"Dense and sparse keys must not intersect; intersection: {sorted(common)}")
        if not self.sparse_keys and not self.dense_keys:
            raise ValueError("Must provide at least one sparse key or dense key")
        unknown = set(self.defaults) - set(self.dense_keys)
        if unknown:
            raise ValueError(f"dense_defaults has keys that are not in dense_keys: {sorted(unknown)}")
        for shape in self.dense_shapes:
            shape.assert_is_fully_defined()

    def default(self, index: int) -> Tensor:
        """The default of a dense feature, of its shape; empty where it has none."""
        key, dtype, shape = self.dense_keys[index], self.dense_types[index], self.dense_shapes[index]
        value = self.defaults.get(key)
        if value is None:
            return constant([], dtype)
        if isinstance(value, Tensor):
            return value
        name = "key_" + re.sub(r"[^A-Za-z0-9_.\-/]", "_", key)
        return reshape(convert_to_tensor(value, dtype, name), shape)

    def attrs(self) -> dict[str, Any]:
        """The operation's attributes."""
        return {
            "Nsparse": len(self.sparse_keys),
            "Ndense": len(self.dense_keys),
            "sparse_types": tuple(self.sparse_types),
            "Tdense": tuple(self.dense_types),
            "dense_shapes": tuple(self.dense_shapes),
        }

    def named(self, outputs: Sequence[Tensor]) -> dict[str, Any]:
        """The operation's outputs by key."""
        count = len(self.sparse_keys)
        triples = zip(outputs[:count], outputs[count : 2 * count], outputs[2 * count : 3 * count], strict=True)
        found: dict[str, Any] = {
            key: SparseTensor(*triple) for key, triple in zip(self.sparse_keys, triples, strict=True)
        }
        return found | dict(zip(self.dense_keys, outputs[3 * count :], strict=True))


def _check_lengths(kind: str, keys: Sequence[str], **others: Sequence[Any]) -> None:
    for what, values in others.items():
        if len(values) != len(keys):
            counts = f"{len(values)} vs. {len(keys)}"
            raise ValueError(f"len({kind}_{what}) != len({kind}_keys): {counts}")


def parse_example(
    serialized: Any,
    names: Any = None,
    sparse_keys: Sequence[str] | None = None,
    sparse_types: Sequence[Any] | None = None,
    dense_keys: Sequence[str] | None = None,
    dense_types: Sequence[Any] | None = None,
    dense_defaults: Mapping[str, Any] | None = None,
    dense_shapes: Sequence[Any] | None = None,
    name: str | None = "ParseExample",
) -> dict[str, Any]:
    """The features of a batch of Example messages, by key: a SparseTensor or a tensor for each.

    A sparse feature may have any number of values in each example: its SparseTensor has the dense shape [batch, most
    values in an example]. A dense one has as many as its shape asks for: its tensor has the shape [batch] + shape.

    Args:
        serialized: a vector of strings, each an Example.
        names: a vector of strings, one an example, for messages; or None.
        sparse_keys: the sparse features' keys.
        sparse_types: their types: float32, int64 or string.
        dense_keys: the dense features' keys.
        dense_types: their types: float32, int64 or string.
        dense_defaults: by key, the value for examples that lack the feature; without it, none may lack it.
        dense_shapes: the dense features' shapes, one a key; by default they are scalars.
        name: the operation's name.

    Raises:
        ValueError: no keys, a key that is both dense and sparse, or lists whose lengths do not fit. TypeError: other
        types. When run, InvalidArgumentError for what is no Example, for a feature of another type or number of values,
        and for one that is required and missing.
    """
    features = _Features(sparse_keys, sparse_types, dense_keys, dense_types, dense_defaults, dense_shapes)
    return _parsed(serialized, [] if names is None else names, features, name)


def _parsed(serialized: Any, names: Any, features: _Features, name: str | None) -> dict[str, Any]:
    with op_scope([serialized, names], name, "ParseExample") as scope:
        inputs = [
            convert_to_tensor(serialized, string, "serialized"),
            convert_to_tensor(names, string, "names"),
            *(constant(key, string, name="sparse_keys") for key in features.sparse_keys),
            *(constant(key, string, name="dense_keys") for key in features.dense_keys),
            *(features.default(index) for index in range(len(features.dense_keys))),
        ]
        return features.named(apply_list("ParseExample", inputs, features.attrs(), scope))


def parse_single_example(
    serialized: Any,
    names: Any = None,
    sparse_keys: Sequence[str] | None = None,
    sparse_types: Sequence[Any] | None = None,
    dense_keys: Sequence[str] | None = None,
    dense_types: Sequence[Any] | None = None,
    dense_defaults: Mapping[str, Any] | None = None,
    dense_shapes: Sequence[Any] | None = None,
    name: str | None = "ParseSingleExample",
) -> dict[str, Any]:
    """The features of one Example message, by key: as `parse_example`, without the batch's axis.

    `serialized`, and `names` if given, are string scalars. A sparse feature is a SparseTensor of rank 1. Errors as for
    `parse_example`.
    """
    features = _Features(sparse_keys, sparse_types, dense_keys, dense_types, dense_defaults, dense_shapes)
    with op_scope([serialized, names], name, "ParseSingleExample"):
        single = convert_to_tensor(serialized, string, "serialized")
        single.get_shape().with_rank(0)
        given: Any = [] if names is None else expand_dims(convert_to_tensor(names, string, "names"), 0)
        batch = _parsed(expand_dims(single, 0), given, features, None)
        return {key: _only_one(value) for key, value in batch.items()}


def _only_one(value: Any) -> Any:
    """The value of a batch of one, without the batch's axis."""
    if isinstance(value, SparseTensor):
        indices, shape = slice_(value.indices, [0, 1], [-1, -1]), slice_(value.shape, [1], [-1])
        return SparseTensor(indices, value.values, shape)
    return squeeze(value, [0])
