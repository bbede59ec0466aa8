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

from flowc import nn as nn, train as train
from flowc.autodiff import *
from flowc.framework import errors as errors
from flowc.framework.config import ConfigProto as ConfigProto
from flowc.framework.convert import (
    convert_to_tensor as convert_to_tensor,
    register_tensor_conversion_function as register_tensor_conversion_function,
)
from flowc.framework.default_graph import (
    get_default_graph as get_default_graph,
    reset_default_graph as reset_default_graph,
)
from flowc.framework.dtypes import (
    DType as DType,
    as_dtype as as_dtype,
    bfloat16 as bfloat16,
    bool_,
    complex64 as complex64,
    complex128 as complex128,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    qint8 as qint8,
    qint32 as qint32,
    quint8 as quint8,
    string as string,
    uint8 as uint8,
    uint16 as uint16,
)
from flowc.framework.errors import OpError as OpError
from flowc.framework.graph import Graph as Graph, Operation as Operation, Tensor as Tensor
from flowc.framework.indexed_slices import *
from flowc.framework.node_def import GraphDef as GraphDef, NodeDef as NodeDef
from flowc.framework.registry import (
    NoGradient as NoGradient,
    RegisterGradient as RegisterGradient,
    RegisterShape as RegisterShape,
)
from flowc.framework.scopes import (
    GraphKeys as GraphKeys,
    add_to_collection as add_to_collection,
    control_dependencies as control_dependencies,
    device as device,
    get_collection as get_collection,
    get_seed as get_seed,
    name_scope as name_scope,
    op_scope as op_scope,
    set_random_seed as set_random_seed,
)
from flowc.framework.shapes import Dimension as Dimension, TensorShape as TensorShape
from flowc.framework.stacks import get_default_session as get_default_session
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
    from flowc.runtime.aot import CompiledPlan as CompiledPlan, compile as compile, load_plan as load_plan
    from flowc.runtime.devices import devices as devices
    from flowc.runtime.misses import PlanMissWarning as PlanMissWarning
    from flowc.runtime.session import InteractiveSession as InteractiveSession, Session as Session

__version__ = "0.1.0"

bool = bool_

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
