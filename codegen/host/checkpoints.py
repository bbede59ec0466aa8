"""Checkpoints: files of tensors. The format is of `flowc.train.checkpoint_files`."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.dtypes import DType
from flowc.framework.errors import InvalidArgumentError
from flowc.train.checkpoint_files import CheckpointReader, TensorInfo, write_checkpoint


def _text(value: Array) -> str:
    """The file name that a string scalar holds."""
    item: Any = value[()]
    if value.shape or not isinstance(item, bytes):
        raise InvalidArgumentError(None, None, f"A file name is a string scalar, not of shape {list(value.shape)}.")
    return item.decode()


def _scalar_string(text: str) -> Array:
    result = np.empty((), np.object_)
    result[()] = text.encode()
    return result


@host("ShardedFilename")
def sharded_filename(op: HostOp, basename: Array, shard: Array, num_shards: Array) -> Array:
    return _scalar_string(f"{_text(basename)}-{int(shard):05d}-of-{int(num_shards):05d}")


@host("ShardedFilespec")
def sharded_filespec(op: HostOp, basename: Array, num_shards: Array) -> Array:
    return _scalar_string(f"{_text(basename)}-?????-of-{int(num_shards):05d}")


@host("Save", in_place=True)
def save(op: HostOp, filename: Array, tensor_names: Array, *data: Array) -> list[Array]:
    names = [name.decode() for name in tensor_names.reshape(-1).tolist()]
    if len(names) != len(data):
        raise InvalidArgumentError(None, None, f"There are {len(names)} names for {len(data)} tensors.")
    write_checkpoint(_text(filename), dict(zip(names, data, strict=True)))
    return []


@host("RestoreV2")
def restore(op: HostOp, prefix: Array, tensor_names: Array, shape_and_slices: Array) -> list[Array]:
    """Everything is compared with what is asked for before anything is read."""
    pattern = _text(prefix)
    reader = CheckpointReader(pattern)
    names = [name.decode() for name in tensor_names.reshape(-1).tolist()]
    for name, dtype, spec in zip(names, op.dtypes, shape_and_slices.reshape(-1).tolist(), strict=True):
        _check(pattern, name, reader.info(name), dtype, spec.decode())
    return [reader.get_tensor(name) for name in names]


def _check(pattern: str, name: str, info: TensorInfo, dtype: DType, spec: str) -> None:
    if info.dtype is not dtype:
        raise InvalidArgumentError(
            None,
            None,
            f"Expected to restore a tensor of type {dtype.name}, got a tensor of type {info.dtype.name} instead: "
            f"tensor_name = {name} in {pattern}",
        )
    *sizes, slices = spec.split() or [""]
    if set(slices) - {"-", ":"}:
        raise InvalidArgumentError(None, None, f"Only whole tensors are restored, not the slice {spec!r} of {name}.")
    wanted = tuple(map(int, sizes))
    if slices and wanted != info.shape:
        raise InvalidArgumentError(
            None,
            None,
            f"Assign requires shapes of both tensors to match. lhs shape= {list(wanted)} rhs shape= "
            f"{list(info.shape)}: {name} in {pattern}",
        )
