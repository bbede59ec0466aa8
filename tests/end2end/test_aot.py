"""Ahead of time: plans compiled, saved, and run by a process that has no graph, no compiler and no cache."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.cpu.target import Target
from flowc.runtime import instruction_sets
from flowc.runtime.plan_file import read_plan_file, write_plan_file


def softmax_model() -> tuple[tf.Tensor, tf.Tensor, tf.Variable]:
    """x [None, 3] and softmax(x W), with W = ones."""
    x = tf.placeholder(tf.float32, [None, 3], name="x")
    weights = tf.Variable(tf.ones([3, 2]), name="W")
    return x, tf.nn.softmax(tf.matmul(x, weights), name="y"), weights


def saved_model(path: Path, **options: Any) -> Path:
    """The softmax model for a batch of 4, in a file."""
    with tf.Graph().as_default(), tf.Session() as session:
        x, y, _ = softmax_model()
        session.run(tf.initialize_all_variables())
        tf.compile(y, {x: (4, 3)}).save(path, **options)
    return path


def training_model(path: Path) -> None:
    """One step of gradient descent on (w·x − y)², and its loss, in a file."""
    with tf.Graph().as_default(), tf.Session() as session:
        x, y = tf.placeholder(tf.float32, [8, 2], name="x"), tf.placeholder(tf.float32, [8, 1], name="y")
        w = tf.Variable(tf.zeros([2, 1]), name="w")
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        step = tf.train.GradientDescentOptimizer(0.3).minimize(loss)
        session.run(tf.initialize_all_variables())
        tf.compile({"loss": loss, "step": step}, [x, y], session).save(path)


IMAGES = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


def in_fresh_process(program: str, cache: Path, **environment: str) -> str:
    """What the program prints, run with an empty cache."""
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "FLOWC_CACHE_DIR": str(cache), **environment},
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# -- compile -----------------------------------------------------------------------------------------------------------


def test_a_compiled_plan_gives_what_the_session_gives(graph: tf.Graph) -> None:
    x, y, _ = softmax_model()
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        plan = tf.compile(y, {x: (4, 3)}, session)
        expected = session.run(y, {x: IMAGES})
        for result in (plan(IMAGES), plan.run(IMAGES), plan(x=IMAGES), plan({"x:0": IMAGES}), plan(IMAGES.tolist())):
            np.testing.assert_array_equal(result, expected)
    assert repr(plan) == "<flowc.CompiledPlan: x:0 float32[4, 3] → y:0 float32[4, 2]>"


def test_compiling_runs_nothing(graph: tf.Graph) -> None:
    count = tf.Variable(0, name="count")
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        plan = tf.compile(count.assign_add(1), [], session)
        assert session.run(count) == 0
        assert [plan(), plan()] == [1, 2]
        assert session.run(count) == 2, "the variables of a plan that is compiled for a session are the session's"


@pytest.mark.parametrize(
    "feed", [(4, 3), [4, 3], tf.TensorShape([4, 3]), IMAGES, np.empty((4, 3), np.float64), np.float32([1, 2, 3])]
)
def test_shapes_of_feeds_may_be_given_in_several_ways(graph: tf.Graph, feed: Any) -> None:
    x = tf.placeholder(tf.float32, name="x")
    plan = tf.compile(x * 2.0, {x: feed})
    assert plan.feeds[0].shape == tuple(getattr(feed, "shape", tuple(feed)))


def test_fetches_come_back_in_their_structure(graph: tf.Graph) -> None:
    x = tf.placeholder(tf.float32, [2], name="x")
    y = x + 1.0
    plan = tf.compile({"a": [y, (x, y.op)], "b": tf.reduce_sum(y)}, [x])
    result = plan(np.float32([1, 2]))
    assert result["b"] == 5.0
    np.testing.assert_array_equal(result["a"][0], [2, 3])
    np.testing.assert_array_equal(result["a"][1][0], [1, 2])
    assert result["a"][1][1] is None


def test_what_cannot_be_compiled_says_why(graph: tf.Graph) -> None:
    x, y, _ = softmax_model()
    with pytest.raises(ValueError, match=r"The shape of 'x:0' is \(\?, 3\): a plan is for one shape"):
        tf.compile(y, [x])
    with pytest.raises(ValueError, match="not compatible"):
        tf.compile(y, {x: (4, 5)})
    with pytest.raises(TypeError, match="feeds must be a list"):
        tf.compile(y, x)
    with pytest.raises(tf.errors.InvalidArgumentError, match="You must feed a value for placeholder tensor 'x'"):
        tf.compile(y)
    with pytest.raises(TypeError, match="strings as keys"):
        tf.compile({1: y}, {x: (4, 3)})
    with pytest.raises(ValueError, match="not an element of this graph"), tf.Graph().as_default():
        tf.compile(y, {x: (4, 3)})


def test_a_plan_may_be_for_a_value_of_a_feed(graph: tf.Graph, tmp_path: Path) -> None:
    x = tf.placeholder(tf.float32, [6], name="x")
    n = tf.placeholder(tf.int32, [2], name="n")
    y = tf.reshape(x, n)
    with pytest.raises(ValueError, match="depend on the values of n:0: give an array"):
        tf.compile(y, [x, n])
    tf.compile(y, {x: (6,), n: np.array([2, 3])}).save(tmp_path / "m")
    plan = tf.load_plan(tmp_path / "m")
    values = np.arange(6, dtype=np.float32)
    np.testing.assert_array_equal(plan(values, [2, 3]), values.reshape(2, 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"compiled for \[2, 3\] only"):
        plan(values, [3, 2])


# -- calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named", "error", "message"),
    [
        ((), {}, TypeError, r"no value is given for x:0; this plan takes x:0 float32\[4, 3\]"),
        ((IMAGES, IMAGES), {}, TypeError, "takes 1 feeds"),
        ((IMAGES,), {"x": IMAGES}, TypeError, "given twice"),
        (({"x": IMAGES, "z": 1},), {}, TypeError, "this plan has no feed 'z'; it takes x:0"),
        ((IMAGES[:2],), {}, ValueError, r"Cannot feed value of shape \(2, 3\) for Tensor 'x:0'"),
        ((None,), {}, TypeError, "Cannot feed Tensor 'x:0'"),
        (([[1], [2, 3]],), {}, ValueError, "different lengths"),
    ],
)
def test_wrong_feeds_of_a_loaded_plan_are_refused(
    tmp_path: Path, arguments: Any, named: Any, error: type[Exception], message: str
) -> None:
    plan = tf.load_plan(saved_model(tmp_path / "m"))
    for _ in range(2):
        with pytest.raises(error, match=message):
            plan(*arguments, **named)
        plan(IMAGES)  # the second time round, the short way is open


def test_errors_of_a_loaded_plan_name_the_users_line(graph: tf.Graph, tmp_path: Path) -> None:
    rows = tf.placeholder(tf.int32, [2], name="rows")
    tf.compile(tf.gather(tf.constant([1.0, 2.0, 3.0]), rows, name="pick"), [rows]).save(tmp_path / "m")
    plan = tf.load_plan(tmp_path / "m")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)7.*pick \(Gather\).*test_aot.py:\d+"):
        plan([1, 7])
    np.testing.assert_array_equal(plan([2, 0]), [3, 1])


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_fresh_process_needs_no_graph_no_compiler_and_no_cache(tmp_path: Path) -> None:
    saved_model(tmp_path / "m")
    program = f"""
