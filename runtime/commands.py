"""What `python -m flowc compile` and `python -m flowc show` do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Literal, NamedTuple

from flowc.codegen.explain import format_explanation
from flowc.framework.graph import Graph
from flowc.runtime.aot import compile as compile_plan
from flowc.runtime.compiled_plan import content_name
from flowc.runtime.kernels import as_function
from flowc.runtime.plan_file import PlanFile, read_plan_file
from flowc.runtime.session import Session

_KEYS = ("fetches", "feeds", "init", "session")


class CommandError(Exception):
    """What is wrong with a command's arguments; the message is for the user."""


# -- compile -----------------------------------------------------------------------------------------------------------


class _Built(NamedTuple):
    """What a build function returned."""

    fetches: Any
    feeds: Any = ()
    init: Any = None
    session: Any = None


def compile_script(place: str, output: str) -> str:
    """Runs the function at `place` (`script.py:build`) in a new graph and session, and saves the plan it describes.

    Returns a line that says what was written. Errors of the script itself and of compiling it are raised as they are.
    """
    path, _, name = place.rpartition(":")
    if not path or not name.isidentifier():
        raise CommandError(f"SCRIPT.py:FUNCTION is expected, not {place!r}")
    with Graph().as_default(), Session() as own:
        built = _as_built(_function(Path(path), name)())
        session = built.session or own
        if built.init is not None:
            session.run(built.init)
        plan = compile_plan(built.fetches, built.feeds, session)
        variables: Literal["values", "names"] = "names" if built.init is None and built.session is None else "values"
        plan.save(output, variables)
    held = f", {len(plan.variables)} variables by their {variables}" if plan.variables else ""
    return f"{output}: {plan!r}{held}, {os.path.getsize(output):,} bytes"


def _function(path: Path, name: str) -> Callable[[], Any]:
    """The function `name` of the script, which is imported as a script of its folder would import it."""
    if not path.is_file():
        raise CommandError(f"there is no file {path}")
    sys.path.insert(0, str(path.parent.absolute()))
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise CommandError(f"{path} is no Python script: its name must end with .py")
    module = sys.modules[path.stem] = module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise CommandError(f"{path} has no function {name!r}")
    build: Callable[[], Any] = function
    return build


def _as_built(result: Any) -> _Built:
    if isinstance(result, Mapping) and "fetches" in result and set(result) <= set(_KEYS):
        return _Built(**result)
    if isinstance(result, tuple) and 2 <= len(result) <= 3:
        return _Built(*result)
    raise CommandError(
        "the function must return (fetches, feeds), (fetches, feeds, init), or a dict with the key 'fetches' and any "
        f"of {', '.join(_KEYS[1:])}; it returned {result!r}"
    )


# -- show --------------------------------------------------------------------------------------------------------------


def describe_file(path: str, source: bool = False) -> str:
    """What a plan file holds and what its plan does. Nothing of it is run. Raises OSError and DataLossError."""
    file = read_plan_file(path)
    lines = {name: line for name, (_, line) in file.extra.get("operations", {}).items()}
    return "\n".join([*_contents(path, file), "", format_explanation(file.plan, lines, source)])


def _contents(path: str, file: PlanFile) -> list[str]:
    target = file.target
    stored = sum(value.nbytes for value in file.variables.values())
    result = [
        f"{path}: {os.path.getsize(path):,} bytes",
        f"target   {target.triple}, {target.cpu}" if target is not None else "target   none: no object code",
        f"features {_features(target.features)}" if target is not None and target.features else "",
        f"values   of {len(file.variables)} of {len(file.plan.variables)} variables, {stored:,} bytes",
    ]
    for kernel in file.plan.kernels:
        code = file.objects.get(content_name(as_function(kernel)))
        size = f"{len(code):,} bytes of object code" if code is not None else "no object code"
        result.append(f"kernel   {kernel.name}: {len(kernel.source.splitlines())} lines, {size}")
    return [line for line in result if line]


def _features(flags: str) -> str:
    return " ".join(flag[1:] for flag in flags.split(",") if flag.startswith("+"))
