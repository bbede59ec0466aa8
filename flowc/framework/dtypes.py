"""Element types of tensors. Names, enum values and members follow `tf.DType` of the 0.6 API."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

REF_OFFSET: Final = 100  # a reference type's enum value is its base type's plus this


class DType:
    """The type of a tensor's elements; a reference type (`float32_ref`) is that of a variable's own tensor.

    Instances are interned: compare with `is` or `==`. `as_dtype` converts names, NumPy types and enum values.
    """

    __slots__ = ("_base", "_enum", "_name", "_numpy", "_ref")
    _base: DType
    _enum: int
    _name: str
    _numpy: Any
    _ref: DType

    def __new__(cls, type_enum: int) -> DType:
        """The type of that number in the API's `DataType` enumeration; TypeError if there is none."""
        known = _BY_ENUM.get(type_enum)
        if known is None:
            raise TypeError(f"type_enum is not a valid DType: {type_enum!r}")
        return known

    @classmethod
    def _make(cls, enum: int, name: str, numpy: Any) -> DType:
        base, ref = object.__new__(cls), object.__new__(cls)
        for self, shift, suffix in ((base, 0, ""), (ref, REF_OFFSET, "_ref")):
            self._enum, self._name, self._numpy = enum + shift, name + suffix, numpy
            self._base, self._ref = base, ref
            _BY_ENUM[self._enum] = self
            _BY_NAME[self._name] = self
        return base

    @property
    def name(self) -> str:
        """The type's name: `"float32"`, `"int64_ref"`, …"""
        return self._name

    @property
    def base_dtype(self) -> DType:
        """The non-reference type with the same elements."""
        return self._base

    @property
    def as_ref(self) -> DType:
        """The reference type with the same elements."""
        return self._ref

    @property
    def is_ref_dtype(self) -> bool:
        """Whether this is a reference type."""
        return self._enum > REF_OFFSET

    @property
    def as_numpy_dtype(self) -> Any:
        """The NumPy scalar type of the elements; `numpy.object_` for strings."""
        return self._numpy

    @property
    def as_datatype_enum(self) -> int:
        """The type's number in the API's `DataType` enumeration."""
        return self._enum

    @property
    def is_floating(self) -> bool:
        """Whether elements are real floating-point numbers."""
        return self._base in (float16, float32, float64, bfloat16)

    @property
    def is_integer(self) -> bool:
        """Whether elements are (unquantized) integers."""
        return not self.is_quantized and self._base is not bfloat16 and self._base._numpy in _INTEGERS

    @property
    def is_complex(self) -> bool:
        """Whether elements are complex numbers."""
        return self._base in (complex64, complex128)

    @property
    def is_quantized(self) -> bool:
        """Whether elements are quantized integers; flowc computes with none of them."""
        return self._base._name.startswith("q")

    @property
    def is_unsigned(self) -> bool:
        """Whether elements are unsigned integers."""
        return self.is_integer and np.dtype(self._numpy).kind == "u"

    @property
    def size(self) -> int:
        """Bytes an element."""
        return int(np.dtype(self._numpy).itemsize)

    @property
    def min(self) -> Any:
        """The least finite value; TypeError where there is none."""
        return self._limits()[0]

    @property
    def max(self) -> Any:
        """The greatest finite value; TypeError where there is none."""
        return self._limits()[1]

    def _limits(self) -> tuple[Any, Any]:
        if self.is_floating and self._base is not bfloat16:
            return np.finfo(self._numpy).min, np.finfo(self._numpy).max
        if self.is_integer:
            return np.iinfo(self._numpy).min, np.iinfo(self._numpy).max
        raise TypeError(f"Cannot find minimum value or maximum value of {self}.")

    def is_compatible_with(self, other: Any) -> bool:
        """Whether a tensor of type `other` can be given where this type is expected: one of the same type, or where
        this is not a reference type, of the reference type of the same elements."""
        other = as_dtype(other)
        return self is other or self is other._base

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if other is None:
            return False
        try:
            return self._enum == as_dtype(other)._enum
        except TypeError:
            return False

    def __hash__(self) -> int:
        return self._enum

    def __repr__(self) -> str:
        return f"tf.{self._name}"

    def __str__(self) -> str:
        return f"<dtype: {self._name!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self._name,)


_BY_ENUM: dict[int, DType] = {}
_BY_NAME: dict[str, DType] = {}

float32 = DType._make(1, "float32", np.float32)
float64 = DType._make(2, "float64", np.float64)
int32 = DType._make(3, "int32", np.int32)
uint8 = DType._make(4, "uint8", np.uint8)
int16 = DType._make(5, "int16", np.int16)
int8 = DType._make(6, "int8", np.int8)
string = DType._make(7, "string", np.object_)
complex64 = DType._make(8, "complex64", np.complex64)
int64 = DType._make(9, "int64", np.int64)
bool_ = DType._make(10, "bool", np.bool_)
qint8 = DType._make(11, "qint8", np.int8)
quint8 = DType._make(12, "quint8", np.uint8)
qint32 = DType._make(13, "qint32", np.int32)
bfloat16 = DType._make(14, "bfloat16", np.uint16)
uint16 = DType._make(17, "uint16", np.uint16)
complex128 = DType._make(18, "complex128", np.complex128)
float16 = DType._make(19, "float16", np.float16)

_INTEGERS = frozenset((np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16))
_BY_NAME.update({"float": float32, "double": float64, "half": float16})
_BY_NUMPY: dict[Any, DType] = {
    np.dtype(d.as_numpy_dtype): d
    for d in (float16, float32, float64, int8, int16, int32, int64, uint8, uint16, complex64, complex128, bool_)
}

REAL = frozenset((float16, float32, float64))
COMPLEX = frozenset((complex64, complex128))
INTEGER = frozenset((int8, int16, int32, int64, uint8, uint16))
FLOATING = REAL | COMPLEX
NUMERIC = FLOATING | INTEGER
ORDERED = REAL | INTEGER
BOOL = frozenset((bool_,))
INDEX = frozenset((int32, int64))
STRING = frozenset((string,))
ANY = NUMERIC | BOOL | STRING
CASTABLE = NUMERIC | BOOL | {bfloat16}


def as_dtype(type_value: Any) -> DType:
    """The `DType` for a name, a NumPy type, an enum value or a `DType`; TypeError if there is none."""
    if type(type_value) is DType:
        return type_value
    if isinstance(type_value, str) and type_value in _BY_NAME:
        return _BY_NAME[type_value]
    if isinstance(type_value, int) and type_value in _BY_ENUM:
        return _BY_ENUM[type_value]
    try:
        numpy_type = np.dtype(type_value)
    except TypeError:
        raise TypeError(f"Cannot convert value {type_value!r} to a DType.") from None
    if numpy_type.kind in "SUO" and type_value is not None:
        return string
    known = _BY_NUMPY.get(numpy_type.newbyteorder("="))
    if known is None or type_value is None:
        raise TypeError(f"Cannot convert value {type_value!r} to a DType.")
    return known
