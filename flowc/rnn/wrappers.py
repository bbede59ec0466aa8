"""Cells around cells: with layers before or after them, dropout, embeddings; and cells one above the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from flowc.framework.graph import Tensor
from flowc.ops.array_ops import reshape
from flowc.ops.joining_ops import concat
from flowc.ops.nn_ops import dropout, embedding_lookup
from flowc.rnn.cells import RNNCell, Step, columns
from flowc.rnn.linear import linear
from flowc.variable_scope import get_variable, get_variable_scope, random_uniform_initializer, variable_scope
from flowc.variables import Variable

__all__ = [
    "DropoutWrapper",
    "EmbeddingWrapper",
    "InputProjectionWrapper",
    "MultiRNNCell",
    "OutputProjectionWrapper",
]


class _Wrapper(RNNCell):
    """A cell around another, of the same sizes unless it says otherwise."""

    def __init__(self, cell: RNNCell) -> None:
        if not isinstance(cell, RNNCell):
            raise TypeError("The parameter cell is not RNNCell.")
        self._cell = cell

    @property
    def input_size(self) -> int:
        return self._cell.input_size

    @property
    def output_size(self) -> int:
        return self._cell.output_size

    @property
    def state_size(self) -> int:
        return self._cell.state_size


class OutputProjectionWrapper(_Wrapper):
    """A cell whose outputs go through a layer of `output_size` units. TypeError or ValueError for wrong arguments."""

    def __init__(self, cell: RNNCell, output_size: int) -> None:
        super().__init__(cell)
        if output_size < 1:
            raise ValueError(f"Parameter output_size must be > 0: {output_size}.")
        self._output_size = output_size

    @property
    def output_size(self) -> int:
        return self._output_size

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        output, state = self._cell(inputs, state)
        with variable_scope(scope or type(self).__name__):
            return linear(output, self._output_size, True), state


class InputProjectionWrapper(_Wrapper):
    """A cell whose inputs, of width `input_size`, first go through a layer as wide as its own inputs."""

    def __init__(self, cell: RNNCell, input_size: int) -> None:
        super().__init__(cell)
        if input_size < 1:
            raise ValueError(f"Parameter input_size must be > 0: {input_size}.")
        self._input_size = input_size

    @property
    def input_size(self) -> int:
        return self._input_size

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        with variable_scope(scope or type(self).__name__):
            projected = linear(inputs, self._cell.input_size, True)
        return self._cell(projected, state)


class DropoutWrapper(_Wrapper):
    """A cell with dropout of its inputs and outputs, not of its state.

    The probabilities of keeping a value are numbers in (0, 1] or scalar tensors; seed: see `set_random_seed`. Raises
    TypeError or ValueError for wrong arguments. Source: W. Zaremba and others, http://arxiv.org/abs/1409.2329.
    """

    def __init__(
        self, cell: RNNCell, input_keep_prob: Any = 1.0, output_keep_prob: Any = 1.0, seed: int | None = None
    ) -> None:
        super().__init__(cell)
        for name, value in (("input_keep_prob", input_keep_prob), ("output_keep_prob", output_keep_prob)):
            if isinstance(value, int | float) and not 0.0 <= value <= 1.0:
                raise ValueError(f"Parameter {name} must be between 0 and 1: {value}")
        self._input_keep, self._output_keep, self._seed = input_keep_prob, output_keep_prob, seed

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        output, state = self._cell(self._dropped(inputs, self._input_keep), state, scope)
        return self._dropped(output, self._output_keep), state

    def _dropped(self, x: Any, keep: Any) -> Any:
        certain = isinstance(keep, int | float) and keep >= 1
        return x if certain else dropout(x, keep, seed=self._seed)


class EmbeddingWrapper(_Wrapper):
    """A cell whose inputs are ids, int32 of shape [batch], which name rows of an embedding.

    embedding: its variable; or None: one of `embedding_classes` rows is made, by `initializer` (by default the scope's,
    else uniform in ±√3, which has variance 1). TypeError or ValueError for wrong arguments.
    """

    def __init__(
        self, cell: RNNCell, embedding_classes: int = 0, embedding: Variable | None = None, initializer: Any = None
    ) -> None:
        super().__init__(cell)
        if embedding_classes < 1 and embedding is None:
            raise ValueError(f"Pass either embedding or embedding_classes must be > 0: {embedding_classes}.")
        if embedding_classes > 0 and embedding is not None:
            if embedding.get_shape()[0].value != embedding_classes:
                raise ValueError(
                    f"You declared embedding_classes={embedding_classes} but passed an embedding for "
                    f"{embedding.get_shape()[0]} classes."
                )
            if embedding.get_shape()[1].value != cell.input_size:
                raise ValueError(
                    f"You passed embedding with output size {embedding.get_shape()[1]} and a cell that accepts size "
                    f"{cell.input_size}."
                )
        self._classes, self._embedding, self._initializer = embedding_classes, embedding, initializer

    @property
    def input_size(self) -> int:
        return 1

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        with variable_scope(scope or type(self).__name__):
            table = self._embedding if self._embedding is not None else self._new_table()
            return self._cell(embedding_lookup(table, reshape(inputs, [-1])), state)

    def _new_table(self) -> Variable:
        usual = random_uniform_initializer(-(3**0.5), 3**0.5)
        initializer = self._initializer or get_variable_scope().initializer or usual
        return get_variable("embedding", [self._classes, self._cell.input_size], initializer=initializer)


class MultiRNNCell(RNNCell):
    """Cells one above the other: each one's inputs are the outputs of the one before; their states lie side by side.

    Raises ValueError for no cells, and for sizes that do not fit.
    """

    def __init__(self, cells: Sequence[RNNCell]) -> None:
        if not cells:
            raise ValueError("Must specify at least one cell for MultiRNNCell.")
        for index, (below, above) in enumerate(pairwise(cells)):
            if above.input_size != below.output_size:
                raise ValueError(
                    "In MultiRNNCell, the input size of each next cell must match the output size of the previous one. "
                    f"Mismatched output size in cell {index}."
                )
        self._cells = list(cells)

    @property
    def input_size(self) -> int:
        return self._cells[0].input_size

    @property
    def output_size(self) -> int:
        return self._cells[-1].output_size

    @property
    def state_size(self) -> int:
        return sum(cell.state_size for cell in self._cells)

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Step:
        states = []
        with variable_scope(scope or type(self).__name__):
            for index, (cell, own) in enumerate(zip(self._cells, self._states_of(state), strict=True)):
                with variable_scope(f"Cell{index}"):
                    inputs, new = cell(inputs, own)
                    states.append(new)
        return inputs, concat(1, states)

    def _states_of(self, state: Any) -> Iterator[Tensor]:
        start = 0
        for cell in self._cells:
            yield columns(state, start, cell.state_size)
            start += cell.state_size
