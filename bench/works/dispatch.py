"""The cost of a run itself: c = a * b on float32[4], NumPy in, NumPy out."""

from __future__ import annotations

import numpy as np

from bench.work import Arrays, Case, Target, Work, random

A, B = random(4, seed=1), random(4, seed=2)


def expected() -> Arrays:
    return {"c": A.astype(np.float64) * B}


def in_flowc() -> Case:
    import flowc as tf

    a, b = tf.placeholder(tf.float32, [4]), tf.placeholder(tf.float32, [4])
    c = tf.mul(a, b)
    session = tf.Session()
    return Case(lambda: session.run(c, {a: A, b: B}), lambda: {"c": session.run(c, {a: A, b: B})})


def in_flowc_callable() -> Case:
    import flowc as tf

    a, b = tf.placeholder(tf.float32, [4]), tf.placeholder(tf.float32, [4])
    call = tf.Session().make_callable(tf.mul(a, b), [a, b])
    return Case(lambda: call(A, B), lambda: {"c": call(A, B)})


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    a, b = tf.placeholder(tf.float32, [4]), tf.placeholder(tf.float32, [4])
    c = a * b
    session = tf.Session()
    return Case(lambda: session.run(c, {a: A, b: B}), lambda: {"c": session.run(c, {a: A, b: B})})


def in_tensorflow_callable() -> Case:
    import tensorflow.compat.v1 as v1

    with v1.Graph().as_default():
        a, b = v1.placeholder(v1.float32, [4]), v1.placeholder(v1.float32, [4])
        call = v1.Session().make_callable(a * b, [a, b])
    return Case(lambda: call(A, B), lambda: {"c": call(A, B)})


def in_tensorflow_function() -> Case:
    import tensorflow as tf

    spec = tf.TensorSpec([4], tf.float32)
    multiply = tf.function(lambda a, b: a * b, input_signature=[spec, spec])
    return Case(lambda: multiply(A, B).numpy(), lambda: {"c": multiply(A, B)})


def in_jax() -> Case:
    import jax

    multiply = jax.jit(lambda a, b: a * b)
    return Case(lambda: np.asarray(multiply(A, B)), lambda: {"c": multiply(A, B)})


def in_torch() -> Case:
    import torch

    def step() -> object:
        return (torch.from_numpy(A) * torch.from_numpy(B)).numpy()

    return Case(step, lambda: {"c": step()})


def in_torch_compile() -> Case:
    import torch

    multiply = torch.compile(lambda a, b: a * b)

    def step() -> object:
        with torch.inference_mode():
            return multiply(torch.from_numpy(A), torch.from_numpy(B)).numpy()

    return Case(step, lambda: {"c": step()})


WORK = Work(
    name="dispatch",
    title="run of c = a*b, float32[4], NumPy in and out",
    targets=(Target(0.35, "jax"), Target(0.03, "tf")),
    systems={
        "flowc": in_flowc,
        "flowc.callable": in_flowc_callable,
        "tf": in_tensorflow,
        "tf.callable": in_tensorflow_callable,
        "tf.function": in_tensorflow_function,
        "jax": in_jax,
        "torch": in_torch,
        "torch.compile": in_torch_compile,
    },
    expected=expected,
)
