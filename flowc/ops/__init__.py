"""The ops: in each module one family, in each family one block an op: its definition, constructor and gradient.

To be read in this order; each module uses only those before it, but for ops that it names (`apply("Select", …)`), as
gradients do that are each other's:

    array_ops           identity; what a shape is; other shapes of the same elements; casts
    reduction_ops       sums, means, extremes, over axes
    broadcasting_ops    repeating along axes, and the sums that its gradients are
    constant_ops        constants, placeholders, fills, sequences
    joining_ops         concat and split, pack and unpack
    slicing_ops         slice, pad, tile, reverse, gather
    segment_ops         sums over groups of rows; sparse gradients made dense
    arithmetic_ops      of two tensors, broadcast; sums of many
    math_ops            functions of each element
    complex_ops         complex numbers
    logic_ops           comparisons, logic, choice
    matmul_ops          products of matrices
    indexing            `tensor[…]`
    operators           Python's operators on tensors
    activation_ops      relu and its kin
    random_ops          random tensors
    nn_ops              layers, losses, classification
    clip_ops            clipping
    control_flow_ops    order without data
    state_ops           variables as operations
"""

from flowc.ops import operators as operators  # so that tensors have their operators wherever an op is imported
