"""Strings: numbers in them, and their hashes."""

from __future__ import annotations

from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.dtypes import STRING, as_dtype, float32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import define, not_differentiable

__all__ = ["string_to_hash_bucket", "string_to_number"]

define(
    "StringToNumber",
    shape=shape_rules.unchanged,
    allowed=STRING,
    result=lambda types, attrs: [attrs["out_type"]],
    inputs="string_tensor",
    type_attrs="-",
    attrs={"out_type": float32},
)
define(
    "StringToHashBucket",
    shape=shape_rules.unchanged,
    allowed=STRING,
    result=int64,
    inputs="string_tensor",
    type_attrs="-",
)
not_differentiable("StringToNumber", "StringToHashBucket")


def string_to_number(string_tensor: Any, out_type: Any = None, name: str | None = None) -> Tensor:
    """The number that each string spells.

    Args:
        string_tensor: strings, of any shape. Spaces around a number are ignored. Floats may be hexadecimal (`0x1p3`),
            or `inf` or `nan` in any case; one that is too large becomes infinite.
        out_type: float32 (by default), float64, int32 or int64.
        name: the operation's name.

    Raises:
        TypeError: another `out_type`. When run, InvalidArgumentError for a string that is no number of that type.
    """
    dtype = float32 if out_type is None else as_dtype(out_type).base_dtype
    if dtype.name not in ("float32", "float64", "int32", "int64"):
        raise TypeError(f"string_to_number makes float32, float64, int32 or int64, not {dtype.name}.")
    return apply("StringToNumber", [string_tensor], {"out_type": dtype}, name)


def string_to_hash_bucket(string_tensor: Any, num_buckets: int, name: str | None = None) -> Tensor:
    """A number in `[0, num_buckets)` for each string, the same in every process: int64, of the input's shape.

    It is the string's MurmurHash64A modulo `num_buckets`, which spreads strings evenly; it is no cryptographic hash.
    Raises ValueError unless `num_buckets` is positive.
    """
    if num_buckets < 1:
        raise ValueError(f"num_buckets must be positive, not {num_buckets}.")
    return apply("StringToHashBucket", [string_tensor], {"num_buckets": int(num_buckets)}, name)
