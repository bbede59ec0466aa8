"""What users are shown beside results: `FLOWC_DEBUG`, `explain()`, traces and warnings, also of a bad cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import flowc as tf

SCRIPT = """
import flowc as tf, numpy as np
x = tf.placeholder(tf.float32, [None, 3], name="x")
y = tf.nn.softmax(x * 2.0, name="y")
with tf.Session() as sess:
    for rows in (4, 4, 5):
        print(sess.run(y, {x: np.ones((rows, 3))}).shape)
"""
PRINTED = "(4, 3)\n(4, 3)\n(5, 3)\n"


def run_script(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script's run in a process of its own, in `folder`."""
    (folder / "script.py").write_text(SCRIPT)
    answer = subprocess.run(
        [sys.executable, "script.py"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == PRINTED
    return answer


class TestDebugLevels:
    @pytest.mark.parametrize(
        ("level", "said", "not_said"),
        [
            ("0", [], ["flowc"]),
            (
                "1",
                ["devices: ", "plan miss: fetches y:0; feeds x:0: first run", "plan hit", "(4, 3) to (5, 3)"],
                ["GB/s"],
            ),
            ("2", ["plan hit", " us ", "GB/s"], ["after fuse"]),
            ("3", ["GB/s", "after specialise:", "after fuse:", "after memory:"], ["def "]),
            ("4", ["after fuse:", "kernel ", "def ", "exp(v"], []),
        ],
    )
    def test_each_says_more_on_stderr(self, tmp_path: Path, level: str, said: list[str], not_said: list[str]) -> None:
        told = run_script(tmp_path, FLOWC_DEBUG=level).stderr
        assert [text for text in said if text not in told] == []
        assert [text for text in not_said if text in told] == []

    def test_a_level_that_there_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLOWC_DEBUG", "9")
        with pytest.raises(ValueError, match="FLOWC_DEBUG must be a number from 0 to 4, not '9'"):
            tf.Session()


@pytest.mark.usefixtures("graph")
class TestPlans:
    def test_explain_names_ops_lines_sizes_and_reasons(self, capsys: pytest.CaptureFixture[str]) -> None:
        x = tf.placeholder(tf.float32, [None, 8], name="x")
        y = tf.nn.relu(tf.matmul(x, tf.ones([8, 4])) + 1.0, name="y")
        with tf.Session() as sess:
            text = sess.plan(y, {x: np.ones((2, 8))}).explain(source=True)
        assert capsys.readouterr().out == text + "\n"
        assert f"{__file__}:" in text
        for part in ("feed     x:0 float32[2, 8]", "fetch    y:0 float32[2, 4]", "MatMul → add: the producer", "def "):
            assert part in text

    def test_a_trace_is_what_chrome_reads(self, tmp_path: Path) -> None:
        x = tf.placeholder(tf.float32, [1000])
        y = tf.nn.softmax(tf.reshape(x, [10, 100]))
        with tf.Session() as sess:
            result = sess.run(y, {x: np.ones(1000)}, trace=tmp_path / "trace.json")
        np.testing.assert_allclose(result, 0.01, rtol=1e-6)
        events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
        assert events
        for event in events:
            assert event["ph"] == "X"
            assert event["dur"] >= 0
            assert event["args"].keys() >= {"GB/s", "bytes", "ops"}

    def test_a_line_that_makes_many_plans_is_told_once_and_why(self) -> None:
        x = tf.placeholder(tf.float32, [None], name="x")
        y = tf.reduce_sum(x)
        with tf.Session() as sess, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for size in range(1, 30):
                sess.run(y, {x: np.ones(size)})
            for factor in range(1, 30):
                sess.run(y * float(factor), {x: [1.0]})
        grown, built = (warning for warning in caught if warning.category is tf.PlanMissWarning)
        assert "the shape of the feed 'x:0' changed from (8,) to (9,)" in str(grown.message)
        assert "the graph grew by" in str(built.message)
        assert grown.filename == built.filename == __file__
        assert grown.lineno < built.lineno

    def test_a_few_shapes_are_no_reason_to_warn(self) -> None:
        x = tf.placeholder(tf.float32, [None])
        with tf.Session() as sess, warnings.catch_warnings():
            warnings.simplefilter("error")
            for size in (1, 2, 3, 1, 2, 3):
                sess.run(x * 2, {x: np.ones(size)})


class TestCacheFolder:
    """Whatever is wrong with it, scripts run; they are told once, at their own line, what to do."""

    def test_a_file_where_the_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        told = run_script(tmp_path, FLOWC_CACHE_DIR=str(tmp_path / "file")).stderr
        assert told.count("CacheWarning") == 1
        assert "script.py:7: CacheWarning" in told
        assert "set FLOWC_CACHE_DIR to a folder of your own" in told

    def test_a_folder_that_others_can_write_to(self, tmp_path: Path) -> None:
        folder = tmp_path / "cache"
        folder.mkdir()
        folder.chmod(0o777)
        told = run_script(tmp_path, FLOWC_CACHE_DIR=str(folder)).stderr
        assert told.count("CacheWarning") == 1
        assert f"run: chmod go-w {folder}" in told
        assert not [path for path in folder.rglob("*") if path.is_file()]

    def test_damaged_entries_are_told_and_made_again(self, tmp_path: Path) -> None:
        folder = tmp_path / "cache"
        run_script(tmp_path, FLOWC_CACHE_DIR=str(folder))
        entries = [path for path in folder.rglob("*") if path.is_file()]
        for number, path in enumerate(entries):
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2] if number % 2 else content[:-1] + bytes([content[-1] ^ 1]))
        told = run_script(tmp_path, FLOWC_CACHE_DIR=str(folder)).stderr
        assert told.count("It will be replaced") == len(entries)
        assert run_script(tmp_path, FLOWC_CACHE_DIR=str(folder)).stderr == ""
