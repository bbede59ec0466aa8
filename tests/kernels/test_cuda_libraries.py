"""cuBLASLt and cuDNN without a GPU: stubs compute from the descriptors that they are given, on a recording GPU."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.backend import compiling_for
from flowc.codegen.cuda.vendor import Vendor, using_vendor
from flowc.codegen.feed_spec import FeedSpec
from flowc.runtime.cuda.placement import using_gpus
from flowc.runtime.cuda.vendor_libraries import Installed, using_libraries
from flowc.runtime.plan_cache import plan_key
from tests.gpu.library_stubs import StubCublasLt, StubCudnn, stubs
from tests.gpu.recording_gpu import RecordingGpu
from tests.gpu.running import Seen, evaluate, watching

Array = np.ndarray[Any, Any]


@dataclass
class Machine:
    """A GPU and its libraries; all are stubs."""

    gpu: RecordingGpu
    blas: StubCublasLt
    dnn: StubCudnn
    seen: Seen


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    gpu = RecordingGpu()
    blas, dnn = StubCublasLt([gpu]), StubCudnn([gpu])
    with watching(monkeypatch) as seen, using_gpus([gpu]), using_libraries(stubs([gpu], blas, dnn)):
        yield Machine(gpu, blas, dnn, seen)


def floats(*shape: int, dtype: str = "float32") -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def compare(machine: Machine, case: Callable[..., Any], runs: int = 1) -> list[Any]:
    """Checks that the GPU computes what the CPU does."""
    found = evaluate(case, [machine.gpu], runs)
    for got, expected in zip(found, evaluate(case, [], runs), strict=True):
        assert got.dtype == expected.dtype
        rough = expected.dtype == np.float16
        np.testing.assert_allclose(got, expected, rtol=1e-2 if rough else 2e-5, atol=1e-2 if rough else 2e-5)
    return found


def explained(fetches: Any, **config: Any) -> str:
    with tf.Session(config=tf.ConfigProto(**config)) as session:
        if tf.all_variables():
            session.run(tf.initialize_all_variables())
        return str(session.plan(fetches).explain())


# -- products ----------------------------------------------------------------------------------------------------------


def test_products_of_all_layouts(machine: Machine) -> None:
    def case(feed: Callable[..., Any]) -> list[Any]:
        a, b, c = feed(floats(6, 9)), feed(floats(9, 5)), feed(floats(5, 6))
        turned = [tf.matmul(b, a, True, True), tf.matmul(a, c, True, True), tf.matmul(b, c)]
        parts = [tf.matmul(a[1:5, 2:8], b[3:, 1:]), tf.matmul(a[:1], b), tf.matmul(a, b[:, 2:3])]
        return [tf.matmul(a, b), *turned, *parts]

    compare(machine, case)
    assert all(how["compute"] == 68 for how in machine.blas.launched)


def test_products_of_stacks(machine: Machine) -> None:
    def case(feed: Callable[..., Any]) -> list[Any]:
        a, b = feed(floats(3, 4, 6)), feed(floats(3, 6, 5))
        return [tf.batch_matmul(a, b), tf.batch_matmul(b, a, adj_x=True, adj_y=True)]

    compare(machine, case)
    assert all([layout["batch"] for layout in how["layouts"]] == [3, 3, 3] for how in machine.blas.launched)


@pytest.mark.parametrize(
    ("dtype", "kinds"),
    [("float16", (68, 0)), ("float64", (70, 1)), ("complex64", (68, 4)), ("complex128", (70, 5))],
)
def test_products_of_other_types(machine: Machine, dtype: str, kinds: tuple[int, int]) -> None:
    def case(feed: Callable[..., Any]) -> list[Any]:
        a, b = (x + 1j * x[::-1] if dtype.startswith("complex") else x for x in (floats(6, 9), floats(9, 5)))
        return [tf.matmul(feed(a.astype(dtype)), feed(b.astype(dtype)))]

    compare(machine, case)
    assert {(how["compute"], how["scale"]) for how in machine.blas.launched} == {kinds}


def test_a_bias_and_a_relu_are_part_of_the_product(machine: Machine) -> None:
    def case(feed: Callable[..., Any]) -> list[Any]:
        product, bias = tf.matmul(feed(floats(6, 9)), feed(floats(9, 5))), feed(floats(5))
        return [tf.nn.relu(product + bias)]

    compare(machine, case)
    assert [how["epilogue"] for how in machine.blas.launched] == [6, 6]
    assert not machine.seen.kernels


@pytest.mark.parametrize(("precision", "compute"), [("float32", 68), ("tf32", 77), ("bfloat16", 75)])
def test_the_precision_is_an_option(machine: Machine, precision: Any, compute: int) -> None:
    x = tf.placeholder(tf.float32, [4, 4])
    y = tf.matmul(x, x)
    with tf.Session(config=tf.ConfigProto(gpu_options=tf.GPUOptions(float32_precision=precision))) as session:
        session.run(y, {x: floats(4, 4)})
    assert {how["compute"] for how in machine.blas.launched} == {compute}


def test_a_precision_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="one of 'float32', 'tf32', 'bfloat16', not 'half'"):
        tf.GPUOptions(float32_precision="half")  # type: ignore[arg-type]


# -- gradients ---------------------------------------------------------------------------------------------------------


def layers(feed: Callable[..., Any]) -> list[Any]:
    """A step of training two layers, and what they then are."""
    x, labels = feed(floats(7, 6)), feed(floats(7, 3))
    weights = [tf.Variable(tf.constant(floats(*shape)), name=f"w{i}") for i, shape in enumerate([(6, 9), (9, 3)])]
    biases = [tf.Variable(tf.constant(floats(n)), name=f"b{n}") for n in (9, 3)]
    hidden = tf.nn.relu(tf.matmul(x, weights[0]) + biases[0])
    loss = tf.reduce_mean(tf.square(tf.matmul(hidden, weights[1]) + biases[1] - labels))
    with tf.control_dependencies([tf.train.AdamOptimizer(0.01).minimize(loss)]):
        return [loss, hidden, *map(tf.identity, weights), *map(tf.identity, biases)]


def test_gradients_of_relu_and_bias_are_part_of_products(machine: Machine) -> None:
    compare(machine, layers, runs=3)
    epilogues = [how["epilogue"] for how in machine.blas.launched]
    assert epilogues[: len(epilogues) // 2] == epilogues[len(epilogues) // 2 :]  # launched, then captured
    assert sorted(set(epilogues)) == [4, 134, 136, 256]
    assert "library_product_relu_gradient" in machine.seen.templates


def test_gradients_are_kernels_where_the_library_refuses_them(machine: Machine) -> None:
    machine.blas.refuses = lambda how: how["epilogue"] >= 128
    compare(machine, layers, runs=2)
    assert {how["epilogue"] for how in machine.blas.launched} == {1, 4, 6}


def test_epilogues_are_kernels_where_the_library_refuses_them(machine: Machine) -> None:
    machine.blas.refuses = lambda how: how["epilogue"] != 1
    compare(machine, layers)
    assert {how["epilogue"] for how in machine.blas.launched} == {1}


def test_a_mask_has_whole_words(machine: Machine) -> None:
    """More columns than the 128 bits of which the length of a mask's row is a multiple."""

    def case(feed: Callable[..., Any]) -> list[Any]:
        x, w = feed(floats(3, 2)), feed(floats(2, 131))
        hidden = tf.nn.relu(tf.matmul(x, w))
        loss = tf.reduce_sum(tf.matmul(hidden, feed(floats(131, 2))))
        return [hidden, *tf.gradients(loss, [w])]

    compare(machine, case)
    assert {how["aux_ld"] for how in machine.blas.launched if how["epilogue"] & 128} == {256}


