"""Programs that random graphs once failed on, as small as they were shrunk to."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fuzz.check import check
from tests.fuzz.program import Api, Array, Program, Ref, Step


def ramp(*shape: int) -> Array:
    return np.linspace(-1.0, 2.0, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def program(steps: list[Step], *fetches: str, **feeds: Array) -> Program:
    """The steps, behind placeholders for the feeds; fetches by name, `"t[0]"` for an element of a list."""
    made = [Step(n, "placeholder", (Api(str(v.dtype)), list(v.shape))) for n, v in feeds.items()]
    refs = [Ref(f.removesuffix("[0]"), 0 if f.endswith("]") else None) for f in fetches]
    return Program((*made, *steps), tuple(refs), tuple((Ref(n), v) for n, v in feeds.items()))


X, A, B, C = Ref("x"), Ref("a"), Ref("b"), Ref("c")

FOUND = {
    "a stashed value was read after its place was written": program(
        [
            Step("p", "pow", (X, 3.0)),
            Step("m", "reduce_mean", (Ref("p"), 1, True)),
            Step("a", "sub", (Ref("p"), Ref("m"))),
            Step("b", "reduce_mean", (A, 1, True)),
            Step("d", "add", (B, 0.1)),
            Step("c", "mul", (A, Ref("d"))),
        ],
        "a",
        "c",
        x=ramp(3, 5),
    ),
    "merged groups read a reversed member in order": program(
        [
            Step("a", "mul", (X, 0.5)),
            Step("b", "reverse", (A, [True, False])),
            Step("c", "maximum", (B, ramp(1, 4))),
            Step("d", "mul", (A, C)),
        ],
        "d",
        x=ramp(3, 4),
    ),
    "a reduction of a view of a member": program(
        [Step("a", "floor", (X,)), Step("b", "unpack", (A,)), Step("c", "nn.softmax", (Ref("b", 0),))],
        "c",
        x=ramp(1, 3, 4),
    ),
    "a blocked reduction beside elementwise results": program(
        [Step("a", "add", (X, 1)), Step("b", "reduce_mean", (X,))],
        "a",
        "b",
        x=np.arange(100_003, dtype=np.int32) % 7,
    ),
    "the cost of casts and comparisons in a row kernel": program(
        [Step("a", "reduce_prod", (X, 1)), Step("b", "gradients", (A, [X]))], "b[0]", x=ramp(2, 3)
    ),
    "a concatenation of nothing": program([Step("a", "concat", (2, [X, X]))], "a", x=ramp(0, 1, 1)),
    "the mean of small ints that add up to more": program(
        [Step("a", "reduce_mean", (X,))], "a", x=np.full(400, 200, np.uint8)
    ),
    "the gradient of a scalar that meets a matrix of one element": program(
        [Step("a", "reduce_sum", (Ref("y"),)), Step("b", "mul", (X, A)), Step("c", "gradients", (B, [A]))],
        "c[0]",
        x=ramp(1, 1),
        y=ramp(3),
    ),
    "the second gradient of a slice": program(
        [
            Step("a", "slice", (X, [1], [2])),
            Step("q", "square", (A,)),
            Step("b", "gradients", (Ref("q"), [X])),
            Step("c", "gradients", (Ref("b", 0), [X])),
        ],
        "c[0]",
        x=ramp(4),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_found_programs_agree_with_the_reference(name: str) -> None:
    assert check(FOUND[name]) is None
