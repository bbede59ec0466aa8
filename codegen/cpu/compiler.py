"""Kernel source → relocatable object code: numba's front end and type inference, LLVM's optimiser and code generator.

    lower_to_ir     source → LLVM IR text, in Python
    ir_to_object    LLVM IR text → object code, in LLVM, without the GIL
    emit_object     both;  emit_objects: both for many kernels, overlapped

An object exports one C function and refers only to libc, libm and LLVM's run-time routines. The same source and target
make the same bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from .numba_front import prepare
from .target import Target, host_target

SIGNATURE = re.compile(r"(void|i64)\(((?:i64(?:,i64)*)?)\)")
VOID_KERNEL = "void(i64,i64,i64)"


def lower_to_ir(source: str, name: str, signature: str = VOID_KERNEL) -> str:
    """LLVM IR of the function `name` that `source` defines, with the C type `signature`: int64s in, nothing or an
    int64 out. Raises DialectError for source outside the dialect."""
    prepare()
    from numba.core import bytecode, errors, types

    from .dialect import DialectError, Inferer, Interpreter, NoWarnings
    from .lowering import Lowering

    matched = SIGNATURE.fullmatch(signature.replace(" ", ""))
    if matched is None:
        raise DialectError(f"{name}: {signature!r} is no signature of int64s")
    identity = bytecode.FunctionIdentity.from_function(python_function(source, name))
    function = Interpreter(identity).interpret(bytecode.ByteCode(identity))
    if function.arg_count != len(matched[2].split(",") if matched[2] else []):
        raise DialectError(f"{name} has {function.arg_count} parameters, its signature is {signature}")
    result = types.none if matched[1] == "void" else types.int64
    inferer = Inferer(typing_context(), function, NoWarnings())
    try:
        typemap, calltypes = inferer.solve(types.int64, result)
    except errors.NumbaError as error:
        location = getattr(error, "loc", None)
        where = f"{name}, line {location.line}" if location else name
        raise DialectError(f"{where}: {str(error).splitlines()[0]}") from error
    return Lowering(function, typemap, calltypes).run(name, result)


def python_function(source: str, name: str) -> Any:
    from . import arithmetic, intrinsics, system, tiles, vector_math  # noqa: F401  they define the names
    from .dialect import NAMESPACE

    namespace: dict[str, Any] = {**NAMESPACE, "INF": math.inf, "NAN": math.nan, "__name__": __name__}
    exec(compile(source, f"<kernel {name}>", "exec"), namespace)
    return namespace[name]


@cache
def typing_context() -> Any:
    from .dialect import TypingContext
    from .intrinsics import BUILTINS, OPERATORS

    return TypingContext(OPERATORS, BUILTINS)


def ir_to_object(text: str, target: Target) -> bytes:
    """Optimise `text` and generate object code for `target`. Only LLVM runs here: Python threads go on."""
    module, _, machine = optimised_module(text, target)
    return bytes(machine.emit_object(module))


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
    passes.run(module, builder)
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
    """Object code of kernels (source, name, signature): LLVM works on one in a thread while Python lowers the next."""
    target = target or host_target()
    with ThreadPoolExecutor(1, thread_name_prefix="flowc-compile") as worker:
        jobs = [worker.submit(ir_to_object, lower_to_ir(*kernel), target) for kernel in kernels]
        return [job.result() for job in jobs]
