"""Checkpoint files: what is written is read back bit for bit; what is damaged or unfinished is never read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.train import atomic_files
from flowc.train.atomic_files import remove_unfinished, replaced, write_file
from flowc.train.checkpoint_files import CheckpointReader, matching_files, write_checkpoint

ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "a/scalar": np.array(3.5, np.float32),
    "a/empty": np.zeros((0, 4), np.float64),
    "b": np.array([[np.nan, -0.0], [np.inf, 1e-310]]),
    "half": np.arange(5, dtype=np.float16),
    "flags": np.array([True, False]),
    "z": np.array([1 + 2j, -3j], np.complex64),
    "Z": np.arange(6).reshape(1, 3, 2) * (1 - 0.5j),
    "words": np.array([[b"", b"one"], [b"\xff\x00", "drei ö".encode()]], object),
    "word": np.array(b"alone", object),
    "no words": np.empty((0, 2), object),
    **{
        f"ints/{t}": np.array([0, 1, np.iinfo(t).max], t)
        for t in ("int8", "uint8", "int16", "uint16", "int32", "int64")
    },
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "model.ckpt")


def test_what_is_written_is_read(path: str) -> None:
    write_checkpoint(path, ARRAYS)
    reader = CheckpointReader(path)
    assert set(reader.tensors()) == set(ARRAYS)
    for name, value in ARRAYS.items():
        info, got = reader.info(name), reader.get_tensor(name)
        assert (got.shape, info.shape, got.dtype) == (value.shape, value.shape, value.dtype), name
        assert got.tolist() == value.tolist() if value.dtype == object else got.tobytes() == value.tobytes(), name
    assert reader.info("words").dtype is tf.string
    assert reader.get_variable_to_shape_map()["Z"] == [1, 3, 2]


def test_views_and_foreign_byte_orders_are_written_as_they_count(path: str) -> None:
    table = np.arange(24, dtype=np.float32).reshape(4, 6)
    write_checkpoint(path, {"t": table.T, "part": table[1:, ::2], "big": table.astype(">f4")})
    reader = CheckpointReader(path)
    np.testing.assert_array_equal(reader.get_tensor("t"), table.T)
    np.testing.assert_array_equal(reader.get_tensor("part"), table[1:, ::2])
    np.testing.assert_array_equal(reader.get_tensor("big"), table)


def test_other_programs_read_it_and_it_reads_theirs(path: str) -> None:
    from safetensors.numpy import load_file, save_file

    write_checkpoint(path, {"w": np.ones([2, 3], np.float32)})
    np.testing.assert_array_equal(load_file(path)["w"], np.ones([2, 3]))
    save_file({"w": np.full([4], 7, np.int64)}, path, {"format": "pt"})
    np.testing.assert_array_equal(CheckpointReader(path).get_tensor("w"), [7] * 4)


def test_several_files_are_one_checkpoint(tmp_path: Path) -> None:
    for index, name in enumerate("ab"):
        write_checkpoint(str(tmp_path / f"m-0000{index}-of-00002"), {name: np.full(2, index)})
    pattern = str(tmp_path / "m-?????-of-00002")
    assert len(matching_files(pattern)) == 2
    reader = CheckpointReader(pattern)
    assert [reader.get_tensor(name).tolist() for name in "ab"] == [[0, 0], [1, 1]]


def test_a_name_with_a_patterns_letters_is_a_name(tmp_path: Path) -> None:
    path = str(tmp_path / "model[1]*.ckpt")
    write_checkpoint(path, {"x": np.ones(1)})
    assert matching_files(path) == [path]


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_not_there(path: str) -> None:
    with pytest.raises(tf.errors.NotFoundError, match=r"matching files for .*model\.ckpt"):
        CheckpointReader(path)
    with pytest.raises(tf.errors.NotFoundError, match=r"which is a folder: tf\.train\.latest_checkpoint"):
        CheckpointReader(str(Path(path).parent))
    write_checkpoint(f"{path}-7", {"x": np.ones(1)})
    with pytest.raises(tf.errors.NotFoundError, match=r"did you mean '.*model\.ckpt-7'\? tf\.train\.latest_checkpoint"):
        CheckpointReader(path)
    write_checkpoint(path, {"x": np.ones(1), "y": np.ones(1)})
    with pytest.raises(tf.errors.NotFoundError, match=r"Tensor name \"z\" not found .*'x', 'y'"):
        CheckpointReader(path).get_tensor("z")
    with pytest.raises(tf.errors.NotFoundError, match="Parent directory of"):
        write_checkpoint(str(Path(path).parent / "nowhere" / "model.ckpt"), {"x": np.ones(1)})


def test_every_damage_is_seen(path: str) -> None:
    write_checkpoint(path, {"x": np.arange(300.0), "y": np.arange(8)})
    good = Path(path).read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(200):
        damaged = bytearray(good)
        if trial % 4:
            damaged[rng.integers(len(good))] ^= 1 << int(rng.integers(8))
        else:
            del damaged[int(rng.integers(len(good))) :]
        Path(path).write_bytes(damaged)
        try:
            values = _read_all(path)
        except (tf.errors.DataLossError, tf.errors.NotFoundError):
            continue
        except tf.errors.FailedPreconditionError:  # another digit is another version
            continue
        # A changed letter of a checksum's name or of a format's name hides the checksum, never a value.
        assert [v.tobytes() for v in values] == [np.arange(300.0).tobytes(), np.arange(8).tobytes()], trial


def _read_all(path: str) -> list[Any]:
    reader = CheckpointReader(path)
    return [reader.get_tensor(name) for name in ("x", "y")]


def test_a_file_of_another_kind(path: str) -> None:
    for content in (b"", b"12345678", b"\0" * 100, b"hello, this is no checkpoint at all"):
        Path(path).write_bytes(content)
        with pytest.raises(tf.errors.DataLossError, match="damaged, or no checkpoint"):
            CheckpointReader(path)


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").mkdir()
    with pytest.raises(tf.errors.OpError, match=r"model\.ckpt"):
        write_checkpoint(str(tmp_path / "model.ckpt"), {"x": np.ones(1)})
    assert os.listdir(tmp_path) == ["model.ckpt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ones_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(tf.errors.PermissionDeniedError):
        write_checkpoint(str(tmp_path / "model.ckpt"), {"x": np.ones(1)})


def test_a_full_disk(path: str) -> None:
    """A limit on the size of files stands for it."""
    import resource
    import signal

    write_checkpoint(path, {"x": np.ones(1)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(tf.errors.OpError, match=r"File too large"):
            write_checkpoint(path, {"x": np.ones(10000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert CheckpointReader(path).get_tensor("x").tolist() == [1.0]
    assert os.listdir(Path(path).parent) == ["model.ckpt"]


# -- in one step -------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "text"
    write_file(path, b"before")
    with pytest.raises(FileNotFoundError), replaced(path) as unfinished:
        unfinished.write_text((tmp_path / "nowhere").read_text())
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["text"]


def test_what_is_written_has_the_mode_that_the_user_wants(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        write_checkpoint(str(tmp_path / "model.ckpt"), {"x": np.ones(1)})
        write_file(tmp_path / "text", b"")
    finally:
        os.umask(umask)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("model.ckpt", "text")] == [0o640] * 2


def test_what_is_written_is_flushed_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    path = tmp_path / "model.ckpt"
    write_checkpoint(str(path), {"x": np.ones(1)})
    assert flushed == [path.stat().st_ino, tmp_path.stat().st_ino]


def test_abandoned_files_are_deleted_and_held_ones_stay(tmp_path: Path) -> None:
    abandoned, young, held = (tmp_path / f"{atomic_files._PREFIX}{name}" for name in ("old", "young", "held"))
    for folder in (abandoned, young, held):
        folder.mkdir()
        (folder / "model.ckpt").write_bytes(b"half")
    for folder in (abandoned, held):
        os.utime(folder, (0, 0))
    with atomic_files._locked(held):
        remove_unfinished(tmp_path)
    assert set(os.listdir(tmp_path)) == {young.name, held.name}


# -- which there are ---------------------------------------------------------------------------------------------------


def test_the_state_of_a_folder(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert tf.train.get_checkpoint_state(folder) is None
    assert tf.train.latest_checkpoint(folder) is None
    first, second = str(tmp_path / "m-1"), str(tmp_path / "m-2")
    tf.train.update_checkpoint_state(folder, second, [first])
    state = tf.train.get_checkpoint_state(folder)
    assert (state.model_checkpoint_path, list(state.all_model_checkpoint_paths)) == (second, [first, second])
    assert tf.train.latest_checkpoint(folder) == second
    lines = [f'model_checkpoint_path: "{second}"', *(f'all_model_checkpoint_paths: "{p}"' for p in (first, second))]
    assert (tmp_path / "checkpoint").read_text().splitlines() == lines
    tf.train.update_checkpoint_state(folder, first, latest_filename="newest")
    assert tf.train.latest_checkpoint(folder, "newest") == first
    assert tf.train.latest_checkpoint(folder) == second


def test_relative_paths_move_with_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("train")
    tf.train.update_checkpoint_state("train", os.path.join("train", "m-1"))
    assert 'model_checkpoint_path: "m-1"' in Path("train/checkpoint").read_text()
    assert tf.train.latest_checkpoint("train") == os.path.join("train", "m-1")
    os.rename("train", "moved")
    assert tf.train.latest_checkpoint("moved") == os.path.join("moved", "m-1")


def test_a_state_that_is_no_state(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="conflicts with path used for checkpoint state"):
        tf.train.update_checkpoint_state(str(tmp_path), str(tmp_path / "checkpoint"))
    (tmp_path / "checkpoint").write_text("no such { thing")
    with pytest.warns(UserWarning, match="Checkpoint ignored"):
        assert tf.train.latest_checkpoint(str(tmp_path)) is None
