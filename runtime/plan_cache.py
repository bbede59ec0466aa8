"""Plans on disk: a second process that runs the same graph skips the compiler's passes, and does not import them.

A plan's key is a hash of all that the compiler looks at: the pruned operations with their attributes, inputs, shapes
and names; fetches, targets and feeds; the target machine; flowc's own sources and the versions of what it builds on.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flowc.codegen.backend import current_target
from flowc.codegen.cpu.target import host_target, package_version
from flowc.codegen.cuda.vendor import vendor
from flowc.codegen.feed_spec import FeedSpec, NeedsFeedValues, VariableShapes
from flowc.codegen.plan import Plan
from flowc.codegen.prune import needed_ops
from flowc.framework.debug import debug_level, say
from flowc.framework.dtypes import DType
from flowc.framework.errors import DataLossError
from flowc.framework.graph import Operation, Tensor
from flowc.framework.shapes import TensorShape
from flowc.runtime.kernel_cache import BlobStore, CacheWarning, content_key, store
from flowc.runtime.plan_file import PlanFile, decode, encode

if TYPE_CHECKING:
    from flowc.codegen.segments import Segment

_PRINTS_PASSES: Final = 3  # the debug level at which users want to see the passes at work
_MOST_BYTES: Final = 64 << 20  # a plan with larger constants takes longer to write and read than to make
_MOST_ENTRIES: Final = 4096
_PUTS_BETWEEN_TRIMS: Final = 256
_NEEDS: Final = b"needs"  # an entry that is no plan: the feeds whose values the compiler asks for
_MARSHAL_BY_VALUE: Final = 2  # the last version that writes no references, which depend on more than the values
_PACKAGES: Final = ("flowc.framework", "flowc.ops", "flowc.codegen")
_IMPORTED: Final = time.time()


def plan_for(
    fetches: Sequence[Tensor],
    targets: Sequence[Operation],
    feeds: Sequence[FeedSpec],
    segment: Segment | None = None,
    variables: VariableShapes | None = None,
) -> Plan:
    """`compile_plan` of the same arguments, from the disk if it is there; what had to be compiled is stored.

    Raises what `compile_plan` raises.
    """
    key = _key_or_none(fetches, targets, feeds, segment, variables or {})
    found = None if key is None or debug_level() >= _PRINTS_PASSES else lookup(key, feeds)
    if found is not None:
        if debug_level() >= 1:
            say("the plan was made by another process, and is on disk")
        return found
    from flowc.codegen.pipeline import compile_plan

    try:
        plan = compile_plan(fetches, targets, feeds, segment, variables)
    except NeedsFeedValues as request:
        if key is not None:
            numbers = [i for i, feed in enumerate(feeds) if feed.tensor in request.tensors]
            _put(key, _NEEDS + np.array(numbers, "<i8").tobytes())
        raise
    if key is not None:
        insert(key, plan)
    return plan


def lookup(key: str, feeds: Sequence[FeedSpec]) -> Plan | None:
    """The plan stored under `key`, or None. Raises NeedsFeedValues if the compiler did, for the same request."""
    blobs = store("plans")
    content = blobs.get(key)
    if content is None:
        return None
    if content.startswith(_NEEDS):
        numbers = np.frombuffer(content, "<i8", offset=len(_NEEDS)).tolist()
        raise NeedsFeedValues([feeds[number].tensor for number in numbers])
    try:
        return decode(content, f"the cached plan {blobs.folder / key}").plan
    except DataLossError as error:
        warnings.warn(f"{error} flowc makes the plan again.", CacheWarning, stacklevel=2)
        return None


def insert(key: str, plan: Plan) -> None:
    """Stores `plan` for other processes, unless its constants are larger than is worth it."""
    if sum(constant.nbytes for constant in plan.constants) <= _MOST_BYTES and not _sources_changed():
        _put(key, encode(PlanFile(plan)))


# -- the key -----------------------------------------------------------------------------------------------------------


class _Opaque(Exception):
    """An attribute has no canonical form, as a Python function has none."""


def _key_or_none(
    fetches: Sequence[Tensor],
    targets: Sequence[Operation],
    feeds: Sequence[FeedSpec],
    segment: Segment | None,
    variables: VariableShapes,
) -> str | None:
    try:
        if segment is not None:
            return plan_key(segment.operations, (), (), feeds, segment, variables)
        ops = needed_ops(fetches, targets, {feed.tensor for feed in feeds})
        return plan_key(ops, fetches, targets, feeds, variables=variables)
    except _Opaque:
        return None


def plan_key(
    ops: Sequence[Operation],
    fetches: Sequence[Tensor],
    targets: Sequence[Operation],
    feeds: Sequence[FeedSpec],
    segment: Segment | None = None,
    variables: VariableShapes | None = None,
) -> str:
    """The key of the plan of the pruned operations `ops`, or of a `segment` of them: the same in every process.

    Operations are told apart by their place in `ops`, and their names are part of the key: the plan keeps them, for
    messages and for what variables and random numbers a session shares between plans.
    """
    numbers = {op: number for number, op in enumerate(ops)}
    if segment is not None:  # what the run is fed, which this segment need not be, has no number among `ops`
        for tensor in (tensor for op in ops for tensor in op._inputs):
            numbers.setdefault(tensor._op, len(numbers))
    fed = {feed.tensor: -1 - number for number, feed in enumerate(feeds)}
    description = [
        [_operation(op, numbers, fed) for op in ops],
        [_tensor(tensor, numbers, fed) for tensor in fetches],
        [numbers[op] for op in targets],
        [(f.tensor.name, f.tensor._dtype._enum, f.shape, None if f.value is None else _array(f.value)) for f in feeds],
        () if segment is None else segment.describe(numbers),
        sorted((variables or {}).items()),
    ]
    try:
        data = marshal.dumps(description, _MARSHAL_BY_VALUE)
    except ValueError:
        raise _Opaque("a name or number of a type of the user's own") from None
    target = host_target()
    made_for = current_target() if current_target() == "cpu" else f"{current_target()} {vendor()}"
    return content_key(data, made_for, target.triple, target.cpu, target.features, compiler_fingerprint())


def _operation(op: Operation, numbers: Mapping[Operation, int], fed: Mapping[Tensor, int]) -> tuple[Any, ...]:
    """One operation as plain data. Written out, since there may be tens of thousands."""
    attrs = op._attrs
    return (
        op._type,
        op._name,
        op._device,
        [(fed[t],) if t in fed else (numbers[t._op], t._value_index) for t in op._inputs],
        [numbers[control] for control in op._control_inputs],
        [(t._dtype._enum, t._shape.tuple) for t in op._outputs],
        [(name, _attribute(attrs[name])) for name in sorted(attrs)] if attrs else (),
    )


def _tensor(tensor: Tensor, numbers: Mapping[Operation, int], fed: Mapping[Tensor, int]) -> tuple[Any, ...]:
    return (tensor.name, fed[tensor]) if tensor in fed else (numbers[tensor._op], tensor._value_index)


def _attribute(value: Any) -> Any:
    convert = _CANONICAL.get(type(value))
    if convert is not None:
        return convert(value)
    if isinstance(value, np.generic):
        return _array(np.asarray(value))
    raise _Opaque(type(value).__name__)


def _array(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    if array.dtype.hasobject:
        return "strings", array.shape, array.reshape(-1).tolist()
    data = np.ascontiguousarray(array)
    small = data.nbytes <= 64
    return data.dtype.str, array.shape, data.tobytes() if small else hashlib.sha256(data.data).digest()


def _itself(value: Any) -> Any:
    return value


_CANONICAL: Final[dict[type, Callable[[Any], Any]]] = {
    **dict.fromkeys((bool, int, float, complex, str, bytes, type(None)), _itself),
    DType: lambda dtype: ("dtype", dtype._enum),
    TensorShape: lambda shape: ("shape", shape.tuple),
    np.ndarray: _array,
    list: lambda items: [_attribute(item) for item in items],
    tuple: lambda items: [_attribute(item) for item in items],
}


@cache
def compiler_fingerprint() -> str:
    """A hash of everything but the graph and the target that decides what a plan is: sources and versions."""
    digest = hashlib.sha256()
    for name, path in _sources():
        digest.update(name.encode() + b"\0" + path.read_bytes())
    for package in ("numpy", "llvmlite"):
        digest.update(f"{package} {package_version(package)}\n".encode())
    return digest.hexdigest()


@cache
def _sources() -> list[tuple[str, Path]]:
    """The files that turn graphs into plans, with names that do not depend on where flowc is installed."""
    specs = (find_spec(package) for package in _PACKAGES)
    folders = (Path(place) for spec in specs if spec is not None for place in spec.submodule_search_locations or ())
    return [(str(path.relative_to(folder)), path) for folder in folders for path in sorted(folder.rglob("*.py"))]


def _sources_changed() -> bool:
    """Whether somebody edits flowc while it runs: the files are then not what this process imported."""
    return any(_IMPORTED < path.stat().st_mtime <= time.time() for _, path in _sources())


# -- the folder --------------------------------------------------------------------------------------------------------

_puts = 0


def _put(key: str, content: bytes) -> None:
    global _puts
    blobs = store("plans")
    if _puts % _PUTS_BETWEEN_TRIMS == _PUTS_BETWEEN_TRIMS - 1:
        _trim(blobs)
    _puts += 1
    blobs.put(key, content)


def _trim(blobs: BlobStore) -> None:
    """Deletes the oldest half if there are too many: shapes that never repeat must not fill the disk."""
    if blobs.info().entries <= _MOST_ENTRIES:
        return
    with os.scandir(blobs.folder) as files:
        by_age = sorted(files, key=lambda file: file.stat(follow_symlinks=False).st_mtime_ns)
    for file in by_age[: len(by_age) // 2]:
        Path(file.path).unlink(missing_ok=True)
