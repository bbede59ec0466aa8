"""The updates that optimizers make, each as one operation that writes a variable and its slots.

With g = grad, and all operations element by element:

    ApplyGradientDescent   var -= alpha·delta
    ApplyMomentum          accum = momentum·accum + g;  var -= lr·accum
    ApplyAdagrad           accum += g²;  var -= lr·g / √accum
    ApplyAdam              m += (1 - beta1)·(g - m);  v += (1 - beta2)·(g² - v)
                           var -= lr·√(1 - beta2_power) / (1 - beta1_power) · m / (√v + epsilon)
    ApplyRMSProp           ms += (1 - rho)·(g² - ms);  mom = momentum·mom + lr·g / √(ms + epsilon);  var -= mom
    ApplyFtrl              n = accum + g²;  linear += g - (n^-lr_power - accum^-lr_power) / lr · var
                           var = 0 where |linear| ≤ l1, else (sign(linear)·l1 - linear) / (n^-lr_power / lr + 2·l2)
                           accum = n

The Sparse… forms do this to row indices[i] of the variable and slots with row i of grad, for i = 0, 1, … in turn.
"""

from __future__ import annotations

from typing import Any, Final

from flowc.framework.building import make_operation
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import INDEX, REAL
from flowc.framework.graph import Operation, Tensor
from flowc.framework.registry import ShapeContext, ShapeRule, define, not_differentiable
from flowc.framework.shapes import TensorShape
from flowc.ops.state_ops import as_reference, check_rows

__all__ = ["update"]

_INPUTS: Final[dict[str, tuple[str, ...]]] = {
    op_type: tuple(names.split())
    for op_type, names in {
        "ApplyGradientDescent": "var alpha delta",
        "ApplyMomentum": "var accum lr grad momentum",
        "ApplyAdagrad": "var accum lr grad",
        "ApplyAdam": "var m v beta1_power beta2_power lr beta1 beta2 epsilon grad",
        "ApplyRMSProp": "var ms mom lr rho momentum epsilon grad",
        "ApplyFtrl": "var accum linear grad lr l1 l2 lr_power",
        "SparseApplyMomentum": "var accum lr grad indices momentum",
        "SparseApplyAdagrad": "var accum lr grad indices",
        "SparseApplyFtrl": "var accum linear grad indices lr l1 l2 lr_power",
    }.items()
}
_WRITTEN: Final = frozenset(("var", "accum", "m", "v", "ms", "mom", "linear"))
_GRADIENTS: Final = frozenset(("grad", "delta"))
_ROWS: Final = frozenset(("grad", "indices"))


def _shape_rule(names: tuple[str, ...]) -> ShapeRule:
    """All inputs have the variable's shape, but for scalars, and in sparse updates the gradient's rows."""
    sparse = "indices" in names

    def rule(c: ShapeContext) -> list[TensorShape]:
        shapes = dict(zip(names, c.shapes, strict=True))
        var = shapes["var"]
        for name, shape in shapes.items():
            if name in _WRITTEN or (name in _GRADIENTS and not sparse):
                var = var.merge_with(shape)
            elif not (sparse and name in _ROWS):
                shape.merge_with(())
        if sparse:
            check_rows(var, shapes["indices"], shapes["grad"])
        return [var]

    return rule


for _type, _names in _INPUTS.items():
    define(
        _type,
        shape=_shape_rule(_names),
        allowed=tuple(INDEX if name == "indices" else REAL for name in _names) if "indices" in _names else REAL,
        result=lambda types, attrs: [types[0].as_ref],
        stateful=True,
        inputs=" ".join(_names),
        type_attrs=" ".join("Tindices" if name == "indices" else "T" for name in _names),
        attrs={"use_locking": False},
    )
    not_differentiable(_type)


def update(op_type: str, *inputs: Any, use_locking: bool = False, name: str | None = None) -> Operation:
    """Makes one of the updates of this module's table.

    Args:
        op_type: its name there.
        inputs: in the order of its definition: the variable and its slots, scalars of the variable's type, the gradient
            in the variable's shape; for sparse updates its rows, and their indices (int32 or int64).
        use_locking: accepted for the API; runs of one session never interleave writes to a variable.
        name: the operation's name.

    Raises:
        TypeError: an input of another type than the variable, or something other than a variable to write to.
        ValueError: shapes that do not fit.
    """
    names = _INPUTS[op_type]
    if len(inputs) != len(names):
        raise TypeError(f"{op_type} takes {len(names)} inputs ({', '.join(names)}), not {len(inputs)}.")
    dtype = as_reference(inputs[0]).dtype.base_dtype
    tensors = []
    for input_name, value in zip(names, inputs, strict=True):
        if input_name in _WRITTEN:
            tensors.append(as_reference(value))
        else:
            free = input_name == "indices" or isinstance(value, Tensor)  # a tensor's type is checked with the others
            tensors.append(convert_to_tensor(value, None if free else dtype))
    return make_operation(op_type, tensors, {"use_locking": use_locking}, name)
