"""Kernel source → relocatable object code: flowc's own front end, LLVM's optimiser and code generator.

    lower_to_ir     source → LLVM IR text, in Python
    ir_to_object    LLVM IR text → object code, in LLVM, without the GIL
    emit_object     both;  emit_objects: both for many kernels, on all processors

An object exports one C function and refers only to libc, libm and LLVM's run-time routines. The same source and target
make the same bytes.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from . import unlocked_llvm
from .target import Target, host_target

SIGNATURE = re.compile(r"(void|i64)\(((?:i64(?:,i64)*)?)\)")
VOID_KERNEL = "void(i64,i64,i64)"


def lower_to_ir(source: str, name: str, signature: str = VOID_KERNEL) -> str:
    """LLVM IR of the function `name`, the one that `source` defines, with the C type `signature`: int64s in, nothing
    or an int64 out. Raises DialectError for source outside the dialect."""
    from . import arithmetic, intrinsics, system, tiles, vector_math  # noqa: F401  they define the names
    from .dialect import I64, VOID, DialectError
    from .lowering import Lowering

    matched = SIGNATURE.fullmatch(signature.replace(" ", ""))
    if matched is None:
        raise DialectError(f"{name}: {signature!r} is no signature of int64s")
    function = parsed(source, name)
    if len(function.args.args) != len(matched[2].split(",") if matched[2] else []):
        raise DialectError(f"{name} has {len(function.args.args)} parameters, its signature is {signature}")
    return Lowering(function, VOID if matched[1] == "void" else I64).run()


def parsed(source: str, name: str) -> ast.FunctionDef:
    """The function's syntax tree. What stands before it, numbers with a name, becomes its first statements."""
    from .dialect import DialectError

    *named, function = ast.parse(source).body
    if not isinstance(function, ast.FunctionDef) or function.name != name:
        raise DialectError(f"{name} is not what the source defines")
    function.body[:0] = named
    return function


def ir_to_object(text: str, target: Target) -> bytes:
    """Optimise `text` and generate object code for `target`. Only LLVM runs here: Python threads go on."""
    module, _, machine = optimised_module(text, target)
    return unlocked_llvm.emit_object(machine, module)


def ir_to_assembly(text: str, target: Target) -> str:
    """What `ir_to_object` makes, as assembly to read."""
    module, _, machine = optimised_module(text, target)
    return str(machine.emit_assembly(module))


def optimised_module(text: str, target: Target) -> tuple[Any, Any, Any]:
    machine = target_machine(target)
    text = specialised(text, target)
    context = llvm.create_context()
    module = llvm.parse_assembly(text, context)
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization, options.loop_unrolling, options.slp_vectorization = True, True, False
    builder = llvm.create_pass_builder(machine, options)
    passes = builder.getModulePassManager()
    unlocked_llvm.run_passes(passes, module, builder)
    return module, context, machine


def specialised(text: str, target: Target) -> str:
    """`text` with what depends on the target filled in."""
    attributes = f'"target-cpu"="{target.cpu}" "target-features"="{target.features}" "prefer-vector-width"="512"'
    return text.replace("ATTRIBUTES", attributes).replace("MASKED_LOOPS", "true" if target.has_masks else "false")


def target_machine(target: Target) -> Any:
    initialise()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small"
    )


@cache
def initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()  # for cpu_pause


def emit_object(source: str, name: str, signature: str = VOID_KERNEL, target: Target | None = None) -> bytes:
    """Object code of one kernel; `target` defaults to the host."""
    return ir_to_object(lower_to_ir(source, name, signature), target or host_target())


def emit_objects(
    kernels: Iterable[tuple[str, str] | tuple[str, str, str]], target: Target | None = None
) -> list[bytes]:
    """Object code of kernels (source, name, signature): LLVM works in a thread a processor while Python lowers more of
    them, the longest first, so that no thread is left with one at the end."""
    target, ordered = target or host_target(), list(kernels)
    threads = max(1, min(len(ordered), len(os.sched_getaffinity(0))))
    longest_first = sorted(range(len(ordered)), key=lambda i: -len(ordered[i][0]))
    with ThreadPoolExecutor(threads, thread_name_prefix="flowc-compile") as workers:
        jobs = {i: workers.submit(ir_to_object, lower_to_ir(*ordered[i]), target) for i in longest_first}
        return [jobs[i].result() for i in range(len(ordered))]
