"""How each op type is computed, one module a family.

Importing this package registers all of them, and the kernel templates that they call.
"""

from flowc.codegen import kernels
from flowc.codegen.lower import (
    arrays,
    control_flow,
    conv,
    depthwise,
    elementwise,
    image_resize,
    images,
    matmul,
    nn,
    normalization,
    pooling,
    random,
    reductions,
    sampling,
    segments,
    selections,
    softmax_algebra,
    sparse,
    state,
    sums,
    top_k,
    training,
)

__all__ = [
    "arrays",
    "control_flow",
    "conv",
    "depthwise",
    "elementwise",
    "image_resize",
    "images",
    "kernels",
    "matmul",
    "nn",
    "normalization",
    "pooling",
    "random",
    "reductions",
    "sampling",
    "segments",
    "selections",
    "softmax_algebra",
    "sparse",
    "state",
    "sums",
    "top_k",
    "training",
]
