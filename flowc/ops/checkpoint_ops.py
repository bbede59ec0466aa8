"""Checkpoints as operations: tensors to files and back. `tf.train.Saver` builds its graph of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import apply, apply_list, make_operation
from flowc.framework.dtypes import ANY, STRING, DType, int32, string
from flowc.framework.graph import Operation, Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.framework.shapes import TensorShape

# -- names of files ----------------------------------------------------------------------------------------------------

_NUMBER = frozenset((int32,))

define(
    "ShardedFilename",
    shape=shape_rules.scalar,
    allowed=(STRING, _NUMBER, _NUMBER),
    result=string,
    inputs="basename shard num_shards",
    type_attrs="- - -",
)
define(
    "ShardedFilespec",
    shape=shape_rules.scalar,
    allowed=(STRING, _NUMBER),
    result=string,
    inputs="basename num_shards",
    type_attrs="- -",
)


def sharded_filename(basename: Any, shard: Any, num_shards: Any, name: str | None = None) -> Tensor:
    """The name of one file of a checkpoint in several: `basename-00000-of-00002`."""
    return apply("ShardedFilename", [basename, shard, num_shards], name=name)


def sharded_filespec(basename: Any, num_shards: Any, name: str | None = None) -> Tensor:
    """A pattern that matches the files of a checkpoint in several: `basename-?????-of-00002`."""
    return apply("ShardedFilespec", [basename, num_shards], name=name)


# -- saving ------------------------------------------------------------------------------------------------------------

define(
    "Save",
    shape=shape_rules.nothing,
    allowed=(STRING, STRING, ANY),
    result=lambda types, attrs: [],
    stateful=True,
    inputs="filename tensor_names data",
    type_attrs="- - *T",
)


def save(filename: Any, tensor_names: Sequence[str], data: Sequence[Any], name: str | None = None) -> Operation:
    """An operation that writes tensors to a file.

    Args:
        filename: a string scalar.
        tensor_names: what each tensor is called in the file.
        data: the tensors, or references to variables.
        name: the operation's name.

    Raises, when run: NotFoundError for a folder that does not exist, PermissionDeniedError, ResourceExhaustedError on a
    full disk. What the file held before is there until all is written.
    """
    if len(tensor_names) != len(data):
        raise ValueError(f"There are {len(tensor_names)} names for {len(data)} tensors.")
    return make_operation("Save", [filename, list(tensor_names), *data], name=name)


# -- restoring ---------------------------------------------------------------------------------------------------------


def _restored_shapes(c: ShapeContext) -> Shapes:
    specs = c.value(2)
    count = len(c.attrs["dtypes"])
    return [UNKNOWN] * count if specs is None else [_shape_of(spec) for spec in specs.reshape(-1).tolist()]


def _shape_of(spec: bytes) -> TensorShape:
    """The shape that a specification asks for; unknown if it asks for none."""
    return UNKNOWN if not spec else TensorShape([int(size) for size in spec.decode().split()[:-1]])


define(
    "RestoreV2",
    shape=_restored_shapes,
    allowed=STRING,
    result=lambda types, attrs: list(attrs["dtypes"]),
    stateful=True,
    inputs="prefix tensor_names shape_and_slices",
    type_attrs="- - -",
)


def whole(shape: TensorShape) -> str:
    """The specification of all of a tensor of that shape, such as `"784 10 -:-"`; "" where it may have any."""
    sizes = shape.tuple
    if sizes is None or None in sizes:
        return ""
    return " ".join([*map(str, sizes), ":".join("-" * len(sizes)) or "-"])


def restore(
    filename: Any,
    tensor_names: Sequence[str],
    dtypes: Sequence[DType],
    shapes: Sequence[TensorShape],
    name: str | None = None,
) -> list[Tensor]:
    """Tensors of a checkpoint, all of them or an error.

    Args:
        filename: a string scalar: a file, or a pattern that matches the files of one checkpoint.
        tensor_names: what they are called there.
        dtypes: their types.
        shapes: their shapes; where one is not fully known, the tensor may have any.
        name: the operation's name.

    Raises, when run: NotFoundError for a file or a tensor that is not there, InvalidArgumentError for a tensor of
    another type or shape, DataLossError for a damaged file.
    """
    specs = [whole(shape) for shape in shapes]
    return apply_list("RestoreV2", [filename, list(tensor_names), specs], {"dtypes": list(dtypes)}, name)


not_differentiable("ShardedFilename", "ShardedFilespec", "Save", "RestoreV2")
