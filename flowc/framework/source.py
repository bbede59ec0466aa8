"""Which line of the user's made an operation: frames of flowc itself are left out."""

from __future__ import annotations

import linecache
import os
import sys
import warnings
from types import FrameType
from typing import Any, NamedTuple, Protocol

_TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PACKAGE_ROOTS = tuple(os.path.join(_TREE, part) + os.sep for part in ("flowc", "codegen", "runtime"))
_is_library: dict[str, bool] = {}
_MAX_FRAMES = 6

Lines = tuple[Any, ...]  # (code, line number) of each frame, one after the other: many are kept, so they must be small


class Sourced(Protocol):
    """What knows the user's line that made it: an operation."""

    def source_line(self) -> str:
        """That line as `file:line`; empty if there is none."""


class Line(NamedTuple):
    """A line of source: file, number, and the function it is in."""

    filename: str
    lineno: int
    function: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.lineno}"


def _in_library(filename: str) -> bool:
    name = os.path.abspath(filename)
    known = _is_library[filename] = name.startswith(_PACKAGE_ROOTS) and f"{os.sep}models{os.sep}" not in name
    return known


def user_lines() -> Lines:
    """The innermost of the user's lines on the stack now, innermost first, in the cheap form that operations keep."""
    frame: FrameType | None = sys._getframe(1)
    lines: list[Any] = []
    known, room = _is_library, _MAX_FRAMES
    while frame is not None and room:
        code = frame.f_code
        filename = code.co_filename
        if not (known[filename] if filename in known else _in_library(filename)):
            lines += (code, frame.f_lineno)
            room -= 1
        frame = frame.f_back
    return tuple(lines)


def describe(lines: Lines) -> list[Line]:
    """Kept lines as readable ones."""
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return [Line(code.co_filename, lineno, code.co_name) for code, lineno in pairs]


def traceback(lines: Lines) -> list[tuple[str, int, str, str]]:
    """Kept lines as Python's own tracebacks are extracted, outermost first: (file, line, function, text)."""
    return [
        (at.filename, at.lineno, at.function, linecache.getline(at.filename, at.lineno).strip())
        for at in reversed(describe(lines))
    ]


def user_line() -> Line | None:
    """The user's line that is running now, or None if only flowc is on the stack."""
    lines = describe(user_lines())
    return lines[0] if lines else None


def at_user_line() -> str:
    """The end of an error's message that says which of the user's lines is running; empty if none is."""
    line = user_line()
    return f"\n  at {line}" if line else ""


def made_at(op: Sourced) -> str:
    """The end of an error's message that says which of the user's lines made an operation; empty if none did."""
    line = op.source_line()
    return f"\n  made at {line}" if line else ""


def warn_user(message: str, category: type[Warning]) -> None:
    """Warns with the user's line that is running as the place."""
    line = user_line()
    if line is None:
        warnings.warn(message, category, stacklevel=3)
    else:
        warnings.warn_explicit(message, category, line.filename, line.lineno)
