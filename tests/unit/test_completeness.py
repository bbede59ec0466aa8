"""Nothing is left out: every op type is computed, defined in NumPy, differentiated or not on purpose, and tested."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import flowc  # noqa: F401  # registers the ops
from flowc.codegen.host.registry import host_types
from flowc.codegen.lower.registry import lowered_types
from flowc.codegen.reference import reference_types
from flowc.codegen.reference.regions import HISTORIES
from flowc.framework import registry
from flowc.framework.regions import CONTROL_FLOW

KERNELS = Path(__file__).parents[1] / "kernels"
TYPES = frozenset(registry.op_types())

# What the compiler's passes themselves make of the graph's leaves.
LEAVES = {"Const", "NoOp", "Placeholder", "Variable"}

# Op types that no test of a kernel names, since users meet them through functions: the file, and a use of one there.
BY_FUNCTION = {
    "Placeholder": ("batch.py", "tf.placeholder("),
    "RandomUniform": ("test_random.py", "tf.random_uniform("),
    "RandomStandardNormal": ("test_random.py", "tf.random_normal("),
    "TruncatedNormal": ("test_random.py", "tf.truncated_normal("),
    "RandomShuffle": ("test_random.py", "tf.random_shuffle("),
    "EditDistance": ("test_selections.py", "tf.edit_distance("),
    "ControlTrigger": ("test_control_flow.py", ".control_trigger("),
    **dict.fromkeys(CONTROL_FLOW, ("test_control_flow.py", "tf.while_loop(")),
    **dict.fromkeys(HISTORIES, ("test_control_flow_gradients.py", "tf.while_loop(")),
}

# Differentiable op types that are not compared with finite differences by name, and why that will do.
GRADIENTS_OTHERWISE = {
    "LRNGrad": "says that it has no gradient: test_normalization.py",
    "BatchNormWithGlobalNormalizationGrad": "says that it has no gradient: test_normalization.py",
    **{f"{name}Grad": f'by `twice("{name}", …)`' for name in ("Relu6", "Elu", "Softplus", "Softsign")},
    **dict.fromkeys(CONTROL_FLOW, "by whole loops and conditionals: test_control_flow_gradients.py"),
}


def differentiable() -> set[str]:
    return {t for t in TYPES if registry._gradients.get(t) is not None}


# -- the tree ----------------------------------------------------------------------------------------------------------


def test_every_op_type_is_computed_in_one_way() -> None:
    assert TYPES - lowered_types() - host_types() == LEAVES | CONTROL_FLOW | {"ControlTrigger"}
    assert lowered_types() | host_types() <= TYPES
    assert not lowered_types() & host_types()


def test_every_op_type_has_a_definition_and_no_other() -> None:
    structural = {"Placeholder", "Variable", *CONTROL_FLOW, *HISTORIES}  # which the interpreter knows
    assert TYPES - structural == reference_types()


def test_every_op_type_has_a_gradient_or_says_that_it_has_none() -> None:
    assert not [t for t in TYPES if not registry.has_gradient_entry(t)]


# -- the tests ---------------------------------------------------------------------------------------------------------


@cache
def words_of(path: Path) -> frozenset[str]:
    """The words in a file's string literals, f"{word}s" made of them included; what docstrings say is no test."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    skipped = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    skipped |= {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    literals = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in skipped]
    words = {word for text in literals if isinstance(text, str) for word in text.replace("/", " ").split()}
    made = [_made(node.values, words) for node in nodes if isinstance(node, ast.JoinedStr)]
    return frozenset(words.union(*made))


def _made(parts: list[ast.expr], words: Iterable[str]) -> set[str]:
    """What an f-string of one value and one constant can be."""
    match parts:
        case [ast.Constant(value=str(before)), ast.FormattedValue()]:
            return {before + word for word in words}
        case [ast.FormattedValue(), ast.Constant(value=str(after))]:
            return {word + after for word in words}
    return set()


def named(paths: Iterable[Path]) -> set[str]:
    return set().union(*(words_of(path) for path in paths))


def test_every_op_type_is_tested() -> None:
    untested = TYPES - named(KERNELS.glob("test_*.py"))
    assert not untested - BY_FUNCTION.keys()
    for file, use in {BY_FUNCTION[op_type] for op_type in untested}:
        assert use in (KERNELS / file).read_text()


def test_every_gradient_is_compared_with_finite_differences() -> None:
    files = [path for path in KERNELS.glob("test_*.py") if "check_gradients" in path.read_text()]
    assert not differentiable() - named(files) - GRADIENTS_OTHERWISE.keys()
