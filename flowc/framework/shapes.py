"""Static shapes, fully or partly known: `TensorShape` and `Dimension`, with the algebra of the 0.6 API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, SupportsIndex


class Dimension:
    """The size of one dimension: `value` is an int, or None where it is not known before a run."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        if isinstance(value, Dimension):
            value = value._value
        self._value: int | None = None if value is None else int(value)
        if self._value is not None and self._value < 0:
            raise ValueError(f"Dimension {self._value} must be >= 0")

    @property
    def value(self) -> int | None:
        """The size, or None where it is not known."""
        return self._value

    def is_compatible_with(self, other: Any) -> bool:
        """Whether the two could be equal: either is unknown, or they are."""
        other = as_dimension(other)
        return self._value is None or other._value is None or self._value == other._value

    def assert_is_compatible_with(self, other: Any) -> None:
        """Raises ValueError unless `is_compatible_with(other)`."""
        if not self.is_compatible_with(other):
            raise ValueError(f"Dimensions {self} and {other} are not compatible")

    def merge_with(self, other: Any) -> Dimension:
        """What is known of either; ValueError if they are incompatible."""
        other = as_dimension(other)
        self.assert_is_compatible_with(other)
        return Dimension(other._value if self._value is None else self._value)

    def _combine(self, other: Any, operation: Any) -> Dimension:
        other = as_dimension(other)
        if self._value is None or other._value is None:
            return Dimension(None)
        return Dimension(operation(self._value, other._value))

    def __add__(self, other: Any) -> Dimension:
        return self._combine(other, lambda a, b: a + b)

    def __sub__(self, other: Any) -> Dimension:
        return self._combine(other, lambda a, b: a - b)

    def __rsub__(self, other: Any) -> Dimension:
        return self._combine(other, lambda a, b: b - a)

    def __mul__(self, other: Any) -> Dimension:
        return self._combine(other, lambda a, b: a * b)

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other: Any) -> Dimension:
        return self._combine(other, lambda a, b: a // b)

    def __mod__(self, other: Any) -> Dimension:
        return self._combine(other, lambda a, b: a % b)

    def _compare(self, other: Any, operation: Any) -> bool | None:
        other = as_dimension(other)
        if self._value is None or other._value is None:
            return None
        return bool(operation(self._value, other._value))

    def __eq__(self, other: object) -> bool | None:  # type: ignore[override]  # unknown sizes: neither equal nor not
        try:
            return self._compare(other, lambda a, b: a == b)
        except (TypeError, ValueError):
            return NotImplemented

    def __ne__(self, other: object) -> bool | None:  # type: ignore[override]
        try:
            return self._compare(other, lambda a, b: a != b)
        except (TypeError, ValueError):
            return NotImplemented

    def __lt__(self, other: Any) -> bool | None:
        return self._compare(other, lambda a, b: a < b)

    def __le__(self, other: Any) -> bool | None:
        return self._compare(other, lambda a, b: a <= b)

    def __gt__(self, other: Any) -> bool | None:
        return self._compare(other, lambda a, b: a > b)

    def __ge__(self, other: Any) -> bool | None:
        return self._compare(other, lambda a, b: a >= b)

    __hash__ = None  # type: ignore[assignment]  # equality is three-valued

    def __int__(self) -> int:
        if self._value is None:
            raise TypeError("a Dimension that is not known has no int value")
        return self._value

    def __index__(self) -> int:
        return int(self)

    def __repr__(self) -> str:
        return f"Dimension({self._value})"

    def __str__(self) -> str:
        return "?" if self._value is None else str(self._value)


def as_dimension(value: Any) -> Dimension:
    """`value` as a Dimension: an int, None or a Dimension."""
    return value if isinstance(value, Dimension) else Dimension(value)


class TensorShape:
    """The shape of a tensor: of unknown rank (`dims` is None), or a list of dimensions, each known or not.

    Immutable. Internally a tuple of `int | None`, which is what shape rules compute with (`TensorShape.tuple`).
    """

    __slots__ = ("tuple",)

    def __init__(self, dims: Any) -> None:
        self.tuple: tuple[int | None, ...] | None = _dims_of(dims)

    @property
    def dims(self) -> list[Dimension] | None:
        """The dimensions, or None where the rank is not known."""
        return None if self.tuple is None else [Dimension(d) for d in self.tuple]

    @property
    def ndims(self) -> int | None:
        """The rank, or None where it is not known."""
        return None if self.tuple is None else len(self.tuple)

    def as_list(self) -> list[int | None]:
        """The sizes, None for each unknown one; ValueError if the rank is unknown."""
        if self.tuple is None:
            raise ValueError("as_list() is not defined on an unknown TensorShape.")
        return list(self.tuple)

    as_dimension_list = as_list

    def num_elements(self) -> int | None:
        """The product of the sizes, or None unless all are known."""
        if self.tuple is None:
            return None
        total = 1
        for size in self.tuple:
            if size is None:
                return None
            total *= size
        return total

    def is_fully_defined(self) -> bool:
        """Whether the rank and every size are known."""
        return self.tuple is not None and None not in self.tuple

    def assert_is_fully_defined(self) -> None:
        """Raises ValueError unless `is_fully_defined()`."""
        if not self.is_fully_defined():
            raise ValueError(f"Shape {self} is not fully defined")

    def is_compatible_with(self, other: Any) -> bool:
        """Whether one tensor could have both shapes."""
        theirs = as_shape(other).tuple
        if self.tuple is None or theirs is None:
            return True
        if len(self.tuple) != len(theirs):
            return False
        return all(a is None or b is None or a == b for a, b in zip(self.tuple, theirs, strict=True))

    def assert_is_compatible_with(self, other: Any) -> None:
        """Raises ValueError unless `is_compatible_with(other)`."""
        if not self.is_compatible_with(other):
            raise ValueError(f"Shapes {self} and {as_shape(other)} are incompatible")

    def merge_with(self, other: Any) -> TensorShape:
        """What is known of either; ValueError if they are incompatible."""
        theirs: TensorShape = as_shape(other)
        if self.tuple is None:
            return theirs
        if theirs.tuple is None:
            return self
        if not self.is_compatible_with(theirs):
            raise ValueError(f"Shapes {self} and {theirs} are not compatible")
        return TensorShape(tuple(b if a is None else a for a, b in zip(self.tuple, theirs.tuple, strict=True)))

    def concatenate(self, other: Any) -> TensorShape:
        """The dimensions of this shape, then those of `other`."""
        other = as_shape(other)
        if self.tuple is None or other.tuple is None:
            return TensorShape(None)
        return TensorShape(self.tuple + other.tuple)

    def assert_same_rank(self, other: Any) -> None:
        """Raises ValueError if both ranks are known and differ."""
        other = as_shape(other)
        if self.tuple is not None and other.tuple is not None and len(self.tuple) != len(other.tuple):
            raise ValueError(f"Shapes {self} and {other} must have the same rank")

    def assert_has_rank(self, rank: int | None) -> None:
        """Raises ValueError if the rank is known and is not `rank`."""
        if rank is not None and self.tuple is not None and len(self.tuple) != rank:
            raise ValueError(f"Shape {self} must have rank {rank}")

    def with_rank(self, rank: int | None) -> TensorShape:
        """This shape, known to have `rank` dimensions; ValueError if it has another number."""
        if rank is None or self.tuple is not None:
            self.assert_has_rank(rank)
            return self
        return unknown_shape(rank)

    def with_rank_at_least(self, rank: int) -> TensorShape:
        """This shape; ValueError if it is known to have fewer dimensions than `rank`."""
        if self.tuple is not None and len(self.tuple) < rank:
            raise ValueError(f"Shape {self} must have rank at least {rank}")
        return self

    def with_rank_at_most(self, rank: int) -> TensorShape:
        """This shape; ValueError if it is known to have more dimensions than `rank`."""
        if self.tuple is not None and len(self.tuple) > rank:
            raise ValueError(f"Shape {self} must have rank at most {rank}")
        return self

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        if self.tuple is None:
            if isinstance(key, slice):
                return TensorShape(None)
            return Dimension(None)
        if isinstance(key, slice):
            return TensorShape(self.tuple[key])
        return Dimension(self.tuple[key])

    def __iter__(self) -> Iterator[Dimension]:
        if self.tuple is None:
            raise ValueError("A TensorShape of unknown rank cannot be iterated over")
        return (Dimension(d) for d in self.tuple)

    def __len__(self) -> int:
        if self.tuple is None:
            raise ValueError("Cannot take the length of a TensorShape of unknown rank")
        return len(self.tuple)

    def __bool__(self) -> bool:
        return self.tuple is not None

    def __eq__(self, other: object) -> bool:
        try:
            return self.tuple == as_shape(other).tuple
        except (TypeError, ValueError):
            return NotImplemented

    def __hash__(self) -> int:
        return hash(self.tuple)

    def __repr__(self) -> str:
        return f"TensorShape({self.dims})"

    def __str__(self) -> str:
        if self.tuple is None:
            return "<unknown>"
        if len(self.tuple) == 1:
            return f"({as_dimension(self.tuple[0])},)"
        return "(" + ", ".join(str(as_dimension(d)) for d in self.tuple) + ")"


def _dims_of(dims: Any) -> tuple[int | None, ...] | None:
    if dims is None:
        return None
    if isinstance(dims, TensorShape):
        return dims.tuple
    if type(dims) is tuple and all(d is None or (type(d) is int and d >= 0) for d in dims):
        return dims
    if isinstance(dims, Iterable):
        return tuple(as_dimension(d).value for d in dims)
    return (as_dimension(dims).value,)


def as_shape(shape: Any) -> TensorShape:
    """`shape` as a TensorShape: a list of sizes, an int, None or a TensorShape."""
    return shape if isinstance(shape, TensorShape) else TensorShape(shape)


def all_known(sizes: tuple[int | None, ...] | None) -> tuple[int, ...] | None:
    """The sizes if the rank and all of them are known, else None."""
    if sizes is None:
        return None
    concrete = tuple(size for size in sizes if size is not None)
    return concrete if len(concrete) == len(sizes) else None


def unknown_shape(ndims: int | None = None) -> TensorShape:
    """A shape of unknown sizes, and of unknown rank unless `ndims` is given."""
    return TensorShape(None if ndims is None else (None,) * ndims)


def broadcast_shapes(a: TensorShape, b: TensorShape) -> TensorShape:
    """The shape of an elementwise operation on the two, by NumPy's rules; ValueError if they do not fit."""
    if a.tuple is None or b.tuple is None:
        return TensorShape(None)
    if a.tuple == b.tuple and None not in a.tuple:
        return a
    rank = max(len(a.tuple), len(b.tuple))
    left = (1,) * (rank - len(a.tuple)) + a.tuple
    right = (1,) * (rank - len(b.tuple)) + b.tuple
    return TensorShape(tuple(_broadcast_dimension(x, y, a, b) for x, y in zip(left, right, strict=True)))


def _broadcast_dimension(x: int | None, y: int | None, a: TensorShape, b: TensorShape) -> int | None:
    if x == y or y == 1:
        return x
    if x == 1:
        return y
    if x is None or y is None:
        return y if x is None else x
    raise ValueError(f"Incompatible shapes for broadcasting: {a} and {b}")
