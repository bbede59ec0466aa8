"""Kernel source → LLVM IR → PTX → cubin: the CPU's front end, LLVM's NVPTX back end, and NVIDIA's assembler.

The front end is the CPU's: the same source gives the same LLVM IR, of a function of units lo … hi-1. Here it becomes
part of a kernel that every thread runs: `kernel(args, units)`, where `args` is the argument block's device address.

    emit_ptx         source → PTX
    assemble_ptx     PTX → cubin and what the assembler says of it: registers, spills, shared memory
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import llvmlite.binding as llvm

from flowc.codegen.cpu.compiler import lower_to_ir
from flowc.codegen.cuda.device_math import LIBRARY, definition
from flowc.codegen.cuda.geometry import is_shared_out
from flowc.codegen.cuda.target import TRIPLE, Assembler, CudaTarget, assembler
from flowc.codegen.plan import Kernel
from flowc.framework.errors import InternalError, UnimplementedError

_HEAD: Final = re.compile(r"^define void @(\w+)\(([^)]*)\) #0 \{", re.MULTILINE)
_TO_POINTER: Final = re.compile(r"^  (%v\d+) = inttoptr i64 (\S+) to ptr$", re.MULTILINE)
_TO_ADDRESS: Final = re.compile(r"^  (%v\d+) = ptrtoint ptr ", re.MULTILINE)
_REMAINDER: Final = re.compile(r"= frem (float|double) ([^,]+), (\S+)$", re.MULTILINE)
_CALLED: Final = re.compile(r"^declare \S+ @(\w+)\(", re.MULTILINE)
_CALLS: Final = re.compile(r"\b(call_\w+|syscall6|futex_\w+|cpu_pause|flush_denormals)\(")
_VECTOR_HINT: Final = '!"llvm.loop.vectorize.predicate.enable", i1 MASKED_LOOPS'
_REPORT: Final = {
    "registers": re.compile(r"Used (\d+) registers"),
    "spill_stores": re.compile(r"(\d+) bytes spill stores"),
    "spill_loads": re.compile(r"(\d+) bytes spill loads"),
    "stack": re.compile(r"(\d+) bytes stack frame"),
    "shared": re.compile(r"(\d+) bytes smem"),
}

# every thread takes units that lie a grid's width apart
_UNIT_LOOP: Final = """
define ptx_kernel void @{name}(i64 %args, i64 %units) #0 {{
entry:
  %thread = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %block = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %threads = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %blocks = call i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
  %thread.wide = zext i32 %thread to i64
  %block.wide = zext i32 %block to i64
  %threads.wide = zext i32 %threads to i64
  %blocks.wide = zext i32 %blocks to i64
  %before = mul nuw nsw i64 %block.wide, %threads.wide
  %first = add nuw nsw i64 %before, %thread.wide
  %width = mul nuw nsw i64 %blocks.wide, %threads.wide
  %any = icmp slt i64 %first, %units
  br i1 %any, label %loop, label %done
loop:
  %unit = phi i64 [ %first, %entry ], [ %next, %loop ]
  %end = add nuw nsw i64 %unit, 1
  call void @{name}.units(i64 %args, i64 %unit, i64 %end)
  %next = add nuw nsw i64 %unit, %width
  %more = icmp slt i64 %next, %units
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""
_SHARED_OUT: Final = """
define ptx_kernel void @{name}(i64 %args, i64 %units) #0 {{
  call void @{name}.units(i64 %args, i64 0, i64 %units)
  ret void
}}
"""
_REGISTERS: Final = "".join(
    f"declare i32 @llvm.nvvm.read.ptx.sreg.{name}.x()\n" for name in ("tid", "ctaid", "ntid", "nctaid")
)


@dataclass(frozen=True)
class Report:
    """What the assembler says of a kernel: registers a thread, and bytes of the rest."""

    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int


def emit_ptx(kernel: Kernel, target: CudaTarget) -> str:
    """PTX of a kernel. Raises UnimplementedError for one that calls what only the host has, DialectError for source
    outside the dialect."""
    from flowc.codegen.cuda import intrinsics  # noqa: F401  it defines the names

    host_call = _CALLS.search(kernel.source)
    if host_call is not None:
        raise UnimplementedError(
            None, None, f"Kernel {kernel.name} uses {host_call[1]}, which no GPU has. Run its operation on /cpu:0."
        )
    text, used = device_ir(lower_to_ir(kernel.source, kernel.name), kernel)
    return ir_to_ptx(text, target, [definition(name) for name in sorted(used)])


