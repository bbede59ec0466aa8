"""Which line of the user's made an operation: frames of flowc itself are left out."""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType
from typing import NamedTuple

_TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PACKAGE_ROOTS = tuple(os.path.join(_TREE, part) + os.sep for part in ("flowc", "codegen", "runtime"))
_is_library: dict[CodeType, bool] = {}
_MAX_FRAMES = 6


class Line(NamedTuple):
    """A line of source: file, number, and the function it is in."""

    filename: str
    lineno: int
    function: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.lineno}"


def _in_library(code: CodeType) -> bool:
    known = _is_library.get(code)
    if known is None:
        name = os.path.abspath(code.co_filename)
        known = _is_library[code] = name.startswith(_PACKAGE_ROOTS) and f"{os.sep}models{os.sep}" not in name
    return known


def user_lines() -> tuple[tuple[CodeType, int], ...]:
    """The innermost of the user's lines on the stack now, innermost first, in the cheap form that operations keep."""
    frame: FrameType | None = sys._getframe(1)
    lines: list[tuple[CodeType, int]] = []
    while frame is not None and len(lines) < _MAX_FRAMES:
        code = frame.f_code
        if not _in_library(code):
            lines.append((code, frame.f_lineno))
        frame = frame.f_back
    return tuple(lines)


def describe(lines: tuple[tuple[CodeType, int], ...]) -> list[Line]:
    """Kept lines as readable ones."""
    return [Line(code.co_filename, lineno, code.co_name) for code, lineno in lines]


def user_line() -> Line | None:
    """The user's line that is running now, or None if only flowc is on the stack."""
    lines = user_lines()
    return describe(lines)[0] if lines else None
