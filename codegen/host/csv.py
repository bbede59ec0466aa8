"""Records of comma-separated values, as RFC 4180 has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.codegen.host.strings import parser_of
from flowc.framework.dtypes import DType, float32, string
from flowc.framework.errors import InvalidArgumentError


def _invalid(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, message)


def fields_of(record: bytes, delimiter: bytes) -> list[bytes]:
    """The fields of a record, without their quotes. InvalidArgumentError if it is not well formed."""
    if b'"' not in record and b"\n" not in record and b"\r" not in record:
        return record.split(delimiter)
    fields, start = [], 0
    while start <= len(record):
        field, stop = _field(record, start, delimiter)
        fields.append(field)
        start = stop + 1
    return fields


def _field(record: bytes, start: int, delimiter: bytes) -> tuple[bytes, int]:
    """The field that begins at `start`, and where it ends."""
    if record[start : start + 1] == b'"':
        return _quoted(record, start + 1, delimiter)
    stop = record.find(delimiter, start)
    stop = len(record) if stop < 0 else stop
    field = record[start:stop]
    if b'"' in field or b"\n" in field or b"\r" in field:
        raise _invalid("Unquoted fields cannot have quotes/CRLFs inside")
    return field, stop


def _quoted(record: bytes, start: int, delimiter: bytes) -> tuple[bytes, int]:
    """The same for a field whose quote was just passed: a quote inside it is doubled."""
    at = start
    while (quote := record.find(b'"', at)) >= 0:
        following = record[quote + 1 : quote + 2]
        if following in (b"", delimiter):
            return record[start:quote].replace(b'""', b'"'), quote + 1
        if following != b'"':
            break
        at = quote + 2
    raise _invalid("Quoted field has to end with quote followed by delim or end")


def _column(index: int, texts: Sequence[bytes], dtype: DType, default: Array) -> list[Any]:
    """The values of one column: of empty fields, the default."""
    parse = None if dtype is string else parser_of(dtype)
    values = []
    for record, text in enumerate(texts):
        if not text:
            if not default.size:
                raise _invalid(f"Field {index} is required but missing in record {record}!")
            values.append(default.flat[0])
        elif parse is None:
            values.append(text)
        else:
            try:
                values.append(parse(text))
            except ValueError:
                shown = text.decode(errors="replace")
                kind = "float" if dtype is float32 else dtype.name  # as the API's messages call it
                raise _invalid(f"Field {index} in record {record} is not a valid {kind}: {shown}") from None
    return values


@host("DecodeCSV")
def _decode_csv(op: HostOp, records: Array, *defaults: Array) -> list[Array]:
    delimiter = op.attrs.get("field_delim", ",").encode()
    for index, default in enumerate(defaults):
        if default.ndim > 1 or default.size > 1:
            raise _invalid(f"There should only be 1 default per field but field {index} has {default.size}")
    rows = [fields_of(record, delimiter) for record in records.flat]
    for record, row in enumerate(rows):
        if len(row) != len(defaults):
            raise _invalid(f"Expect {len(defaults)} fields but have {len(row)} in record {record}")
    columns = list(zip(*rows, strict=True)) or [()] * len(defaults)
    with np.errstate(over="ignore"):
        return [
            np.array(_column(i, texts, dtype, default), dtype.as_numpy_dtype).reshape(records.shape)
            for i, (texts, dtype, default) in enumerate(zip(columns, op.dtypes, defaults, strict=True))
        ]
