"""`tf.test`: test cases for programs of graphs, and a check of gradients against finite differences."""

from flowc.test.gradient_checker import compute_gradient, compute_gradient_error
from flowc.test.graph_defs import assert_equal_graph_def
from flowc.test.surroundings import get_temp_dir, is_built_with_cuda, main
from flowc.test.test_case import TestCase

__all__ = [
    "TestCase",
    "assert_equal_graph_def",
    "compute_gradient",
    "compute_gradient_error",
    "get_temp_dir",
    "is_built_with_cuda",
    "main",
]
