"""Python's operators on tensors: arithmetic, comparisons, logic, and parts by `[…]`.

`==` compares identity, as in the 0.6 API, so that tensors can be keys of a feed: use `tf.equal`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowc.framework.graph import Tensor
from flowc.framework.overloads import Overloads
from flowc.ops import arithmetic_ops, logic_ops, math_ops, matmul_ops
from flowc.ops.indexing import get_item

__all__: list[str] = []


def _overload(symbol: str, function: Callable[..., Tensor], name: str) -> None:
    """`tensor <symbol> value` and `value <symbol> tensor` call `function`; the operation is called `name`."""

    def forward(x: Any, y: Any) -> Tensor:
        return function(x, y, name=name)

    def reverse(y: Any, x: Any) -> Tensor:
        return function(x, y, name=name)

    setattr(Overloads, f"__{symbol}__", forward)
    setattr(Overloads, f"__r{symbol}__", reverse)


_overload("add", arithmetic_ops.add, "add")
_overload("sub", arithmetic_ops.sub, "sub")
_overload("mul", arithmetic_ops.mul, "mul")
_overload("truediv", arithmetic_ops.truediv, "truediv")
_overload("floordiv", arithmetic_ops.floordiv, "floordiv")
_overload("mod", arithmetic_ops.mod, "mod")
_overload("pow", arithmetic_ops.pow, "pow")
_overload("matmul", matmul_ops.matmul, "matmul")
_overload("and", logic_ops.logical_and, "and")
_overload("or", logic_ops.logical_or, "or")
_overload("xor", logic_ops.logical_xor, "xor")

for _symbol, _function in {
    "lt": logic_ops.less,  # Python turns `value < tensor` into `tensor > value`
    "le": logic_ops.less_equal,
    "gt": logic_ops.greater,
    "ge": logic_ops.greater_equal,
    "neg": math_ops.neg,
    "invert": logic_ops.logical_not,
    "abs": math_ops.abs,
    "getitem": get_item,
}.items():
    setattr(Overloads, f"__{_symbol}__", _function)
