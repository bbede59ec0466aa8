"""What the ops that loops use, and the checks, mean; loops and branches themselves are in `regions`."""

from __future__ import annotations

import numpy as np

from flowc.codegen.reference.arrays import check_indices
from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference


@reference("InplaceUpdate")
def _inplace_update(op: ReferenceOp, x: Array, indices: Array, rows: Array) -> Array:
    check_indices(indices, len(x), "indices")
    result = x.copy()
    for index, row in zip(indices, rows, strict=True):
        result[index] = row
    return result


@reference("CheckNumerics")
def _check_numerics(op: ReferenceOp, x: Array) -> Array:
    found = [word for word, test in (("Inf", np.isinf), ("NaN", np.isnan)) if test(x).any()]
    if found:
        invalid(f"{op.attrs['message']} : Tensor had {' and '.join(found)} values")
    return x


@reference("ControlTrigger")
def _control_trigger(op: ReferenceOp) -> list[Array]:
    return []
