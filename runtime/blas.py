"""What plans that call the BLAS share: addresses of its functions, and the guard of its threads.

The pool splits a matrix multiplication over its own threads, each calling the BLAS for a part. So the BLAS must not
start threads of its own meanwhile: flowc_run sets it to one thread when the first such run begins and restores what
was set when the last ends. The guard block holds the count and what to restore.
"""

from __future__ import annotations

import math
import os
from functools import cache

from flowc.codegen.plan import Plan
from flowc.runtime import native, symbols
from flowc.runtime.buffers import Words, address_of, aligned_words, immortalise
from flowc.runtime.layout import Blas

_MOST_BYTES_LP64 = 1 << 31  # below, no size or stride of a matrix exceeds a 32-bit integer


def symbol_address(plan: Plan, name: str) -> int:
    """Address of the library function `name` for `plan`. Raises SymbolError if there is none that can serve it."""
    address = symbols.resolve(name)
    library = symbols.blas_library()
    if library.integer_bits == 32 and _largest(plan) > _MOST_BYTES_LP64:
        raise symbols.SymbolError(
            f"this NumPy's BLAS ({library.path}) takes 32-bit integers, too small for an array of {_largest(plan)} "
            "bytes: install NumPy from its wheel (pip install --force numpy), whose OpenBLAS takes 64-bit ones"
        )
    return address


def guard_address() -> int:
    """Address of the guard block; 0 where the BLAS is not OpenBLAS, whose number of threads cannot be set."""
    words = _guard()
    return 0 if words is None else address_of(words)


def _largest(plan: Plan) -> int:
    """Bytes of the plan's largest array at most: 16 an element where the dtype does not say."""
    tensors = [math.prod(spec.shape) * 16 for spec in (*plan.feeds, *plan.fetches, *plan.variables)]
    return max([plan.arena_size, *(constant.nbytes for constant in plan.constants), *tensors])


@cache
def _guard() -> Words | None:
    functions = symbols.blas_library().threads_functions()
    if functions is None:
        return None
    words = aligned_words(Blas.SIZE)
    words[Blas.GET], words[Blas.SET] = functions
    immortalise(words)
    os.register_at_fork(after_in_child=lambda: _restore(words))
    return words


def _restore(words: Words) -> None:
    """In a forked child: runs of the parent's other threads are not here and will never end."""
    words[Blas.LOCK] = 0
    if words[Blas.RUNS]:
        words[Blas.RUNS] = 0
        native.call(int(words[Blas.SET]), int(words[Blas.SAVED]))