def device_ir(text: str, kernel: Kernel) -> tuple[str, set[str]]:
    """The LLVM IR of the CPU's front end as a kernel of this target, and the names it calls of `device_math`."""
    text = _HEAD.sub(r"define internal void @\1.units(\2) #1 {", text)
    text = _in_global_memory(text)
    text, used = _with_remainders(text)
    text = text.replace(_VECTOR_HINT, '!"llvm.loop.vectorize.enable", i1 false')
    used |= set(_CALLED.findall(text)) & LIBRARY
    text = re.sub(r"^declare i32 @llvm\.nvvm\.read\.ptx\.sreg[^\n]*\n", "", text, flags=re.MULTILINE)
    entry = (_SHARED_OUT if is_shared_out(kernel.source) else _UNIT_LOOP).format(name=kernel.name)
    attributes = 'attributes #1 = { alwaysinline nounwind "no-trapping-math"="true" ATTRIBUTES }\n'
    return text + entry + _REGISTERS + attributes, used


def _with_remainders(text: str) -> tuple[str, set[str]]:
    """Remainders of floats as calls of fmod, since LLVM's own for this target are not exact."""
    used: dict[str, str] = {}

    def called(found: re.Match[str]) -> str:
        kind, x, y = found.groups()
        name = "fmod" if kind == "double" else "fmodf"
        used[name] = f"declare {kind} @{name}({kind}, {kind})\n"
        return f"= call {kind} @{name}({kind} {x}, {kind} {y})"

    return _REMAINDER.sub(called, text) + "".join(used.values()), set(used)


def _in_global_memory(text: str) -> str:
    """Addresses of argument blocks point to global memory, which LLVM cannot know; those of stack slots do not."""
    local = set(_TO_ADDRESS.findall(text))

    def spelled(found: re.Match[str]) -> str:
        name, address = found.groups()
        if address in local:
            return found[0]
        space = "ptr addrspace(1)"
        return f"  {name}.g = inttoptr i64 {address} to {space}\n  {name} = addrspacecast {space} {name}.g to ptr"

    return _TO_POINTER.sub(spelled, text)


def ir_to_ptx(text: str, target: CudaTarget, library: Sequence[str] = ()) -> str:
    """Optimises LLVM IR, linked with functions of `library`, and generates PTX. Only LLVM runs here."""
    machine = _target_machine(target)
    attributes = f'"target-cpu"="{target.architecture}" "target-features"="{target.features}"'
    context = llvm.create_context()
    module = llvm.parse_assembly(text.replace("ATTRIBUTES", attributes), context)
    module.triple, module.data_layout = TRIPLE, str(machine.target_data)
    for source in library:
        _link(module, llvm.parse_assembly(source.replace("ATTRIBUTES", attributes), context))
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization, options.loop_unrolling, options.slp_vectorization = False, True, False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return str(machine.emit_assembly(module))


def _link(module: Any, other: Any) -> None:
    """Takes the functions of `other` into `module`, to itself."""
    names = [function.name for function in other.functions if not function.is_declaration]
    other.triple, other.data_layout = module.triple, module.data_layout
    module.link_in(other)
    for name in names:
        with suppress(NameError):  # LLVM renames functions that only their module sees
            module.get_function(name).linkage = "internal"


def _target_machine(target: CudaTarget) -> Any:
    _initialise()
    return llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu=target.architecture, features=target.features, opt=2, reloc="default", codemodel="default"
    )


@cache
def _initialise() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def assemble_ptx(ptx: str, target: CudaTarget, tool: Assembler | None = None) -> tuple[bytes, Report]:
    """The cubin of PTX, and the assembler's report. Raises FileNotFoundError where no assembler is."""
    tool = tool or assembler()
    if tool is None:
        raise FileNotFoundError("ptxas is not installed: install the CUDA toolkit, or name it in $FLOWC_PTXAS")
    with tempfile.TemporaryDirectory(prefix="flowc-") as folder:
        source, output = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        command = [tool.path, "-v", "-O3", f"-arch={target.architecture}", str(source), "-o", str(output)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise InternalError(None, None, f"ptxas {tool.version} refuses a kernel: {done.stderr.strip()[:500]}")
        return output.read_bytes(), _read_report(done.stderr + done.stdout)


def _read_report(text: str) -> Report:
    found = {name: pattern.search(text) for name, pattern in _REPORT.items()}
    return Report(**{name: int(match[1]) if match else 0 for name, match in found.items()})
