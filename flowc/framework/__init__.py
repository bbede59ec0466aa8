"""The frontend's ground: what a graph is, and how operations are added to one. `flowc/ops` stands on it.

To be read in this order; each module uses only those before it.

Settings, messages, errors:

    debug               $FLOWC_DEBUG
    proto_schema        the messages that graphs and summaries are stored as
    protos              their classes
    config              a session's options
    source              which line of the user's made an operation
    errors              the exceptions of a run
    file_errors         the operating system's errors as these
    device              names of devices, and how scopes merge them

Types, shapes, and what is in force on a thread:

    dtypes              types of elements
    shapes              shapes, known or partly known
    tensor_proto        arrays as messages
    stacks              what is in force on a thread: the default graph and session
    overloads           the operators that tensors have

What is known of op types:

    registry            what is known of each op type: its inputs, its shape rule, its gradient
    shape_rules         shape rules that several op types share
    windows             windows over images: how many, and where
    constant_value      what is known of a tensor's value before a run
    shape_inference     the shapes of an operation that is being made

Graphs:

    attributes          attributes of operations, as messages too
    node_def            operations and graphs as messages
    names               the names of operations and tensors
    html                graphs and operations as notebooks show them
    graph_scopes        names in use, and the scopes that are open in a graph
    graph_state         collections, the seed, the version of a graph
    graph               Tensor, Operation and Graph

Loops and branches:

    regions             loops and branches: what they are made of, and their tree
    arranging           that tree, found in a graph by its operations

Making operations:

    default_graph       the graph that op constructors add to
    scopes              the default graph's scopes, collections and seed, as functions
    convert             values to tensors
    tensor_util         values as messages, by the API's names
    op_inputs           the inputs of an operation that is being made: converted, their types checked
    building            `apply`: an operation of a registered type, from values

Graphs from elsewhere, and tensors in parts:

    op_signature        types of inputs and outputs, as an OpDef message gives them
    importer            stored graphs, added to the default graph
    graph_proto         stored graphs as other libraries' messages
    indexed_slices      sparse gradients
    sparse_tensor       tensors of which few elements are there
"""
