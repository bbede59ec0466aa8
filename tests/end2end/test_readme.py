"""The README's worked example: an op is added by the lines it shows, and runs, fused and differentiated."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"

SETUP = """
import numpy as np
import flowc as tf
from flowc.framework import shape_rules
from flowc.framework.dtypes import REAL
from flowc.framework.building import apply
from flowc.framework.registry import define, gradient
from flowc.codegen.lower.registry import lowering
from flowc.ops import math_ops
"""

CHECK = """
x = np.linspace(-3, 3, 7, dtype=np.float32)
inputs = tf.placeholder(tf.float32, [None])
values = swish(inputs)
slope = tf.gradients(values, inputs)[0]
with tf.Session() as sess:
    y, dy = sess.run([values, slope], {inputs: x})
    launches = len(sess.plan([values, slope], {inputs: x}).plan.entries)
s = 1 / (1 + np.exp(-x))
np.testing.assert_allclose(y, x * s, rtol=1e-6)
np.testing.assert_allclose(dy, s + x * s * (1 - s), rtol=1e-5, atol=1e-6)
assert launches == 1, launches
"""


def test_adding_an_op() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    frontend, lowering = (block for block in blocks if "Swish" in block)
    script = f"{SETUP}\nexec({lowering!r}, dict(globals()))\n{frontend}{CHECK}"  # two modules, hence two namespaces
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
