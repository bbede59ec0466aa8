"""`tf.logging`: messages of a program, by Python's `logging` under the name "flowc"."""

from __future__ import annotations

import logging as _logging
import sys
from typing import Any

DEBUG, INFO, WARN, ERROR, FATAL = _logging.DEBUG, _logging.INFO, _logging.WARNING, _logging.ERROR, _logging.CRITICAL

_logger = _logging.getLogger("flowc")
_logger.setLevel(WARN)


def _written(level: int, message: Any, *args: Any) -> None:
    """Writes a message to the handlers that the program set up, or else to the standard error."""
    if not _logger.hasHandlers():
        handler = _logging.StreamHandler(sys.stderr)
        handler.setFormatter(_logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
        _logger.addHandler(handler)
    _logger.log(level, message, *args)


def debug(msg: Any, *args: Any) -> None:
    """Logs a message, formatted with % and `args`, for those who look for a mistake."""
    _written(DEBUG, msg, *args)


def info(msg: Any, *args: Any) -> None:
    """Logs that something went as expected."""
    _written(INFO, msg, *args)


def warn(msg: Any, *args: Any) -> None:
    """Logs something that may not be meant."""
    _written(WARN, msg, *args)


def error(msg: Any, *args: Any) -> None:
    """Logs a failure."""
    _written(ERROR, msg, *args)


def fatal(msg: Any, *args: Any) -> None:
    """Logs a failure that the program does not survive; it does not end the program."""
    _written(FATAL, msg, *args)


def log(level: int, msg: Any, *args: Any) -> None:
    """Logs a message of any level."""
    _written(level, msg, *args)


def set_verbosity(level: int) -> None:
    """Messages below this level are not written; at first WARN."""
    _logger.setLevel(level)


def get_verbosity() -> int:
    """The level below which messages are not written."""
    return _logger.getEffectiveLevel()


warning = warn