import sys, numpy as np, flowc
plan = flowc.load_plan({str(tmp_path / "m")!r})
print(plan(x=np.arange(12, dtype=np.float32).reshape(4, 3) / 7).tolist())
heavy = "flowc.codegen.cpu.compiler", "flowc.codegen.pipeline", "flowc.codegen.render"
print([m for m in sys.modules if m.startswith(heavy)])
print(len(flowc.get_default_graph().get_operations()))
"""
    values, modules, operations = in_fresh_process(program, tmp_path / "cache").splitlines()
    np.testing.assert_allclose(eval(values), [[0.5, 0.5]] * 4)
    assert (modules, operations) == ("[]", "0")
    assert not (tmp_path / "cache").exists()


def test_training_goes_on_in_a_fresh_process(tmp_path: Path) -> None:
    training_model(tmp_path / "m")
    program = f"""
import numpy as np, flowc
plan = flowc.load_plan({str(tmp_path / "m")!r})
x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
y = x @ np.float32([[2], [-3]])
losses = [plan(x, y)["loss"] for _ in range(60)]
assert losses[-1] < 1e-4 < losses[0], losses
before = plan.variables["w"]
plan.variables["w"] = np.zeros((2, 1), np.float32)
assert plan(x, y)["loss"] == losses[0]
print(before.ravel().tolist(), list(plan.variables))
"""
    out = in_fresh_process(program, tmp_path / "cache")
    weights, names = eval(out.replace("] [", "], ["))
    np.testing.assert_allclose(weights, [2, -3], atol=0.05)
    assert names == ["w"]


def test_variables_may_be_left_out(tmp_path: Path) -> None:
    plan = tf.load_plan(saved_model(tmp_path / "m", variables="names"))
    with pytest.raises(tf.errors.FailedPreconditionError, match=r"plan\.variables\['W'\] = array"):
        plan(IMAGES)
    with pytest.raises(KeyError, match="not initialized"):
        plan.variables["W"]
    with pytest.raises(KeyError, match="no variable 'V'; it has: W"):
        plan.variables["V"] = 1
    with pytest.raises(ValueError, match="Cannot feed value of shape"):
        plan.variables["W"] = np.ones((2, 2))
    plan.variables["W"] = np.ones((3, 2))
    np.testing.assert_allclose(plan(IMAGES), np.full((4, 2), 0.5))


def test_two_loaded_plans_share_no_variables(tmp_path: Path) -> None:
    path = saved_model(tmp_path / "m")
    first, second = tf.load_plan(path), tf.load_plan(path)
    first.variables["W"] = np.zeros((3, 2))
    np.testing.assert_array_equal(second.variables["W"], np.ones((3, 2)))


def test_variables_without_values_cannot_be_saved(graph: tf.Graph, tmp_path: Path) -> None:
    x, y, _ = softmax_model()
    plan = tf.compile(y, {x: (4, 3)})
    with pytest.raises(tf.errors.FailedPreconditionError, match="no values to save: W"):
        plan.save(tmp_path / "m")
    with pytest.raises(ValueError, match='must be "values" or "names"'):
        plan.save(tmp_path / "m", variables="none")  # type: ignore[arg-type]
    assert not (tmp_path / "m").exists()


def test_strings_go_through_a_file(graph: tf.Graph, tmp_path: Path) -> None:
    tf.compile([tf.constant("Hello"), tf.constant(["a", "b\0"])], []).save(tmp_path / "m")
    first, second = tf.load_plan(tmp_path / "m")()
    assert first == b"Hello"
    assert second.tolist() == [b"a", b"b\0"]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = saved_model(tmp_path / "m")
    content = bytearray(path.read_bytes())
    for position in range(0, len(content), len(content) // 40):
        damaged = bytes(content[:position]) + bytes([content[position] ^ 4]) + bytes(content[position + 1 :])
        for data in (damaged, content[:position]):
            path.write_bytes(data)
            with pytest.raises(tf.errors.DataLossError, match="Nothing of it was run"):
                tf.load_plan(path)


# -- other machines ----------------------------------------------------------------------------------------------------


def for_another_cpu(path: Path) -> Path:
    """Rewrites the file as if it was compiled for features that no CPU has."""
    file = read_plan_file(path)
    assert file.target is not None
    target = replace(file.target, features=file.target.features + ",+warp-drive")
    write_plan_file(path, replace(file, target=target, objects=dict.fromkeys(file.objects, b"not executable")))
    return path


def test_a_file_for_another_cpu_is_compiled_from_its_sources(tmp_path: Path) -> None:
    plan = tf.load_plan(for_another_cpu(saved_model(tmp_path / "m")))
    np.testing.assert_allclose(plan(IMAGES), np.full((4, 2), 0.5))


def test_instruction_sets_that_are_missing() -> None:
    triple = f"{os.uname().machine}-unknown-linux-gnu"
    assert instruction_sets.missing(Target(triple, "generic", "")) == []
    assert instruction_sets.missing(Target(triple, "any", "+warp-drive,-avx")) == ["warp-drive"]
    assert instruction_sets.missing(Target("sparc-sun-solaris", "any", ""))[0].startswith("the architecture sparc")
    assert instruction_sets.missing(Target(triple, "transmeta", "")) == [
        "the instruction sets of transmeta, which are not known here"
    ]


def test_a_compiled_plan_explains_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tf.load_plan(saved_model(tmp_path / "m"))
    text = plan.explain(source=True)
    assert capsys.readouterr().out == text + "\n"
    for part in ("feed     x:0 float32[4, 3]", "fetch    y:0 float32[4, 2]", "test_aot.py:", "def ", "not fused:"):
        assert part in text
