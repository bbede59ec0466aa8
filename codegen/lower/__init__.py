"""How each op type is computed, one module a family.

Importing this package registers all of them, and the kernel templates that they call.
"""

from flowc.codegen import kernels
from flowc.codegen.lower import arrays, elementwise, matmul, nn, random, reductions, state, training

__all__ = ["arrays", "elementwise", "kernels", "matmul", "nn", "random", "reductions", "state", "training"]
