"""The cells of recurrent neural networks: what one step computes from an input and a state.

A cell is called with inputs of shape [batch, input_size] and a state of shape [batch, state_size]; it gives outputs of
shape [batch, output_size] and the new state. Its variables are made by `get_variable` in a scope named after the class:
the same cell in the same scope shares them, where the scope reuses variables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from flowc.framework.graph import Tensor
from flowc.ops.clip_ops import clip_by_value
from flowc.ops.constant_ops import zeros
from flowc.ops.joining_ops import concat, pack, split
from flowc.ops.math_ops import sigmoid, tanh
from flowc.ops.matmul_ops import matmul
from flowc.ops.slicing_ops import slice
from flowc.rnn.linear import linear
from flowc.variable_scope import (
    get_variable,
    variable_scope,
    zeros_initializer,
)

__all__ = [
    "BasicLSTMCell",
    "BasicRNNCell",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
]

Step = tuple[Tensor, Tensor]  # output, new state


class RNNCell(ABC):
    """One step of a recurrent network."""

    @abstractmethod
    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        """The outputs and the new state. `scope`: the variables' scope, by default the class's name."""

    @property
    @abstractmethod
    def input_size(self) -> int:
        """The width of the inputs."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """The width of the outputs."""

    @property
    @abstractmethod
    def state_size(self) -> int:
        """The width of the state."""

    def zero_state(self, batch_size: Any, dtype: Any) -> Tensor:
        """Zeros of shape [batch_size, state_size]; `batch_size`: an int or a scalar tensor."""
        fixed = isinstance(batch_size, int)
        state = zeros([batch_size, self.state_size] if fixed else pack([batch_size, self.state_size]), dtype)
        state.set_shape([None, self.state_size])
        return state


class _Units(RNNCell):
    """A cell of `num_units` units whose output is as wide."""

    def __init__(self, num_units: int, input_size: int | None = None) -> None:
        self._num_units = num_units
        self._input_size = num_units if input_size is None else input_size

    @property
    def input_size(self) -> int:
        return self._input_size

    @property
    def output_size(self) -> int:
        return self._num_units

    @property
    def state_size(self) -> int:
        return self._num_units

    def _scope(self, scope: Any) -> Any:
        return variable_scope(scope or type(self).__name__)


class BasicRNNCell(_Units):
    """tanh(W · input + U · state + b): output and new state."""

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        with self._scope(scope):
            output = tanh(linear([inputs, state], self._num_units, True))
        return output, output


class GRUCell(_Units):
    """The gated recurrent unit. Source: K. Cho and others, http://arxiv.org/abs/1406.1078."""

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        with self._scope(scope):
            with variable_scope("Gates"):  # they start open: neither resetting nor updating
                reset, update = split(1, 2, sigmoid(linear([inputs, state], 2 * self._num_units, True, 1.0)))
            with variable_scope("Candidate"):
                candidate = tanh(linear([inputs, reset * state], self._num_units, True))
            output = update * state + (1 - update) * candidate
        return output, output


class BasicLSTMCell(_Units):
    """The long short-term memory, with forget gates that start open by `forget_bias`.

    Its state is the memory and the last output side by side. Source: W. Zaremba and others,
    http://arxiv.org/abs/1409.2329.
    """

    def __init__(self, num_units: int, forget_bias: float = 1.0, input_size: int | None = None) -> None:
        super().__init__(num_units, input_size)
        self._forget_bias = forget_bias

    @property
    def state_size(self) -> int:
        return 2 * self._num_units

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        with self._scope(scope):
            memory, hidden = split(1, 2, state)
            gates = linear([inputs, hidden], 4 * self._num_units, True)
            write, candidate, forget, read = split(1, 4, gates)
            memory = memory * sigmoid(forget + self._forget_bias) + sigmoid(write) * tanh(candidate)
            hidden = tanh(memory) * sigmoid(read)
        return hidden, concat(1, [memory, hidden])


class LSTMCell(_Units):
    """The long short-term memory with peephole connections, a bound on the memory and a projection of the output.

    Source: H. Sak, A. Senior, F. Beaufays, "Long short-term memory recurrent neural network architectures for large
    scale acoustic modeling", 2014; peepholes: F. Gers, J. Schmidhuber, 2000.
    """

    def __init__(
        self,
        num_units: int,
        input_size: int,
        use_peepholes: bool = False,
        cell_clip: float | None = None,
        initializer: Any = None,
        num_proj: int | None = None,
        num_unit_shards: int = 1,
        num_proj_shards: int = 1,
    ) -> None:
        """
        Args:
            num_units: the width of the memory.
            input_size: the width of the inputs.
            use_peepholes: whether gates see the memory.
            cell_clip: the greatest magnitude of values in the memory; None: any.
            initializer: of the weights.
            num_proj: the width of the output, which is then a projection; None: as the memory.
            num_unit_shards: over how many variables the weights are dealt out.
            num_proj_shards: over how many the projection's are.
        """
        super().__init__(num_units, input_size)
        self._peepholes, self._clip, self._initializer = use_peepholes, cell_clip, initializer
        self._projected = num_proj
        self._shards, self._projection_shards = num_unit_shards, num_proj_shards

    @property
    def output_size(self) -> int:
        return self._num_units if self._projected is None else self._projected

    @property
    def state_size(self) -> int:
        return self._num_units + self.output_size

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        units = self._num_units
        before, hidden = columns(state, 0, units), columns(state, units, self.output_size)
        dtype = inputs.dtype.base_dtype
        with variable_scope(scope or type(self).__name__, initializer=self._initializer):
            width = inputs.get_shape().with_rank(2)[1].value or self.input_size
            weights = _sharded("W", [width + self.output_size, 4 * units], dtype, self._shards)
            bias = get_variable("B", [4 * units], dtype, initializer=zeros_initializer)
            gates = matmul(concat(1, [inputs, hidden]), weights) + bias
            write, candidate, forget, read = split(1, 4, gates)
            forget, write = forget + 1 + self._peep("F", before), write + self._peep("I", before)
            memory = sigmoid(forget) * before + sigmoid(write) * tanh(candidate)
            if self._clip is not None:
                memory = clip_by_value(memory, -self._clip, self._clip)
            output = sigmoid(read + self._peep("O", memory)) * tanh(memory)
            if self._projected is not None:
                output = matmul(output, _sharded("W_P", [units, self._projected], dtype, self._projection_shards))
        return output, concat(1, [memory, output])

    def _peep(self, gate: str, memory: Tensor) -> Any:
        """What the memory adds to a gate: each unit sees its own."""
        if not self._peepholes:
            return 0.0
        return get_variable(f"W_{gate}_diag", [self._num_units], memory.dtype.base_dtype) * memory


def columns(matrix: Any, start: int, count: int) -> Tensor:
    """`count` columns of a matrix, from `start` on."""
    return slice(matrix, [0, start], [-1, count])


def _sharded(name: str, shape: Sequence[int], dtype: Any, shards: int) -> Any:
    """A matrix whose rows are dealt out over variables, the first ones being one longer where they do not divide."""
    if shards == 1:
        return get_variable(f"{name}_0", shape, dtype)
    if shards > shape[0]:
        raise ValueError(f"Too many shards: shape={shape}, num_shards={shards}")
    each, longer = divmod(shape[0], shards)
    parts = [get_variable(f"{name}_{i}", [each + (i < longer), *shape[1:]], dtype) for i in range(shards)]
    return concat(0, parts)
