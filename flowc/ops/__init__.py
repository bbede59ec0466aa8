"""The ops: in each module one family, in each family one block an op: its definition, constructor and gradient.

To be read in this order; each module uses only those before it, but for ops that it names (`apply("Select", …)`), as
gradients do that are each other's.

Arrays:

    array_ops           identity; what a shape is; other shapes of the same elements; casts
    reduction_ops       sums, means, extremes, over axes
    broadcasting_ops    repeating along axes, and the sums that its gradients are
    constant_ops        constants, placeholders, fills, sequences
    joining_ops         concat and split, pack and unpack
    slicing_ops         slice, pad, tile, reverse, gather
    segment_ops         sums over groups of rows; sparse gradients made dense

Mathematics:

    arithmetic_ops      of two tensors, broadcast; sums of many
    math_ops            functions of each element
    complex_ops         complex numbers
    logic_ops           comparisons, logic, choice
    segment_reduction_ops    sums, means, extremes of groups of rows with sorted ids
    set_ops             which elements there are, and where
    partition_ops       rows dealt out by number, and put together again
    sequence_ops        sequences of different lengths
    matmul_ops          products of matrices
    linear_algebra_ops  diagonals, determinants, inverses, decompositions
    solver_ops          systems of linear equations
    spectral_ops        discrete Fourier transforms
    indexing            `tensor[…]`
    operators           Python's operators on tensors

Networks:

    activation_ops      relu and its kin
    random_ops          random tensors
    conv_ops            convolutions of images
    pooling_ops         the greatest, or the mean, of windows over images
    normalization_ops   pixels and channels of images brought to one scale
    top_k_ops           the greatest elements of rows
    nn_ops              layers, losses, classification
    candidate_sampling_ops    classes drawn at random
    sampled_losses      losses over a sample of classes
    embedding_ops       embeddings of sets
    later_ops           functions of later versions, made of these
    clip_ops            clipping

Sparse tensors and images:

    sparse_ops          tensors of which few elements are there
    image_resize_ops    images of other sizes
    image_color_ops     colours of images
    image_ops           parts of images, frames, flips
    image_codec_ops     JPEG and PNG

Control flow:

    order_ops           order without data
    switch_ops          what loops and branches are made of
    contexts            where operations are being made: in a branch, in a loop
    conditional_ops     one of several computations
    loop_ops            computations that repeat
    history_ops         the values that tensors had in a loop's iterations
    functional_ops      functions over rows, as loops
    control_flow_ops    all of these by one name
    debugging_ops       checks that fail a run, and printing

State, input and output:

    state_ops           variables as operations
    data_flow_ops       queues
    string_ops          numbers in strings, and hashes
    io_ops              readers, and whole files
    parsing_ops         strings as raw numbers, records, examples
    script_ops          Python functions
    checkpoint_ops      tensors to files and back
    summary_ops         values, histograms and images for TensorBoard
"""

from flowc.ops import operators as operators  # so that tensors have their operators wherever an op is imported
