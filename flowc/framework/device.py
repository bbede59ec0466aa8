"""Device names: `/job:worker/replica:0/task:1/gpu:2`, any part of which may be missing, and how scopes merge them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

_PART: Final = re.compile(r"(job|replica|task|device|cpu|gpu):(.+)", re.IGNORECASE)


@dataclass(frozen=True)
class DeviceSpec:
    """A device name, taken apart. None: not said."""

    job: str | None = None
    replica: int | None = None
    task: int | None = None
    kind: str | None = None  # "CPU", "GPU"
    index: int | None = None

    def merged_into(self, outer: DeviceSpec) -> DeviceSpec:
        """`outer`, with what this inner name says put in place of what it says."""
        said: dict[str, Any] = {k: v for k, v in vars(self).items() if v is not None}
        return replace(outer, **said)

    def __str__(self) -> str:
        text = "".join(
            f"/{part}:{value}"
            for part, value in (("job", self.job), ("replica", self.replica), ("task", self.task))
            if value is not None
        )
        if self.kind is not None:
            text += f"/device:{self.kind}:{'*' if self.index is None else self.index}"
        return text


def parse(name: str) -> DeviceSpec:
    """The parts of a device name; ValueError if it is not one."""
    spec = DeviceSpec()
    for part in filter(None, name.split("/")):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(
                f"Unknown attribute: {part!r} in device name {name!r}. A name is like '/cpu:0' or '/gpu:1'."
            )
        spec = _with_part(spec, match[1].lower(), match[2], name)
    return spec


def _with_part(spec: DeviceSpec, key: str, value: str, name: str) -> DeviceSpec:
    if key == "job":
        return replace(spec, job=value)
    if key == "device":
        kind, _, value = value.partition(":")
        key = kind.lower()
    if value not in ("*", "") and not value.isdigit():
        raise ValueError(f"{value!r} is not a number in device name {name!r}.")
    number = int(value) if value.isdigit() else None
    if key not in ("replica", "task") and spec.kind not in (None, key.upper()):
        raise ValueError(f"Cannot specify multiple device types: {name!r}.")
    if key in ("replica", "task"):
        return replace(spec, replica=number) if key == "replica" else replace(spec, task=number)
    return replace(spec, kind=key.upper(), index=number)


def canonical(name: Any) -> str:
    """A device name as operations keep it: `"/device:CPU:0"`; empty for None."""
    return str(parse(name)) if name else ""


def merger(name_or_function: Any) -> Callable[[Any], str] | None:
    """From a `device` scope's argument, a function of an operation that gives its device; None ends outer scopes."""
    if name_or_function is None:
        return None
    if callable(name_or_function):
        return lambda op: name_or_function(op) or ""
    outer = parse(str(name_or_function))
    return lambda op: str(parse(op.device).merged_into(outer))
