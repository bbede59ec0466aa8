"""Cells over sequences: one step of the network for each step of the sequence.

A sequence is a list of tensors, one a step, each of shape [batch, size]. With `sequence_length`, an int vector
[batch], rows whose sequence has ended give zeros as outputs and keep their state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

from flowc.framework.convert import convert_to_tensor
from flowc.framework.graph import Tensor
from flowc.framework.scopes import control_dependencies
from flowc.ops.array_ops import identity, reshape, shape, zeros_like
from flowc.ops.joining_ops import concat, pack, unpack
from flowc.ops.logic_ops import less, select
from flowc.ops.sequence_ops import reverse_sequence
from flowc.rnn.cells import RNNCell
from flowc.variable_scope import get_variable_scope, variable_scope

__all__ = ["bidirectional_rnn", "rnn", "state_saving_rnn"]

P = ParamSpec("P")
Sequences = tuple[list[Tensor], list[Tensor]]  # outputs and states


def rnn(
    cell: RNNCell,
    inputs: Sequence[Any],
    initial_state: Any = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
) -> Sequences:
    """A recurrent network: `cell` at each step, with the same variables.

    Args:
        cell: an RNNCell.
        inputs: a list of T tensors of shape [batch, cell.input_size].
        initial_state: shape [batch, cell.state_size]; by default zeros.
        dtype: the type of these zeros: to be given if there is no initial state.
        sequence_length: see the module's documentation.
        scope: the variables' scope, by default "RNN".

    Returns:
        A pair: the T outputs, and the T states after each step.

    Raises:
        TypeError: `cell` is no RNNCell, or `inputs` no list. ValueError: no inputs, or no `dtype` where one is needed.
    """
    if not isinstance(cell, RNNCell):
        raise TypeError("cell must be an instance of RNNCell")
    if not isinstance(inputs, list):
        raise TypeError("inputs must be a list")
    if not inputs:
        raise ValueError("inputs must not be empty")
    outputs, states = [], []
    with variable_scope(scope or "RNN"):
        state = _first_state(cell, inputs[0], initial_state, dtype)
        for time, step_input in enumerate(inputs):
            if time > 0:
                get_variable_scope().reuse_variables()
            output, new_state = cell(step_input, state)
            if sequence_length is not None:
                output, new_state = _until(sequence_length, time, (output, new_state), (zeros_like(output), state))
            state = new_state
            outputs.append(output)
            states.append(state)
    return outputs, states


def _first_state(cell: RNNCell, first_input: Tensor, initial_state: Any, dtype: Any) -> Tensor:
    if initial_state is not None:
        return convert_to_tensor(initial_state)
    if dtype is None:
        raise ValueError("If no initial_state is provided, dtype must be.")
    known = first_input.get_shape()[0].value
    return cell.zero_state(shape(first_input)[0] if known is None else known, dtype)


def _until(length: Any, time: int, step: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The step for rows that have not ended before it, `after` for the others."""
    goes_on = less(time, length)
    output, state = (select(goes_on, new, old) for new, old in zip(step, after, strict=True))
    return output, state


def state_saving_rnn(
    cell: RNNCell,
    inputs: Sequence[Any],
    state_saver: Any,
    state_name: str,
    sequence_length: Any = None,
    scope: Any = None,
) -> Sequences:
    """`rnn` for long sequences that come in parts: its state goes on from where the last part ended.

    Arguments as for `rnn`, and:
        state_saver: an object with the methods `state(name)`, the initial state, and `save_state(name, state)`, an
            operation that saves the last one. The last output depends on it.
        state_name: the name that they are called with.

    Raises as `rnn` does.
    """
    outputs, states = rnn(cell, inputs, state_saver.state(state_name), None, sequence_length, scope)
    with control_dependencies([state_saver.save_state(state_name, states[-1])]):
        outputs[-1] = identity(outputs[-1])
    return outputs, states


def bidirectional_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Sequence[Any],
    initial_state_fw: Any = None,
    initial_state_bw: Any = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: str | None = None,
) -> list[Tensor]:
    """Two networks over a sequence, one forwards and one backwards; their outputs, side by side, for each step.

    Arguments as for `rnn`; variables are in the scopes "<scope>_FW" and "<scope>_BW", by default of "BiRNN".

    Returns a list of T tensors of shape [batch, cell_fw.output_size + cell_bw.output_size].

    Raises as `rnn` does.
    """
    for name, cell in (("cell_fw", cell_fw), ("cell_bw", cell_bw)):
        if not isinstance(cell, RNNCell):
            raise TypeError(f"{name} must be an instance of RNNCell")
    name = scope or "BiRNN"
    if not isinstance(inputs, list):
        raise TypeError("inputs must be a list")
    if not inputs:
        raise ValueError("inputs must not be empty")
    forwards, _ = rnn(cell_fw, inputs, initial_state_fw, dtype, sequence_length, f"{name}_FW")
    turned = _reversed(inputs, sequence_length)
    backwards, _ = rnn(cell_bw, turned, initial_state_bw, dtype, sequence_length, f"{name}_BW")
    backwards = _reversed(backwards, sequence_length)
    return [concat(1, [ahead, back]) for ahead, back in zip(forwards, backwards, strict=True)]


def _reversed(sequence: Sequence[Tensor], lengths: Any) -> list[Tensor]:
    """The sequence backwards; with lengths, as much of each row as there is of it."""
    if lengths is None:
        return list(reversed(sequence))
    known = sequence[0].get_shape()
    turned = unpack(reverse_sequence(pack(list(sequence)), lengths, 0, 1), len(sequence))
    return [reshape(step, known) if known.is_fully_defined() else step for step in turned]


# -- the last state only -----------------------------------------------------------------------------------------------


def with_last_state(function: Callable[P, Sequences]) -> Callable[P, tuple[list[Tensor], Tensor]]:
    """A network that gives its outputs and the state after the last step, of one that gives all states."""

    @wraps(function)
    def network(*args: P.args, **kwargs: P.kwargs) -> tuple[list[Tensor], Tensor]:
        outputs, states = function(*args, **kwargs)
        return outputs, states[-1]

    network.__doc__ = f"{function.__doc__}\n\n    Of the states, only the last one is returned.\n    "
    return network
