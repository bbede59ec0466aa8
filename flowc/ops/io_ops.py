"""Files: readers that give their records one a run, and ops that find and read them whole."""

from __future__ import annotations

from typing import Any, Final

from flowc.framework import shape_rules
from flowc.framework.building import apply, apply_list, make_operation
from flowc.framework.dtypes import STRING, DType, int64, string
from flowc.framework.graph import Operation, Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.shape_rules import SCALAR, Shapes
from flowc.framework.shapes import TensorShape
from flowc.ops.data_flow_ops import QueueBase, handle_shape, handle_type

__all__ = [
    "FixedLengthRecordReader",
    "IdentityReader",
    "ReaderBase",
    "TFRecordReader",
    "TextLineReader",
    "WholeFileReader",
    "matching_files",
    "read_file",
]

# -- whole files -------------------------------------------------------------------------------------------------------


def _names(ctx: ShapeContext) -> Shapes:
    ctx.shapes[0].assert_has_rank(0)
    return (TensorShape((None,)),)


def _scalar_of_scalar(ctx: ShapeContext) -> Shapes:
    ctx.shapes[0].assert_has_rank(0)
    return (SCALAR,)


define("MatchingFiles", shape=_names, allowed=STRING, result=string, stateful=True, inputs="pattern", type_attrs="-")
define(
    "ReadFile", shape=_scalar_of_scalar, allowed=STRING, result=string, stateful=True, inputs="filename", type_attrs="-"
)
not_differentiable("MatchingFiles", "ReadFile")


def matching_files(pattern: Any, name: str | None = None) -> Tensor:
    """The names of the files that match a pattern, sorted: a string vector.

    `pattern`, a string scalar, may have the wildcards `*`, `?` and `[…]` in its last part, not in the folder's name.
    """
    return apply("MatchingFiles", [pattern], name=name)


def read_file(filename: Any, name: str | None = None) -> Tensor:
    """The whole content of the file of that name: a string scalar. NotFoundError when run if there is no such file."""
    return apply("ReadFile", [filename], name=name)


# -- readers -----------------------------------------------------------------------------------------------------------

_NAMED: Final[dict[str, Any]] = {"container": "", "shared_name": ""}
_READERS: Final[dict[str, dict[str, Any]]] = {
    "FixedLengthRecordReader": {**_NAMED, "header_bytes": 0, "footer_bytes": 0},
    "IdentityReader": _NAMED,
    "TFRecordReader": _NAMED,
    "TextLineReader": {**_NAMED, "skip_header_lines": 0},
    "WholeFileReader": _NAMED,
}

for _type, _attrs in _READERS.items():
    define(_type, shape=handle_shape, result=handle_type, stateful=True, inputs="", attrs=_attrs)
    not_differentiable(_type)


def _record_types(types: Any, attrs: Any) -> list[DType]:
    return [string, string]


def _record(ctx: ShapeContext) -> Shapes:
    return (SCALAR, SCALAR)


def _nothing(types: Any, attrs: Any) -> list[DType]:
    return []


define(
    "ReaderRead",
    shape=_record,
    allowed=STRING,
    result=_record_types,
    stateful=True,
    inputs="reader_handle queue_handle",
    type_attrs="- -",
)
for _type, _result in (
    ("ReaderNumRecordsProduced", int64),
    ("ReaderNumWorkUnitsCompleted", int64),
    ("ReaderSerializeState", string),
):
    define(
        _type,
        shape=shape_rules.scalar,
        allowed=STRING,
        result=_result,
        stateful=True,
        inputs="reader_handle",
        type_attrs="-",
    )


def _scalar_state(ctx: ShapeContext) -> Shapes:
    ctx.shapes[1].assert_has_rank(0)
    return ()


define(
    "ReaderRestoreState",
    shape=_scalar_state,
    allowed=STRING,
    result=_nothing,
    stateful=True,
    inputs="reader_handle state",
    type_attrs="- -",
)
define(
    "ReaderReset",
    shape=shape_rules.nothing,
    allowed=STRING,
    result=_nothing,
    stateful=True,
    inputs="reader_handle",
    type_attrs="-",
)
not_differentiable(
    "ReaderRead",
    "ReaderNumRecordsProduced",
    "ReaderNumWorkUnitsCompleted",
    "ReaderSerializeState",
    "ReaderRestoreState",
    "ReaderReset",
)


