"""The frontend's ground: what a graph is, and how operations are added to one. `flowc/ops` stands on it.

To be read in this order; each module uses only those before it:

    debug               $FLOWC_DEBUG
    config              a session's options
    source              which line of the user's made an operation
    errors              the exceptions of a run
    device              names of devices, and how scopes merge them
    dtypes              types of elements
    shapes              shapes, known or partly known
    node_def            graphs as plain data, and the names in it
    stacks              what is in force on a thread: the default graph and session
    overloads           the operators that tensors have
    registry            what is known of each op type: its inputs, its shape rule, its gradient
    shape_rules         shape rules that several op types share
    constant_value      what is known of a tensor's value before a run
    shape_inference     the shapes of an operation that is being made
    graph_scopes        names in use, and the scopes that are open in a graph
    graph               Tensor, Operation and Graph
    default_graph       the graph that op constructors add to
    scopes              the default graph's scopes, collections and seed, as functions
    convert             values to tensors
    op_inputs           the inputs of an operation that is being made: converted, their types checked
    building            `apply`: an operation of a registered type, from values
    indexed_slices      sparse gradients
"""
