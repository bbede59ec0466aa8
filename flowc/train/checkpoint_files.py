"""Checkpoints as files: tensors by name in the safetensors format, which other programs read, too.

What the format has no type for is stored as one that it has, and the header's metadata say what it stands for:
complex128 as float64 with a last axis of 2, strings as their bytes in a row. The metadata hold a checksum of each
tensor (CRC-32 of its stored bytes, 8 hexadecimal digits, in the order of the names), for the format itself has none.
"""

from __future__ import annotations

import glob
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from flowc.framework import errors
from flowc.framework.dtypes import DType, as_dtype
from flowc.framework.file_errors import file_errors
from flowc.train.atomic_files import remove_unfinished, replaced
from flowc.train.streamed_writes import streamed

__all__ = ["CheckpointReader", "TensorInfo", "matching_files", "write_checkpoint"]

Array = npt.NDArray[Any]

_FORMAT: Final = "1"
_CHECKSUMS: Final = "flowc.checksums"
_DIGITS: Final = 8
_TYPES: Final = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "I32": "int32", "I64": "int64",
    "F16": "float16", "F32": "float32", "F64": "float64", "C64": "complex64",
}  # fmt: skip
_CODES: Final = {name: code for code, name in _TYPES.items()}


@dataclass(frozen=True)
class TensorInfo:
    """What a checkpoint says of a tensor without reading it."""

    dtype: DType
    shape: tuple[int, ...]
    stored: str  # the format's name of the type it is stored as
    checksum: str = ""  # files of other programs have none
    lengths: tuple[int, ...] = ()  # of strings, in bytes


# -- writing -----------------------------------------------------------------------------------------------------------


def write_checkpoint(path: str, tensors: Mapping[str, Array]) -> None:
    """Writes arrays (strings: object arrays of bytes) to a file, which is there whole or not at all.

    What is written is the arrays' own memory, if they are contiguous: nobody may change it meanwhile.

    Raises NotFoundError if the folder does not exist, PermissionDeniedError, ResourceExhaustedError on a full disk.
    """
    stored = {name: _stored(tensors[name]) for name in sorted(tensors)}
    about = json.dumps({name: _about(tensors[name]) for name in stored}, separators=(",", ":"))
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise errors.NotFoundError(None, None, f"Parent directory of {path} doesn't exist, can't save.")
    with file_errors(path):
        remove_unfinished(folder)
        with replaced(path) as unfinished, unfinished.open("r+b", buffering=0) as file:
            _write(file.fileno(), stored, {"format": "flowc", "version": _FORMAT, "tensors": about})


def _stored(value: Array) -> Array:
    """The array that is written: little-endian and contiguous, of a type that the format has."""
    if value.dtype.kind == "O":
        return np.frombuffer(b"".join(value.reshape(-1).tolist()), np.uint8)
    array = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(value.shape)
    return array.view(np.float64).reshape(*value.shape, 2) if array.dtype == np.complex128 else array


def _about(value: Array) -> dict[str, Any]:
    """What the format does not say of a tensor."""
    if value.dtype.kind == "O":
        return {"dtype": "string", "shape": value.shape, "lengths": [len(s) for s in value.reshape(-1)]}
    return {"dtype": "complex128"} if value.dtype == np.complex128 else {}


def _checksum(array: Array) -> str:
    return f"{zlib.crc32(array.reshape(-1).view(np.uint8).data):0{_DIGITS}x}"


def _checksums(arrays: Iterable[Array]) -> str:
    return "".join(map(_checksum, arrays))


def _write(descriptor: int, stored: Mapping[str, Array], metadata: dict[str, str]) -> None:
    """The disk does not wait for the checksums: the header, of a size that is known, is written when they are there."""
    from concurrent.futures import ThreadPoolExecutor

    # The format aligns tensors by having those with the largest elements first.
    placed = dict(sorted(stored.items(), key=lambda item: (-item[1].itemsize, item[0])))
    with ThreadPoolExecutor(1) as pool:
        checksums = pool.submit(_checksums, stored.values())
        os.lseek(descriptor, len(_header(placed, metadata, "-" * _DIGITS * len(stored))), os.SEEK_SET)
        with streamed(descriptor) as write:
            for array in placed.values():
                write(array)
        header = _header(placed, metadata, checksums.result())
    os.lseek(descriptor, 0, os.SEEK_SET)
    with streamed(descriptor) as write:
        write(np.frombuffer(header, np.uint8))


