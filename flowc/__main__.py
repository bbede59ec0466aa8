"""The command line: `python -m flowc doctor`, `python -m flowc cache info|clear`.

A command is one function that adds its parser and one that runs it; what a command needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 1 when the command says what is wrong, or 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m flowc", description="flowc, a compiler for dataflow graphs.")
    commands: Commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add_command in (_add_doctor, _add_cache):
        add_command(commands)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


def _add_doctor(commands: Commands) -> None:
    command = commands.add_parser("doctor", help="say what flowc finds on this machine, and what is wrong with it")
    command.set_defaults(run=_doctor)


def _doctor(options: Any) -> int:
    from flowc.runtime import doctor

    findings = doctor.examine()
    print(doctor.report(findings))
    return 1 if any(finding.problem for finding in findings) else 0


def _add_cache(commands: Commands) -> None:
    command = commands.add_parser("cache", help="look after the kernels and plans kept on disk")
    command.add_argument("action", choices=("info", "clear"), help="how much there is, or delete all of it")
    command.set_defaults(run=_cache)


def _cache(options: Any) -> int:
    from flowc.runtime.doctor import stores
    from flowc.runtime.kernel_cache import cache_folder

    print(f"cache folder: {cache_folder()}")
    problems = False
    for blobs in stores():
        info = blobs.info()
        if info.problem:
            problems = True
            state = f"not used: {info.problem}"
        elif options.action == "clear":
            state = f"{blobs.clear()} entries deleted"
        else:
            state = f"{info.entries} entries, {info.bytes / 1e6:.2f} MB"
        print(f"  {blobs.folder.name}: {state}")
    return int(problems)


if __name__ == "__main__":
    sys.exit(main())