class ReaderBase:
    """What makes records, pairs of a key and a value, of units of work, such as file names, that it takes from a queue.

    The session keeps how far it came. Threads may run its operations at once.
    """

    def __init__(self, reader_ref: Tensor, supports_serialize: bool = False) -> None:
        """A reader that `reader_ref` refers to. `supports_serialize`: whether `serialize_state` works."""
        self._reader_ref, self._supports_serialize = reader_ref, supports_serialize

    @property
    def reader_ref(self) -> Tensor:
        """The reference to the reader, as operations on it take it."""
        return self._reader_ref

    @property
    def supports_serialize(self) -> bool:
        """Whether the state can be saved and restored."""
        return self._supports_serialize

    def read(self, queue: QueueBase | Tensor, name: str | None = None) -> tuple[Tensor, Tensor]:
        """The next record: its key and its value, string scalars.

        Where the present unit of work is done, the reader takes the next one from `queue`, a queue of strings (or its
        reference), and waits for it. When run: OutOfRangeError if the queue is closed and empty; what goes wrong with a
        file.
        """
        queue_ref = queue.queue_ref if isinstance(queue, QueueBase) else queue
        key, value = apply_list("ReaderRead", [self._reader_ref, queue_ref], name=name)
        return key, value

    def num_records_produced(self, name: str | None = None) -> Tensor:
        """How many records it has given: an int64 scalar."""
        return apply("ReaderNumRecordsProduced", [self._reader_ref], name=name)

    def num_work_units_completed(self, name: str | None = None) -> Tensor:
        """How many units of work it is through with: an int64 scalar."""
        return apply("ReaderNumWorkUnitsCompleted", [self._reader_ref], name=name)

    def serialize_state(self, name: str | None = None) -> Tensor:
        """The reader's state, for `restore_state`: a string scalar.

        UnimplementedError when run, unless `supports_serialize`.
        """
        return apply("ReaderSerializeState", [self._reader_ref], name=name)

    def restore_state(self, state: Any, name: str | None = None) -> Operation:
        """An operation that brings the reader back to a state that `serialize_state` gave: a string scalar.

        When run: InvalidArgumentError for what is no state of such a reader, UnimplementedError unless
        `supports_serialize`.
        """
        return make_operation("ReaderRestoreState", [self._reader_ref, state], name=name)

    def reset(self, name: str | None = None) -> Operation:
        """An operation that brings the reader back to its initial state."""
        return make_operation("ReaderReset", [self._reader_ref], name=name)


class WholeFileReader(ReaderBase):
    """Reads files whole: the key is the file's name, the value its content."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(_reader("WholeFileReader", {}, name), supports_serialize=True)


class TextLineReader(ReaderBase):
    """Reads files line by line: the key is `file:line`, from 1, and the value the line without what ends it."""

    def __init__(self, skip_header_lines: int | None = None, name: str | None = None) -> None:
        """`skip_header_lines`: how many lines at the beginning of each file are left out (by default none)."""
        super().__init__(_reader("TextLineReader", {"skip_header_lines": int(skip_header_lines or 0)}, name))


class FixedLengthRecordReader(ReaderBase):
    """Reads pieces of files, all of one length: the key is `file:piece`, from 0."""

    def __init__(
        self,
        record_bytes: int,
        header_bytes: int | None = None,
        footer_bytes: int | None = None,
        name: str | None = None,
    ) -> None:
        """Adds a reader to the default graph.

        Args:
            record_bytes: the length of a record.
            header_bytes: how many bytes to leave out at the beginning of each file (by default none).
            footer_bytes: how many to leave out at the end (by default none).
            name: the operation's name.

        Raises:
            ValueError: a negative number, or no `record_bytes`. When it reads, DataLossError for a file that holds no
            whole number of records.
        """
        sizes = {"record": int(record_bytes), "header": int(header_bytes or 0), "footer": int(footer_bytes or 0)}
        for what, size in sizes.items():
            if size < (what == "record"):
                raise ValueError(f"{what}_bytes must be {'positive' if what == 'record' else '>= 0'}, not {size}.")
        attrs = {f"{what}_bytes": size for what, size in sizes.items()}
        super().__init__(_reader("FixedLengthRecordReader", attrs, name))


class TFRecordReader(ReaderBase):
    """Reads the records of TFRecord files, as `tf.python_io.TFRecordWriter` writes them. Keys are `file:offset`."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(_reader("TFRecordReader", {}, name))


class IdentityReader(ReaderBase):
    """Gives each unit of work itself, as the key and as the value."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(_reader("IdentityReader", {}, name), supports_serialize=True)


def _reader(op_type: str, attrs: dict[str, Any], name: str | None) -> Tensor:
    return apply(op_type, [], {"container": "", "shared_name": "", **attrs}, name)
