"""Plans as bytes: for the cache on disk, and for files that another process loads (`flowc.compile(...).save`).

    prefix    magic, format version, size of the header, size of all, SHA-256 of everything but itself
    header    JSON: specs, kernels' sources, labels, …, and where each blob lies
    blobs     arrays and object code, little-endian, each at a multiple of 64 bytes

Nothing of a file is used before its digest was compared. The digest tells damage, not forgery: a plan file holds
machine code, so it deserves the same trust as a program. Nothing here is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from flowc.codegen.cpu.target import Target
from flowc.codegen.plan import (
    ENTRY_WIDTH,
    Column,
    ErrorSite,
    FetchSpec,
    Kernel,
    Plan,
    Runtime,
    Space,
    TensorSpec,
    VariableSpec,
)
from flowc.framework.errors import DataLossError
from flowc.runtime.buffers import ALIGNMENT, address_of, aligned_bytes

Array = npt.NDArray[Any]

FORMAT_VERSION: Final = 2  # to be raised when Plan, this layout or what kernels expect of their caller changes
_MAGIC: Final = b"flowcpln"
_PREFIX: Final = struct.Struct("<8sIIQ32s")  # magic, version, header's size, total size, digest
_DIGEST: Final = 32

_ROWS: Final[dict[str, type[Any]]] = {
    "feeds": TensorSpec,
    "fetches": FetchSpec,
    "variables": VariableSpec,
    "kernels": Kernel,
    "errors": ErrorSite,
}
_ARRAYS: Final = ("entries", "words", "relocations")
_PLAIN: Final = tuple(f.name for f in fields(Plan) if f.name not in {*_ROWS, *_ARRAYS, "constants"})


@dataclass(frozen=True)
class PlanFile:
    """A plan and what may travel with it.

    target: what `objects` were compiled for.
    objects: object code by content name, see `flowc.runtime.compiled_plan.content_name`.
    variables: values by the variables' names.
    feed_values: the values that the plan is for, by the names of the feeds that shapes depend on.
    extra: more JSON data, for whoever wrote the file.
    """

    plan: Plan
    target: Target | None = None
    objects: Mapping[str, bytes] = field(default_factory=dict)
    variables: Mapping[str, Array] = field(default_factory=dict)
    feed_values: Mapping[str, Array] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def encode(file: PlanFile) -> bytes:
    """The file's content."""
    blobs = _Blobs()
    plan = file.plan
    header = {
        "plan": {name: getattr(plan, name) for name in _PLAIN}
        | {name: [_row(item) for item in getattr(plan, name)] for name in _ROWS}
        | {name: blobs.add(getattr(plan, name)) for name in _ARRAYS}
        | {"constants": [blobs.add(constant) for constant in plan.constants]},
        "target": None if file.target is None else _row(file.target),
        "objects": {name: blobs.add(np.frombuffer(code, np.uint8)) for name, code in file.objects.items()},
        "variables": {name: blobs.add(value) for name, value in file.variables.items()},
        "feed_values": {name: blobs.add(value) for name, value in file.feed_values.items()},
        "extra": file.extra,
        "blobs": blobs.table,
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    start = _aligned(_PREFIX.size + len(text))
    total = start + blobs.size
    padding = bytes(start - _PREFIX.size - len(text))
    rest = b"".join((text, padding, *blobs.parts))
    prefix = _PREFIX.pack(_MAGIC, FORMAT_VERSION, len(text), total, bytes(_DIGEST))[:-_DIGEST]
    return prefix + hashlib.sha256(prefix + rest).digest() + rest


def decode(content: bytes | bytearray | Array, name: str = "the plan") -> PlanFile:
    """What `encode` made. Raises DataLossError, with `name` in it, for content that is damaged or of another version.

    Arrays are read-only views of `content`, or of one copy if that is not aligned.
    """
    raw = np.frombuffer(content, np.uint8)
    header_size = _check(raw, name)
    if address_of(raw) % ALIGNMENT:
        copy = aligned_bytes(len(raw))
        copy[:] = raw
        raw = copy
    try:
        header = json.loads(raw[_PREFIX.size : _PREFIX.size + header_size].tobytes())
        result = _from_header(header, raw[_aligned(_PREFIX.size + header_size) :])
        _verify(result.plan)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        _refuse(name, f"its content makes no sense ({type(error).__name__}: {error}), so another program wrote it")
    return result


def write_plan_file(path: str | os.PathLike[str], file: PlanFile) -> None:
    """Writes a file that is there as a whole or not at all."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}")
    try:
        temporary.write_bytes(encode(file))
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_plan_file(path: str | os.PathLike[str]) -> PlanFile:
    """The file's content. Raises OSError if it cannot be read, DataLossError if it is not as it was written."""
    with open(path, "rb") as file:
        content = aligned_bytes(os.fstat(file.fileno()).st_size)
        size = file.readinto(content.data)
    return decode(content[:size], os.fspath(path))


# -- writing -----------------------------------------------------------------------------------------------------------


class _Blobs:
    """Arrays, laid out one after another; `table` says what each is: [dtype, shape, offset, bytes]."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.table: list[list[Any]] = []
        self.size = 0

    def add(self, array: Array) -> int:
        """The array's number."""
        kind, data = ("string", _packed_strings(array)) if array.dtype.hasobject else _plain_bytes(array)
        self.table.append([kind, list(array.shape), self.size, len(data)])
        padding = bytes(_aligned(len(data)) - len(data))
        self.parts += data, padding
        self.size += len(data) + len(padding)
        return len(self.table) - 1


def _plain_bytes(array: Array) -> tuple[str, bytes]:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little.dtype.str, little.tobytes()


def _packed_strings(array: Array) -> bytes:
    """The lengths of the elements, int64, then their bytes."""
    items = array.reshape(-1).tolist()
    return np.array([len(item) for item in items], "<i8").tobytes() + b"".join(items)


def _row(item: Any) -> list[Any]:
    return [getattr(item, f.name) for f in fields(item)]


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


# -- reading -----------------------------------------------------------------------------------------------------------


def _check(raw: Array, name: str) -> int:
    """The header's size, after making sure that the content is whole."""
    if len(raw) < _PREFIX.size:
        _refuse(name, f"it is truncated ({len(raw)} bytes)")
    magic, version, header_size, total, digest = _PREFIX.unpack_from(raw.data)
    if magic != _MAGIC:
        _refuse(name, "it is not a flowc plan, or its first bytes are damaged")
    if version != FORMAT_VERSION:
        _refuse(name, f"its format is version {version} and this flowc reads version {FORMAT_VERSION}")
    if total != len(raw):
        what = "it is truncated" if len(raw) < total else "something was appended to it"
        _refuse(name, f"{what} ({len(raw)} bytes, and it was written with {total})")
    checksum = hashlib.sha256(raw[: _PREFIX.size - _DIGEST].data)
    checksum.update(raw[_PREFIX.size :].data)
    if checksum.digest() != digest:
        _refuse(name, "its checksum does not match, so bytes of it have changed")
    return int(header_size)


def _refuse(name: str, why: str) -> NoReturn:
    message = f"{name} cannot be used: {why}. Nothing of it was run. Copy it again, or compile and save it anew."
    raise DataLossError(None, None, message) from None


def _from_header(header: Mapping[str, Any], raw: Array) -> PlanFile:
    blobs = [_array(raw, *entry) for entry in header["blobs"]]
    parts = header["plan"]
    values = {name: _tuples(parts[name]) for name in _PLAIN}
    values |= {name: tuple(_rows(cls, parts[name])) for name, cls in _ROWS.items()}
    values |= {name: blobs[parts[name]] for name in _ARRAYS}
    values["constants"] = tuple(blobs[number] for number in parts["constants"])
    return PlanFile(
        Plan(**values),
        None if header["target"] is None else Target(*header["target"]),
        {name: blobs[number].tobytes() for name, number in header["objects"].items()},
        {name: blobs[number] for name, number in header["variables"].items()},
        {name: blobs[number] for name, number in header["feed_values"].items()},
        header["extra"],
    )


def _array(raw: Array, kind: str, shape: Sequence[int], offset: int, size: int) -> Array:
    if offset < 0 or size < 0 or offset + size > len(raw):
        raise ValueError("an array lies outside of it")
    data = raw[offset : offset + size]
    array = _unpacked_strings(data.tobytes(), shape) if kind == "string" else _plain(data, kind, shape)
    array.flags.writeable = False
    return array


def _plain(data: Array, kind: str, shape: Sequence[int]) -> Array:
    dtype = np.dtype(kind)
    if dtype.kind not in "biufc":
        raise ValueError(f"it has an array of {kind}")
    return data.view(dtype).reshape(shape)


def _unpacked_strings(data: bytes, shape: Sequence[int]) -> Array:
    array = np.empty(shape, object)
    position = 8 * array.size
    lengths = np.frombuffer(data, "<i8", array.size)
    for index, length in enumerate(lengths.tolist()):
        array.reshape(-1)[index] = data[position : position + length]
        position += length
    if position != len(data) or (lengths < 0).any():
        raise ValueError("an array of strings does not fill its place")
    return array


def _rows(cls: type[Any], rows: Iterable[Sequence[Any]]) -> Iterable[Any]:
    return (cls(*map(_tuples, row)) for row in rows)


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    return tuple(value) if isinstance(value, list) else value


def _verify(plan: Plan) -> None:
    """Raises ValueError unless indices are in range, so that binding the plan touches nothing but its own memory."""
    entries, relocations = plan.entries, plan.relocations
    if entries.shape[1:] != (ENTRY_WIDTH,) or relocations.shape[1:] != (3,) or plan.words.ndim != 1:
        raise ValueError("the tape has another form")
    if {entries.dtype, relocations.dtype, plan.words.dtype} != {np.dtype(np.int64)}:
        raise ValueError("the tape is not of int64")
    _in_range("a launch's kernel", entries[:, Column.KERNEL], len(plan.kernels))
    _in_range("a launch's arguments", entries[:, Column.ARGS], len(plan.words) + 1)
    _in_range("a relocation", relocations[:, 0], len(plan.words))
    _in_range("a relocation's space", relocations[:, 1], len(Space))
    counts = {
        Space.CONSTANT: len(plan.constants),
        Space.VARIABLE: len(plan.variables),
        Space.FEED: len(plan.feeds),
        Space.FETCH: len(plan.fetches),
        Space.STATE: plan.state_words,
        Space.SYMBOL: len(plan.symbols),
        Space.STACK: plan.stacks,
        Space.RUNTIME: len(Runtime),
    }
    for space, count in counts.items():
        _in_range(f"a relocation to a {space.name}", relocations[relocations[:, 1] == space, 2], count)
    rows = relocations[relocations[:, 1] == Space.TAPE, 0]
    _in_range("a row", plan.words[rows], len(entries) + 1)
    _in_range("the rows of regions", np.array([plan.region_rows]), len(entries) + 1)
    sources = {"constant": len(plan.constants), "feed": len(plan.feeds), "kernel": 1}
    if plan.arena_size < 0 or not all(0 <= fetch.index < sources[fetch.source] for fetch in plan.fetches):
        raise ValueError("the arena or a fetch is out of range")


def _in_range(what: str, numbers: Array, count: int) -> None:
    if ((numbers < 0) | (numbers >= count)).any():
        raise ValueError(f"{what} is out of range")
