"""`tf.app`: a program's `main`, and its flags."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from flowc import flags as flags

__all__ = ["flags", "run"]


def run(main: Callable[[Sequence[str]], Any] | None = None) -> NoReturn:
    """Reads the flags, runs `main(sys.argv)`, and ends the program with what it returns as the exit code.

    `main`: by default the function of that name in the program's main module.
    """
    flags.FLAGS._parse_flags()
    function = sys.modules["__main__"].main if main is None else main
    sys.exit(function(sys.argv))
