"""The compiler: from a graph, and what a run wants of it, to a plan. Start at `pipeline`, which lists the passes.

ir, program, templates      what passes work on: expressions over arrays, and calls of hand-written kernels
prune, specialise           a run's operations with its shapes, lowered (with folding, states, refusals)
segments                    where the host must act: which operations can be compiled together
rewrite, fuse, schedule     which expressions share a kernel, and in what order kernels run (with groups)
memory, assemble            places in the arena; kernels and their arguments (with nest, stages, values)
plan                        what comes out: plain data
backend                     which target a plan is for
explain, debug              what was done, in words

lower/      one function an op: its expressions         reference/  one function an op: its meaning, in NumPy
kernels/    hand-written kernels                        host/       ops that run on the host
regions/    loops and conditionals                      render/     loop nests as source
cpu/        the dialect of kernels, and LLVM            cuda/       the same for NVIDIA's GPUs
"""
