"""Running plans on NVIDIA GPUs.

driver           what the rest asks of a GPU, as an interface
native_driver    the same by CUDA's driver API, through ctypes
modules          kernels' code for a device: this process's table, else the cache on disk, else the compiler
residents        variables that live on a device from run to run
session_variables    which of a session's devices has a variable's newest value
device_arrays    arrays on a device as feeds
device_memory    a plan's block of memory, and the pinned memory that mirrors it
cuda_plan        one plan bound to a device: memory, copies, launches, the captured graph
host_plan        plans of the CPU in a session whose variables may live on a GPU
placement        which device a run's native part takes
"""
