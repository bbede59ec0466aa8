"""Running: sessions, plans bound to memory, caches, threads. Start at `session`.

session, signature, plans   what a run asks for, and the plan that serves it
feeds, fetches              arrays in, arrays out
bound_plan, executor        a plan on its memory: one native call (with instance, layout, buffers, native)
segmented_run, host_steps   runs that the host takes part in (with region_steps)
variables_store, pool       what outlives a run: variables' memory; threads
kernel_cache, plan_cache    what outlives the process (with loader, kernels, plan_file)
aot, compiled_plan          plans compiled ahead of time
run_errors, trace, doctor   what users are told
cuda/                       the same on NVIDIA's GPUs
"""
