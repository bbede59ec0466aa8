"""Recurrent networks: cells against their formulas, and unrolled networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.models.rnn import rnn as all_states
from tests.kernels.batch import Array

cells = tf.nn.rnn_cell
BATCH, SIZE, UNITS = 2, 3, 4


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


class Run:
    """A graph with one value for every variable that is made in it, and its values by name."""

    def __init__(self, build: Callable[[], Any], seed: int = 0) -> None:
        with tf.Graph().as_default() as self.graph:
            self.fetches = build()
            variables = tf.all_variables()
            rng = np.random.default_rng(seed)
            self.variables = {v.op.name: rng.normal(0, 0.5, v.get_shape().as_list()) for v in variables}
            values = [tf.assign(v, self.variables[v.op.name].astype(np.float32)) for v in variables]
        with tf.Session(graph=self.graph) as session:
            session.run(values)
            self.values = session.run(self.fetches)


def constant(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


X, STATE = constant(BATCH, SIZE), constant(BATCH, UNITS, seed=2)


def step(cell: Any, width: int = UNITS) -> Run:
    return Run(lambda: list(cell(tf.constant(X), tf.constant(constant(BATCH, width, seed=2)))))


# -- cells -------------------------------------------------------------------------------------------------------------


def test_linear() -> None:
    run = Run(lambda: cells.linear([tf.constant(X), tf.constant(STATE)], 5, True, 0.5))
    joined = np.concatenate([X, STATE], 1)
    assert {name: v.shape for name, v in run.variables.items()} == {"Linear/Matrix": (7, 5), "Linear/Bias": (5,)}
    np.testing.assert_allclose(
        run.values, joined @ run.variables["Linear/Matrix"] + run.variables["Linear/Bias"], rtol=1e-4
    )
    for args, message in (([], "must be specified"), (np.zeros(3), "2D"), (tf.placeholder(tf.float32), "shape")):
        with pytest.raises(ValueError, match=message):
            cells.linear(args, 5, True)


def test_basic_cell() -> None:
    run = step(cells.BasicRNNCell(UNITS))
    matrix, bias = (run.variables[f"BasicRNNCell/Linear/{name}"] for name in ("Matrix", "Bias"))
    expected = np.tanh(np.concatenate([X, STATE], 1) @ matrix + bias)
    np.testing.assert_allclose(run.values, [expected, expected], rtol=1e-4)


def test_gru() -> None:
    run = step(cells.GRUCell(UNITS))
    gates, candidate = (
        [run.variables[f"GRUCell/{part}/Linear/{name}"] for name in ("Matrix", "Bias")]
        for part in ("Gates", "Candidate")
    )
    reset, update = np.split(sigmoid(np.concatenate([X, STATE], 1) @ gates[0] + gates[1]), 2, 1)
    new = np.tanh(np.concatenate([X, reset * STATE], 1) @ candidate[0] + candidate[1])
    expected = update * STATE + (1 - update) * new
    np.testing.assert_allclose(run.values, [expected, expected], rtol=1e-4)


def test_basic_lstm() -> None:
    run = step(cells.BasicLSTMCell(UNITS, forget_bias=0.5), 2 * UNITS)
    matrix, bias = (run.variables[f"BasicLSTMCell/Linear/{name}"] for name in ("Matrix", "Bias"))
    memory, hidden = np.split(constant(BATCH, 2 * UNITS, seed=2), 2, 1)
    write, candidate, forget, read = np.split(np.concatenate([X, hidden], 1) @ matrix + bias, 4, 1)
    memory = memory * sigmoid(forget + 0.5) + sigmoid(write) * np.tanh(candidate)
    hidden = np.tanh(memory) * sigmoid(read)
    np.testing.assert_allclose(run.values[0], hidden, rtol=1e-4)
    np.testing.assert_allclose(run.values[1], np.concatenate([memory, hidden], 1), rtol=1e-4)


@pytest.mark.parametrize("shards", [1, 3])
def test_lstm_with_everything(shards: int) -> None:
    cell = cells.LSTMCell(
        UNITS, SIZE, use_peepholes=True, cell_clip=0.4, num_proj=2, num_unit_shards=shards, num_proj_shards=shards
    )
    assert (cell.output_size, cell.state_size, cell.input_size) == (2, UNITS + 2, SIZE)
    run = step(cell, UNITS + 2)
    v = {name.removeprefix("LSTMCell/"): value for name, value in run.variables.items()}
    weights, projection = (np.concatenate([v[f"{name}_{i}"] for i in range(shards)]) for name in ("W", "W_P"))
    state = constant(BATCH, UNITS + 2, seed=2)
    memory, hidden = state[:, :UNITS], state[:, UNITS:]
    write, candidate, forget, read = np.split(np.concatenate([X, hidden], 1) @ weights + v["B"], 4, 1)
    kept = sigmoid(forget + 1 + v["W_F_diag"] * memory) * memory
    memory = np.clip(kept + sigmoid(write + v["W_I_diag"] * memory) * np.tanh(candidate), -0.4, 0.4)
    output = (sigmoid(read + v["W_O_diag"] * memory) * np.tanh(memory)) @ projection
    np.testing.assert_allclose(run.values[0], output, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(run.values[1], np.concatenate([memory, output], 1), rtol=1e-4, atol=1e-6)


def test_cells_around_cells() -> None:
    cell = cells.OutputProjectionWrapper(cells.InputProjectionWrapper(cells.BasicRNNCell(UNITS), SIZE), 5)
    assert (cell.input_size, cell.output_size, cell.state_size) == (SIZE, 5, UNITS)
    run = step(cell)
    v = run.variables

    def layer(name: str, x: Array) -> Array:
        return np.asarray(x @ v[f"{name}/Linear/Matrix"] + v[f"{name}/Linear/Bias"])

    state = np.tanh(layer("BasicRNNCell", np.concatenate([layer("InputProjectionWrapper", X), STATE], 1)))
    np.testing.assert_allclose(run.values[0], layer("OutputProjectionWrapper", state), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(run.values[1], state, rtol=1e-4)


def test_cells_above_cells() -> None:
    cell = cells.MultiRNNCell([cells.BasicRNNCell(UNITS, input_size=SIZE), cells.GRUCell(UNITS)])
    assert (cell.input_size, cell.output_size, cell.state_size) == (SIZE, UNITS, 2 * UNITS)
    run = step(cell, 2 * UNITS)
    assert {name.split("/")[1] for name in run.variables} == {"Cell0", "Cell1"}
    np.testing.assert_allclose(run.values[0], run.values[1][:, UNITS:])
    with pytest.raises(ValueError, match="at least one cell"):
        cells.MultiRNNCell([])
    with pytest.raises(ValueError, match="Mismatched output size in cell 0"):
        cells.MultiRNNCell([cells.BasicRNNCell(3), cells.BasicRNNCell(4)])


def test_embedding_wrapper() -> None:
    ids = tf.constant
    run = Run(lambda: cells.EmbeddingWrapper(cells.BasicRNNCell(UNITS), 6)(ids([5, 0]), tf.constant(STATE))[0])
    v = {name.removeprefix("EmbeddingWrapper/"): value for name, value in run.variables.items()}
    joined = np.concatenate([v["embedding"][[5, 0]], STATE], 1)
    expected = np.tanh(joined @ v["BasicRNNCell/Linear/Matrix"] + v["BasicRNNCell/Linear/Bias"])
    np.testing.assert_allclose(run.values, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="embedding_classes must be > 0"):
        cells.EmbeddingWrapper(cells.BasicRNNCell(UNITS))


def test_dropout_wrapper() -> None:
    wrapped = cells.DropoutWrapper
    inner = cells.BasicRNNCell(UNITS)
    kept = Run(lambda: list(wrapped(inner, 1.0, 1.0)(tf.constant(X), tf.constant(STATE))))
    np.testing.assert_array_equal(kept.values[0], kept.values[1])
    run = Run(lambda: list(wrapped(inner, 1.0, tf.constant(0.5), seed=3)(tf.constant(X), tf.constant(STATE))))
    output, state = run.values
    dropped = output == 0
    assert dropped.any()
    assert not dropped.all()
    np.testing.assert_allclose(output[~dropped], 2 * state[~dropped], rtol=1e-5)
    with pytest.raises(TypeError, match="not RNNCell"):
        wrapped("cell")
    with pytest.raises(ValueError, match="between 0 and 1"):
        wrapped(inner, input_keep_prob=1.5)


def test_zero_state() -> None:
    cell = cells.BasicLSTMCell(3)
    assert cell.zero_state(2, tf.float32).get_shape() == (2, 6)
    batch = tf.shape(tf.placeholder(tf.float32, [None, 5]))[0]
    assert cell.zero_state(batch, tf.float64).get_shape().as_list() == [None, 6]


# -- unrolled ----------------------------------------------------------------------------------------------------------


class PlusOne(cells.RNNCell):  # type: ignore[misc,name-defined]
    """Input plus one, and state plus one."""

    input_size = output_size = state_size = 5

    def __call__(self, inputs: Any, state: Any, scope: Any = None) -> Any:
        return inputs + 1, state + 1


def run_all(fetches: Any, feeds: dict[Any, Any] | None = None) -> Any:
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        return session.run(fetches, feeds)


def sequence(steps: int, width: int = 5) -> tuple[list[tf.Tensor], Array]:
    values = constant(steps, BATCH, width)
    return [tf.constant(value) for value in values], values


def test_rnn() -> None:
    inputs, values = sequence(3)
    outputs, state = tf.nn.rnn(PlusOne(), inputs, dtype=tf.float32)
    early, states = all_states.rnn(PlusOne(), inputs, dtype=tf.float32)
    got, last, all_of_them = run_all([outputs, state, states])
    np.testing.assert_allclose(got, values + 1, rtol=1e-6)
    np.testing.assert_array_equal(last, np.full((BATCH, 5), 3))
    np.testing.assert_array_equal(np.array(all_of_them)[:, 0, 0], [1, 2, 3])
    assert len(early) == 3


def test_rnn_shares_its_variables() -> None:
    with tf.Graph().as_default():
        inputs, _ = sequence(4)
        tf.nn.rnn(cells.BasicRNNCell(6), inputs, dtype=tf.float32)
        assert [v.op.name for v in tf.all_variables()] == [f"RNN/BasicRNNCell/Linear/{n}" for n in ("Matrix", "Bias")]


def test_sequences_that_end_early() -> None:
    inputs, values = sequence(4)
    lengths = tf.placeholder(tf.int32, [BATCH])
    outputs, state = tf.nn.rnn(PlusOne(), inputs, dtype=tf.float32, sequence_length=lengths)
    got, last = run_all([outputs, state], {lengths: [1, 3]})
    there = (np.arange(4)[:, None] < [1, 3])[:, :, None]
    np.testing.assert_allclose(got, np.where(there, values + 1, 0), rtol=1e-6)
    np.testing.assert_array_equal(last[:, 0], [1, 3])


def test_rnn_mistakes() -> None:
    inputs, _ = sequence(2)
    with pytest.raises(TypeError, match="instance of RNNCell"):
        tf.nn.rnn(None, inputs, dtype=tf.float32)
    with pytest.raises(TypeError, match="must be a list"):
        tf.nn.rnn(PlusOne(), inputs[0], dtype=tf.float32)
    with pytest.raises(ValueError, match="must not be empty"):
        tf.nn.rnn(PlusOne(), [], dtype=tf.float32)
    with pytest.raises(ValueError, match="dtype must be"):
        tf.nn.rnn(PlusOne(), inputs)


class Saver:
    """Keeps a state in a variable."""

    def __init__(self) -> None:
        self.variable = tf.Variable(tf.fill([BATCH, 5], 10.0))

    def state(self, name: str) -> Any:
        return self.variable

    def save_state(self, name: str, state: Any) -> Any:
        return tf.assign(self.variable, state)


def test_a_state_that_goes_on() -> None:
    with tf.Graph().as_default():
        saver = Saver()
        outputs, state = tf.nn.state_saving_rnn(PlusOne(), sequence(3)[0], saver, "state")
        with tf.Session() as session:
            session.run(tf.initialize_all_variables())
            for expected in (13, 16):
                last, _ = session.run([state, outputs[-1]])
                assert (last == expected).all()
            assert (session.run(saver.variable) == 16).all()


@pytest.mark.parametrize("lengths", [None, [2, 4]])
def test_both_ways(lengths: list[int] | None) -> None:
    with tf.Graph().as_default():
        inputs, values = sequence(4)
        forward, backward = cells.BasicRNNCell(5), cells.GRUCell(3)
        known = None if lengths is None else tf.constant(lengths, tf.int64)
        both = tf.nn.bidirectional_rnn(forward, backward, inputs, dtype=tf.float32, sequence_length=known)
        assert both[0].get_shape() == (BATCH, 8)
        with tf.variable_scope("BiRNN_BW", reuse=True):
            turned = [tf.constant(_turned(values, lengths)[t]) for t in range(4)]
            alone, _ = tf.nn.rnn(
                backward, turned, dtype=tf.float32, sequence_length=known, scope=tf.get_variable_scope()
            )
        together, backwards = run_all([tf.pack(both), tf.pack(alone)])
    np.testing.assert_allclose(together[:, :, 5:], _turned(backwards, lengths), rtol=1e-5, atol=1e-6)


def _turned(values: Array, lengths: list[int] | None) -> Array:
    result = values.copy()
    for row, length in enumerate(lengths or [len(values)] * BATCH):
        result[:length, row] = values[:length, row][::-1]
    return result


def test_unrolled_steps_share_kernels() -> None:
    """However long a network is unrolled, its plan has the same kernels."""

    def kernels(steps: int) -> int:
        with tf.Graph().as_default() as graph:
            x = tf.placeholder(tf.float32, [steps, BATCH, UNITS])
            cell = cells.MultiRNNCell([cells.BasicLSTMCell(UNITS)] * 2)
            outputs, _ = tf.nn.rnn(cell, tf.unpack(x, steps), dtype=tf.float32)
            loss = tf.add_n([tf.reduce_sum(tf.square(y)) for y in outputs])
            step = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
        with tf.Session(graph=graph) as session:
            return len(session.plan([loss, step], {x: np.zeros((steps, BATCH, UNITS), np.float32)}).plan.kernels)

    assert kernels(24) <= kernels(12) + 4
