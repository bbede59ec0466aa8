"""`tf.app.flags`: the options of a program on its command line.

    tf.app.flags.DEFINE_integer("max_steps", 1000, "how many steps to train")
    FLAGS = tf.app.flags.FLAGS
    …
    for step in range(FLAGS.max_steps):

They are read from `sys.argv` when the first of them is asked for, or by `tf.app.run()`; what is no flag is left alone.
`--help` lists them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

__all__ = ["FLAGS", "DEFINE_bool", "DEFINE_boolean", "DEFINE_float", "DEFINE_integer", "DEFINE_string"]


class FlagValues:
    """The flags' values, as attributes, which a program may set, too. AttributeError for a flag that is not defined."""

    _parser: argparse.ArgumentParser
    _values: dict[str, Any]  # what the command line says, or else the defaults
    _set: dict[str, Any]  # what the program set
    _is_parsed: bool

    def __init__(self) -> None:
        # A flag that is defined again, as when a notebook's cell runs again, is as its last definition says.
        parser = argparse.ArgumentParser(allow_abbrev=False, conflict_handler="resolve")
        self.__dict__.update(_parser=parser, _values={}, _set={}, _is_parsed=False)

    def _define(self, name: str, default: Any, docstring: str, **how: Any) -> None:
        self._parser.add_argument(f"--{name}", default=default, help=docstring.replace("%", "%%"), **how)
        self.__dict__["_is_parsed"] = False
        self._set.pop(name.replace("-", "_"), None)

    def _parse_flags(self, args: Sequence[str] | None = None) -> list[str]:
        """Reads the flags of `args`, by default the command line's; what is none of them.

        Bad values end the program, with a message.
        """
        found, rest = self._parser.parse_known_args(args)
        self.__dict__.update(_values=vars(found), _is_parsed=True)
        return rest

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self._is_parsed:
            self._parse_flags()
        for values in (self._set, self._values):
            if name in values:
                return values[name]
        raise AttributeError(f"There is no flag {name!r}: define it with tf.app.flags.DEFINE_…")

    def __setattr__(self, name: str, value: Any) -> None:
        self._set[name] = value

    def __dir__(self) -> list[str]:
        if not self._is_parsed:
            self._parse_flags()
        return sorted(self._values | self._set)


FLAGS = FlagValues()


def DEFINE_string(flag_name: str, default_value: str | None, docstring: str) -> None:
    """Defines a flag whose value is a string."""
    FLAGS._define(flag_name, default_value, docstring, type=str)


def DEFINE_integer(flag_name: str, default_value: int | None, docstring: str) -> None:
    """Defines a flag whose value is an int."""
    FLAGS._define(flag_name, default_value, docstring, type=int)


def DEFINE_float(flag_name: str, default_value: float | None, docstring: str) -> None:
    """Defines a flag whose value is a float."""
    FLAGS._define(flag_name, default_value, docstring, type=float)


def DEFINE_boolean(flag_name: str, default_value: bool | None, docstring: str) -> None:
    """Defines a flag that is True or False: `--name`, `--name=true`, `--noname` or `--name=false`."""
    FLAGS._define(flag_name, default_value, docstring, type=_truth, nargs="?", const=True)
    negation = {"action": "store_false", "dest": flag_name.replace("-", "_"), "help": argparse.SUPPRESS}
    FLAGS._parser.add_argument(f"--no{flag_name}", default=argparse.SUPPRESS, **negation)  # type: ignore[arg-type]


DEFINE_bool = DEFINE_boolean


def _truth(text: str) -> bool:
    if text.lower() in ("true", "t", "1", "yes"):
        return True
    if text.lower() in ("false", "f", "0", "no"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
