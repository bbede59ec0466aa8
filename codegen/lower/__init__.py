"""How each op type is computed, one module a family; importing this package registers them all, and the kernel templates."""

from flowc.codegen import kernels
from flowc.codegen.lower import arrays, elementwise, matmul, nn, random, reductions, state, training

__all__ = ["arrays", "elementwise", "kernels", "matmul", "nn", "random", "reductions", "state", "training"]