def _header(placed: Mapping[str, Array], metadata: dict[str, str], checksums: str) -> bytes:
    """What comes before the tensors: a size, and where each of them is."""
    entries: dict[str, Any] = {"__metadata__": {**metadata, _CHECKSUMS: checksums}}
    end = 0
    for name, array in placed.items():
        start, end = end, end + array.nbytes
        entries[name] = {"dtype": _CODES[array.dtype.name], "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


# -- reading -----------------------------------------------------------------------------------------------------------


def matching_files(pattern: str) -> list[str]:
    """The file of that name, or else the files that match it as a shell pattern, sorted; [] if there is none."""
    return [pattern] if os.path.isfile(pattern) else sorted(filter(os.path.isfile, glob.glob(pattern)))


class CheckpointReader:
    """The tensors of a checkpoint: of one file, or of all files that match a pattern such as `model-?????-of-00002`.

    Each file is opened once, so that what is read of it is of one and the same checkpoint.

    Raises NotFoundError if there is no file, DataLossError if one is no checkpoint or is damaged.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        paths = matching_files(pattern)
        if not paths:
            message = f"Failed to find any matching files for {pattern}{_advice(pattern)}"
            raise errors.NotFoundError(None, None, message)
        self._files = {path: _open(path) for path in paths}
        self._where: dict[str, tuple[str, TensorInfo]] = {}
        for path, file in self._files.items():
            self._where.update((name, (path, info)) for name, info in _contents(path, file).items())

    def tensors(self) -> dict[str, TensorInfo]:
        """What is known of each tensor, by name."""
        return {name: info for name, (_, info) in self._where.items()}

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """The tensors' shapes by name."""
        return {name: list(info.shape) for name, (_, info) in self._where.items()}

    def has_tensor(self, name: str) -> bool:
        """Whether the checkpoint holds a tensor of that name."""
        return name in self._where

    def info(self, name: str) -> TensorInfo:
        """What is known of a tensor; NotFoundError if the checkpoint has none of that name."""
        return self._found(name)[1]

    def get_tensor(self, name: str) -> Array:
        """A tensor's value, after comparing its checksum.

        Raises NotFoundError if the checkpoint has none of that name, DataLossError if it is damaged.
        """
        path, info = self._found(name)
        try:
            array: Array = self._files[path].get_tensor(name)
        except Exception as error:
            _refuse_damaged(path, f"{name!r} cannot be read ({error})")
        if info.checksum and _checksum(array) != info.checksum:
            _refuse_damaged(path, f"the checksum of {name!r} is wrong")
        return _restored(array, info, path)

    def _found(self, name: str) -> tuple[str, TensorInfo]:
        if name not in self._where:
            message = f'Tensor name "{name}" not found in checkpoint files {self._pattern}'
            raise errors.NotFoundError(None, None, f"{message}, which hold {_listed(list(self._where))}.")
        return self._where[name]


def _advice(path: str) -> str:
    """What may have been meant by a path at which there is no checkpoint."""
    folder = path if os.path.isdir(path) else os.path.dirname(path) or "."
    near = [name for name in matching_files(f"{glob.escape(path)}-*") if name.rpartition("-")[2].isdigit()]
    if near:
        return f": did you mean {_listed(near)}? tf.train.latest_checkpoint({folder!r}) gives the newest."
    if os.path.isdir(path):
        return f", which is a folder: tf.train.latest_checkpoint({folder!r}) gives the newest checkpoint in it."
    return ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names)[:8])
    return f"{shown}, … ({len(names)} in all)" if len(names) > 8 else shown or "no tensors"


def _open(path: str) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        with file_errors(path):
            return safe_open(path, framework="np")
    except SafetensorError as error:
        _refuse_damaged(path, str(error))


def _contents(path: str, file: Any) -> dict[str, TensorInfo]:
    metadata = file.metadata() or {}
    own = metadata.get("format") == "flowc"
    version = metadata.get("version", "")
    if own and not version.isdecimal():
        _refuse_damaged(path, "its header does not say its format's version")
    if own and version != _FORMAT:
        message = f"{path} is of format {version}, and this flowc reads format {_FORMAT}: update it."
        raise errors.FailedPreconditionError(None, None, message)
    try:
        about = json.loads(metadata["tensors"]) if own else {}
        found = {}
        for index, name in enumerate(sorted(file.keys())):
            checksum = metadata.get(_CHECKSUMS, "")[_DIGITS * index : _DIGITS * (index + 1)]
            found[name] = _info(file.get_slice(name), about.get(name, {}), checksum)
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _refuse_damaged(path, f"its header makes no sense ({type(error).__name__}: {error})")


def _info(part: Any, about: Mapping[str, Any], checksum: str) -> TensorInfo:
    stored, shape = part.get_dtype(), tuple(part.get_shape())
    kind = about.get("dtype")
    if kind == "string":
        return TensorInfo(as_dtype(kind), tuple(about["shape"]), stored, checksum, tuple(about["lengths"]))
    if kind == "complex128":
        shape = shape[:-1]
    return TensorInfo(as_dtype(kind or _TYPES[stored]), shape, stored, checksum)


def _restored(array: Array, info: TensorInfo, path: str) -> Array:
    """The tensor that a stored array stands for."""
    if info.dtype.name == "complex128":
        return array.view(np.complex128).reshape(info.shape)
    if info.dtype.name != "string":
        return array
    ends = np.cumsum(info.lengths, dtype=np.int64)
    if len(array) != (ends[-1] if len(ends) else 0) or len(ends) != np.prod(info.shape, dtype=np.int64):
        _refuse_damaged(path, "the lengths of its strings do not fit")
    content = array.tobytes()
    result = np.empty(len(ends), np.object_)
    result[:] = [content[end - n : end] for end, n in zip(ends, info.lengths, strict=True)]
    return result.reshape(info.shape)


def _refuse_damaged(path: str | Path, reason: str) -> NoReturn:
    message = f"{path} is damaged, or no checkpoint: {reason}. Restore an earlier one."
    raise errors.DataLossError(None, None, message) from None
