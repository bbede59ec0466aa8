"""Running plans on NVIDIA GPUs.

presence         whether the driver is installed
driver           what the rest asks of a GPU, as an interface
driver_library   the CUDA driver's library, through ctypes: errors, versions, and what is wrong with them
native_driver    GPUs by that library
modules          kernels' code for a device: this process's table, else the cache on disk, else the compiler
residents        variables that live on a device from run to run
session_variables    which of a session's devices has a variable's newest value
dlpack           arrays from and for other libraries: DLPack's capsules
device_arrays    arrays on a device as feeds
device_results   arrays on a device as fetches, and the memory that they have
argument_blocks  what kernels are called with: addresses, which feeds and fetches on a device take the place of
vendor_files     finding NVIDIA's libraries, and what to install
cublaslt         products of matrices by cuBLASLt, through ctypes
cudnn            convolutions by cuDNN, through ctypes
device_memory    a plan's block of memory, and the pinned memory that mirrors it
vendor_libraries    the libraries that there are, and a plan's calls of them
captured_steps   what a plan asks of a device in a run: launched, captured, replayed
exchange         feeds and fetches of a plan's runs, on the host and on the device
cuda_plan        one plan bound to a device: its runs, its variables, and the locks that they take
host_plan        plans of the CPU in a session whose variables may live on a GPU
gpu_plans        a session's plans on GPUs
placement        which device a run's native part takes
"""
