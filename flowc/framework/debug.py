"""`$FLOWC_DEBUG`: how much flowc says of what it does, on stderr.

0 nothing; 1 devices, and each run's plan with the reason if it had to be made; 2 also time and GB/s of each kernel of
each run; 3 also the results of the compiler's passes; 4 also the generated source.
"""

from __future__ import annotations

import os
import sys


def debug_level() -> int:
    """The level that `$FLOWC_DEBUG` asks for now. Raises ValueError unless it is a number from 0 to 4."""
    text = os.environ.get("FLOWC_DEBUG", "") or "0"
    if text not in ("0", "1", "2", "3", "4"):
        raise ValueError(f"FLOWC_DEBUG must be a number from 0 to 4, not {text!r}")
    return int(text)


def say(message: str) -> None:
    """Prints one line for whoever debugs."""
    print(f"flowc: {message}", file=sys.stderr)
