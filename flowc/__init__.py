"""flowc: programs of the dataflow API of TensorFlow 0.6, compiled into fused, cached kernels.

    import flowc as tf

    x = tf.placeholder(tf.float32, [None, 3])
    y = tf.nn.softmax(x)
    with tf.Session() as sess:
        print(sess.run(y, {x: [[1, 2, 3]]}))

This module is the public namespace, and the only one that sees the frontend, the compiler and the runtime together.
What belongs to the runtime is imported when it is first used, so that building a graph stays cheap.
"""

from typing import TYPE_CHECKING, Any

from flowc import nn, train
from flowc.autodiff import *
from flowc.framework import errors
from flowc.framework.config import ConfigProto
from flowc.framework.convert import convert_to_tensor, register_tensor_conversion_function
from flowc.framework.default_graph import get_default_graph, reset_default_graph
from flowc.framework.dtypes import (
    DType,
    as_dtype,
    bfloat16,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    qint8,
    qint32,
    quint8,
    string,
    uint8,
    uint16,
)
from flowc.framework.dtypes import bool_ as bool  # the API's name
from flowc.framework.errors import OpError
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.indexed_slices import *
from flowc.framework.node_def import GraphDef, NodeDef
from flowc.framework.registry import NoGradient, RegisterGradient, RegisterShape
from flowc.framework.scopes import (
    GraphKeys,
    add_to_collection,
    control_dependencies,
    device,
    get_collection,
    get_seed,
    name_scope,
    op_scope,
    set_random_seed,
)
from flowc.framework.shapes import Dimension, TensorShape
from flowc.framework.stacks import get_default_session
from flowc.ops import operators as _operators  # gives tensors their operators
from flowc.ops.arithmetic_ops import *
from flowc.ops.array_ops import *
from flowc.ops.broadcasting_ops import *
from flowc.ops.clip_ops import *
from flowc.ops.complex_ops import *
from flowc.ops.constant_ops import *
from flowc.ops.control_flow_ops import *
from flowc.ops.indexing import *
from flowc.ops.joining_ops import *
from flowc.ops.logic_ops import *
from flowc.ops.math_ops import *
from flowc.ops.matmul_ops import *
from flowc.ops.random_ops import *
from flowc.ops.reduction_ops import *
from flowc.ops.segment_ops import *
from flowc.ops.slicing_ops import *
from flowc.ops.state_ops import *
from flowc.variable_scope import *
from flowc.variables import *

if TYPE_CHECKING:
    from flowc.runtime.aot import CompiledPlan, compile, load_plan
    from flowc.runtime.devices import devices
    from flowc.runtime.misses import PlanMissWarning
    from flowc.runtime.session import InteractiveSession, Session

__version__ = "0.1.0"

global_variables = all_variables
global_variables_initializer = initialize_all_variables
variables_initializer = initialize_variables

_RUNTIME = {
    "CompiledPlan": "aot",
    "InteractiveSession": "session",
    "PlanMissWarning": "misses",
    "Session": "session",
    "compile": "aot",
    "devices": "devices",
    "load_plan": "aot",
}


def __getattr__(name: str) -> Any:
    module = _RUNTIME.get(name)
    if module is None:
        raise AttributeError(f"module 'flowc' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"flowc.runtime.{module}"), name)
    return value
