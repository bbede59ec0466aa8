"""Hand-written kernels, one file a family: the text of each kernel and the template that makes launches of it.

Importing this package registers all templates with `flowc.codegen.templates`.
"""

from flowc.codegen.kernels import checks, copies, gather, matmul, random, scatter, sparse_updates

__all__ = ["checks", "copies", "gather", "matmul", "random", "scatter", "sparse_updates"]
