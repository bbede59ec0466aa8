"""The command line: `python -m flowc doctor`, `cache info|clear`, `compile script.py:build -o FILE`, `show FILE`.

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
    for add_command in (_add_doctor, _add_cache, _add_compile, _add_show):
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


def _add_compile(commands: Commands) -> None:
    command = commands.add_parser("compile", help="compile a plan ahead of time, for flowc.load_plan")
    command.add_argument(
        "script",
        metavar="SCRIPT.py:FUNCTION",
        help="a function that builds a graph and returns (fetches, feeds), (fetches, feeds, init), or a dict with "
        "these keys and perhaps 'session'. feeds: see flowc.compile. init: an operation that gives the variables the "
        "values to save; without it and a session, the file holds their names only",
    )
    command.add_argument("-o", "--output", metavar="FILE", required=True, help="the file to write, model.flowc say")
    command.set_defaults(run=_compile)


def _compile(options: Any) -> int:
    from flowc.runtime.commands import CommandError, compile_script

    try:
        print(compile_script(options.script, options.output))
    except CommandError as error:
        print(f"flowc compile: {error}", file=sys.stderr)
        return 1
    return 0


def _add_show(commands: Commands) -> None:
    command = commands.add_parser("show", help="tell what a compiled plan does, without running it")
    command.add_argument("file", metavar="FILE")
    command.add_argument("--source", action="store_true", help="also print the kernels' sources")
    command.set_defaults(run=_show)


def _show(options: Any) -> int:
    from flowc.framework.errors import DataLossError
    from flowc.runtime.commands import describe_file

    try:
        print(describe_file(options.file, options.source))
    except (OSError, DataLossError) as error:
        print(f"flowc show: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
