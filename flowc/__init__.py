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

from flowc import (
    app as app,
    flags as flags,
    gfile as gfile,
    image as image,
    logging as logging,
    nn as nn,
    python_io as python_io,
    summary as summary,
    train as train,
)
from flowc.autodiff import *
from flowc.framework import errors as errors
from flowc.framework.config import ConfigProto as ConfigProto, GPUOptions as GPUOptions
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
from flowc.framework.importer import import_graph_def as import_graph_def
from flowc.framework.indexed_slices import *
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
from flowc.framework.sparse_tensor import *
from flowc.framework.stacks import get_default_session as get_default_session
from flowc.framework.tensor_util import *
from flowc.ops import operators as _operators  # gives tensors their operators
from flowc.ops.arithmetic_ops import *
from flowc.ops.array_ops import *
from flowc.ops.broadcasting_ops import *
from flowc.ops.clip_ops import *
from flowc.ops.complex_ops import *
from flowc.ops.constant_ops import *
from flowc.ops.control_flow_ops import *
from flowc.ops.data_flow_ops import *
from flowc.ops.debugging_ops import *
from flowc.ops.functional_ops import *
from flowc.ops.indexing import *
from flowc.ops.io_ops import *
from flowc.ops.joining_ops import *
from flowc.ops.later_ops import *
from flowc.ops.linear_algebra_ops import *
from flowc.ops.logic_ops import *
from flowc.ops.math_ops import *
from flowc.ops.matmul_ops import *
from flowc.ops.parsing_ops import *
from flowc.ops.partition_ops import *
from flowc.ops.random_ops import *
from flowc.ops.reduction_ops import *
from flowc.ops.script_ops import *
from flowc.ops.segment_ops import *
from flowc.ops.segment_reduction_ops import *
from flowc.ops.sequence_ops import *
from flowc.ops.set_ops import *
from flowc.ops.slicing_ops import *
from flowc.ops.solver_ops import *
from flowc.ops.sparse_ops import *
from flowc.ops.spectral_ops import *
from flowc.ops.state_ops import *
from flowc.ops.string_ops import *
from flowc.ops.summary_ops import *
from flowc.variable_scope import *
from flowc.variables import *

if TYPE_CHECKING:
    from flowc.runtime.aot import CompiledPlan as CompiledPlan, compile as compile, load_plan as load_plan
    from flowc.runtime.cuda.device_results import DeviceArray as DeviceArray
    from flowc.runtime.devices import devices as devices
    from flowc.runtime.misses import PlanMissWarning as PlanMissWarning
    from flowc.runtime.session import InteractiveSession as InteractiveSession, Session as Session

__version__ = "0.1.0"

bool = bool_

float32_ref, float64_ref, float16_ref, bfloat16_ref = float32.as_ref, float64.as_ref, float16.as_ref, bfloat16.as_ref
int8_ref, int16_ref, int32_ref, int64_ref = int8.as_ref, int16.as_ref, int32.as_ref, int64.as_ref
uint8_ref, uint16_ref, bool_ref, string_ref = uint8.as_ref, uint16.as_ref, bool_.as_ref, string.as_ref
complex64_ref, complex128_ref = complex64.as_ref, complex128.as_ref
qint8_ref, quint8_ref, qint32_ref = qint8.as_ref, quint8.as_ref, qint32.as_ref

# names that later versions of the API gave what is here
NotDifferentiable = NoGradient
subtract, multiply, negative, reciprocal, lin_space = sub, mul, neg, inv, linspace
global_variables = all_variables
global_variables_initializer = initialize_all_variables
variables_initializer = initialize_variables
local_variables_initializer = initialize_local_variables

_LATER = {  # imported when first used, by the module that has it
    "CompiledPlan": "runtime.aot",
    "DeviceArray": "runtime.cuda.device_results",
    "InteractiveSession": "runtime.session",
    "PlanMissWarning": "runtime.misses",
    "Session": "runtime.session",
    "compile": "runtime.aot",
    "devices": "runtime.devices",
    "load_plan": "runtime.aot",
    "test": "",
} | dict.fromkeys(
    ("AttrValue", "Event", "GraphDef", "HistogramProto", "NameAttrList", "NodeDef", "OpDef", "Summary"),
    "framework.protos",
)


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'flowc' has no attribute {name!r}")
    from importlib import import_module

    module = _LATER[name]
    value = getattr(import_module(f"flowc.{module}"), name) if module else import_module(f"flowc.{name}")
    globals()[name] = value
    return value