# -- the rule, and what explain() says ---------------------------------------------------------------------------------


def test_the_reason_is_explained(machine: Machine) -> None:
    y = tf.matmul(tf.Variable(tf.zeros([3, 4])), tf.Variable(tf.zeros([4, 5])))
    assert "library_product (cuBLASLt 13.1.0, float32)" in explained(y)
    with using_libraries(Installed(no_blas="cuBLASLt is not installed: python -m pip install 'flowc[cuda]'")):
        assert "gemm (generated kernel: cuBLASLt is not installed: python -m pip install" in explained(y)


def test_a_library_that_refuses_is_warned_of(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("flowc.logging.warn", lambda message, *args: said.append(message % args))
    y = tf.matmul(tf.Variable(tf.zeros([3, 4])), tf.Variable(tf.zeros([4, 5])))
    machine.blas.refuses = lambda how: True
    assert "gemm (generated kernel: cublasLtMatmulAlgoGetHeuristic failed" in explained(y)
    assert said
    assert said[0].startswith(
        "A plan is made without cuBLASLt: cublasLtMatmulAlgoGetHeuristic failed: CUBLAS_STATUS_NOT"
    )


def test_a_call_that_fails_names_the_library_and_the_status(machine: Machine) -> None:
    x = tf.placeholder(tf.float32, [4, 4])
    machine.blas.fails = True
    with tf.Session() as session, pytest.raises(tf.errors.InternalError) as caught:
        session.run(tf.matmul(x, x), {x: floats(4, 4)})
    assert "cublasLtMatmul failed: CUBLAS_STATUS_NOT_SUPPORTED" in caught.value.message
    assert "/gpu:0" in caught.value.message


def test_plans_on_disk_are_of_their_libraries() -> None:
    x = tf.placeholder(tf.float32, [4, 4])
    y = tf.matmul(x, x)
    request = [y.op], [y], (), [FeedSpec(x, (4, 4))]
    keys: dict[str, set[str]] = {"cuda": set(), "cpu": set()}
    for libraries in (Vendor(), Vendor(blas="13.1.0"), Vendor(blas="13.2.0"), Vendor(blas="13.1.0", precision="tf32")):
        for target, found in keys.items():
            with using_vendor(libraries), compiling_for(target):  # type: ignore[arg-type]
                found.add(plan_key(*request))
    assert {target: len(found) for target, found in keys.items()} == {"cuda": 4, "cpu": 1}


def test_convolutions_are_explained(machine: Machine) -> None:
    y = tf.nn.conv2d(tf.Variable(tf.zeros([1, 5, 5, 2])), tf.Variable(tf.zeros([3, 3, 2, 4])), [1, 1, 1, 1], "SAME")
    assert "library_conv (cuDNN 9.27.0, float32)" in explained(y)
    machine.dnn.refuses = True
    assert "library_product (cudnnGetConvolutionForwardAlgorithm_v7 failed" in explained(y)
    with using_libraries(Installed(no_blas="no blas", no_dnn="no dnn")):
        assert "gemm (no dnn; generated kernel: no blas)" in explained(y)


# -- memory, order, capture --------------------------------------------------------------------------------------------


def test_calls_are_launched_once_captured_once_and_replayed(machine: Machine) -> None:
    x = tf.placeholder(tf.float32, [4, 4])
    y = tf.tanh(tf.matmul(tf.matmul(x, x), x))
    with tf.Session() as session:
        session.run(y, {x: floats(4, 4)})
        steps = [
            call for call in machine.gpu.calls if call in ("StubCublasLt", "launch", "begin_capture", "end_capture")
        ]
        once = ["StubCublasLt", "StubCublasLt", "launch"]
        assert steps == [*once, "begin_capture", *once, "end_capture"]
        machine.blas.calls.clear()
        for _ in range(3):
            session.run(y, {x: floats(4, 4)})
        assert not machine.blas.calls
        for how in machine.blas.launched:
            assert how["workspace"] % 256 == 0
            assert how["preference"]["workspace"] >= machine.blas.workspace


def test_new_values_of_a_variable_are_seen(machine: Machine) -> None:
    w = tf.Variable(tf.constant(floats(3, 3)), name="w")
    y = tf.matmul(w, w)
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for value in (floats(3, 3), floats(3, 3) * 2, floats(3, 3) * 3):
            session.variables.set("w", value)
            for _ in range(2):
                np.testing.assert_allclose(session.run(y), value @ value, rtol=1e-5)


def test_descriptors_are_given_back(machine: Machine) -> None:
    x = tf.placeholder(tf.float32, [1, 4, 4, 2])
    with tf.Session() as session:
        session.run(tf.nn.conv2d(x, tf.ones([2, 2, 2, 3]), [1, 1, 1, 1], "SAME"), {x: floats(1, 4, 4, 2)})
        session.run(tf.matmul(x[0, 0], x[0, 1], transpose_b=True), {x: floats(1, 4, 4, 2)})
    del session
    gc.collect()
    for library in (machine.blas, machine.dnn):
        assert [fields.get("kind") for fields in library.described.values()] == ["handle"]


def test_alignments_are_those_of_views(machine: Machine) -> None:
    x = tf.placeholder(tf.float32, [8, 8])
    with tf.Session() as session:
        session.run(tf.matmul(x[:, 1:], x[1:, :2]), {x: floats(8, 8)})
    asked = machine.blas.launched[0]["preference"]
    assert [asked[f"align_{side}"] for side in "abcd"] == [32, 4, 256, 256]  # A is our second factor


# -- convolutions ------------------------------------------------------------------------------------------------------

WINDOWS = [
    ((5, 6), (3, 3), (1, 1), "SAME"),
    ((5, 6), (2, 3), (2, 1), "SAME"),  # one more row of zeros below than above
    ((6, 8), (3, 3), (2, 2), "SAME"),  # zeros below and to the right only
    ((5, 7), (2, 2), (2, 3), "VALID"),  # pixels at the end that no window meets
    ((3, 4), (1, 1), (2, 2), "SAME"),
    ((4, 4), (4, 4), (1, 1), "VALID"),
]


@pytest.mark.parametrize("library", [True, False])
def test_convolutions_and_their_gradients(machine: Machine, library: bool) -> None:
    def case(feed: Callable[..., Any]) -> list[Any]:
        found = []
        for size, window, (down, across), padding in WINDOWS:
            image, filter = feed(floats(2, *size, 3)), feed(floats(*window, 3, 2))
            result = tf.nn.conv2d(image, filter, [1, down, across, 1], padding)
            found += [result, *tf.gradients(tf.reduce_sum(result * result), [image, filter])]
        return found

    machine.dnn.refuses = not library
    compare(machine, case)
    assert len(machine.dnn.launched) == (2 * 3 * len(WINDOWS) if library else 0)
    assert {asked["math"] for asked in machine.dnn.launched} <= {3}


def test_convolutions_may_round_to_tf32(machine: Machine) -> None:
    x = tf.placeholder(tf.float32, [1, 4, 4, 2])
    y = tf.nn.conv2d(x, tf.ones([2, 2, 2, 3]), [1, 1, 1, 1], "SAME")
    with tf.Session(config=tf.ConfigProto(gpu_options=tf.GPUOptions(float32_precision="tf32"))) as session:
        session.run(y, {x: floats(1, 4, 4, 2)})
    assert {asked["math"] for asked in machine.dnn.launched} == {0}


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_convolutions_of_other_types(machine: Machine, dtype: str) -> None:
    def case(feed: Callable[..., Any]) -> list[Any]:
        image, filter = feed(floats(1, 4, 5, 2, dtype=dtype)), feed(floats(2, 2, 2, 3, dtype=dtype))
        return [tf.nn.conv2d(image, filter, [1, 1, 1, 1], "SAME")]

    compare(machine, case)
    assert {asked["tensors"][0][0]["element"] for asked in machine.dnn.launched} == {
        "f8" if dtype == "float64" else "f4"
    }
