"""Whether this CPU can run code that was compiled for another."""

from __future__ import annotations

import platform
from functools import cache
from typing import Final

from flowc.codegen.cpu.target import Target

# What the levels of the x86-64 psABI add to each other, in LLVM's names: a target may name a level and no features.
_LEVELS: Final = {
    "x86-64": "cx8 cmov fxsr mmx sse sse2",
    "x86-64-v2": "cx16 sahf popcnt sse3 sse4.1 sse4.2 ssse3",
    "x86-64-v3": "avx avx2 bmi bmi2 f16c fma lzcnt movbe",
    "x86-64-v4": "avx512f avx512bw avx512cd avx512dq avx512vl",
}

# What LLVM uses where code asks for it by name, which generated kernels never do: of no account.
_UNUSED: Final = """
    aes cldemote clflushopt clwb clzero crc32 enqcmd fsgsbase fxsr hreset invpcid kl movdir64b movdiri mwaitx pclmul
    pconfig pku prefetchi prfchw ptwrite raoint rdpid rdpru rdrnd rdseed rtm serialize sgx sha sha512 shstk sm3 sm4
    tsxldtrk uintr usermsr vaes vpclmulqdq waitpkg wbnoinvd widekl xsave xsavec xsaveopt xsaves
"""


def missing(target: Target) -> list[str]:
    """What this CPU lacks to run code for `target`: an architecture, a CPU, or features. Empty if it can run it."""
    architecture = target.triple.partition("-")[0]
    if architecture != platform.machine():
        return [f"the architecture {architecture} (this is {platform.machine()})"]
    cpu, features = _host()
    needed = [feature[1:] for feature in target.features.split(",") if feature.startswith("+")]
    if target.cpu in _LEVELS:
        levels = list(_LEVELS)
        needed += " ".join(_LEVELS[level] for level in levels[: levels.index(target.cpu) + 1]).split()
    elif not target.features and target.cpu not in ("generic", cpu):
        return [f"the instruction sets of {target.cpu}, which are not known here"]
    return sorted(set(needed) - features - set(_UNUSED.split()))


@cache
def _host() -> tuple[str, frozenset[str]]:
    """This CPU's name and features, whatever FLOWC_CPU says."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return llvm.get_host_cpu_name(), frozenset(name for name, present in features.items() if present)
