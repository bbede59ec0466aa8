"""The CUDA target: the same programs as kernels for NVIDIA GPUs.

    target       compute capabilities, PTX versions, the toolkit's assembler
    intrinsics   what kernels of this target may say beside the dialect: threads, barriers, shuffles, shared memory
    device_math  functions that the C library computes on the CPU, in the dialect
    compiler     kernel source → LLVM IR → PTX → cubin, with the assembler's report
    forms        loop nests as kernels: maps, rows, columns, tiles that are transposed
    vendor       which of NVIDIA's libraries plans may call
    library_words    what their calls say
    libraries    products of matrices and convolutions as calls of cuBLASLt and cuDNN: the rule that chooses them
    gradient_epilogues    gradients that cuBLASLt computes together with a product
    lowering     a plan of this target: which launches change, and what no GPU can run

A kernel has the contract of the CPU's, `kernel(args, lo, hi)` over units of work. Of a kernel that does not say
otherwise, each thread takes units by itself, a grid's width apart; the argument block lies in device memory. A kernel
whose source starts with `# block of N threads` shares its units out itself: it is called once by every thread.
"""
