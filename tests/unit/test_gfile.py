"""Files and folders by the API's names."""

from __future__ import annotations

from pathlib import Path

import pytest

import flowc as tf
from flowc import gfile


def test_files_and_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    gfile.MakeDirs(str(folder))
    gfile.MakeDirs(str(folder))
    with gfile.GFile(str(folder / "x.txt"), "w") as file:
        file.write("grün")
    gfile.Copy(folder / "x.txt", folder / "y.txt")
    with tf.gfile.FastGFile(folder / "y.txt", "rb") as file:
        assert file.read() == "grün".encode()
    assert gfile.ListDirectory(folder) == ["x.txt", "y.txt"]
    assert gfile.Glob(f"{folder}/*.txt") == [str(folder / "x.txt"), str(folder / "y.txt")]
    assert [(name, files) for name, _, files in gfile.Walk(folder)] == [(str(folder), ["x.txt", "y.txt"])]
    gfile.Rename(folder / "x.txt", folder / "z.txt")
    assert (gfile.Exists(folder / "x.txt"), gfile.Exists(folder / "z.txt")) == (False, True)
    gfile.Remove(folder / "z.txt")
    assert gfile.IsDirectory(folder)
    gfile.DeleteRecursively(tmp_path / "a")
    assert not gfile.IsDirectory(folder)


def test_errors(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(tf.errors.NotFoundError, match="none: No such file"):
        gfile.GFile(tmp_path / "none")
    with pytest.raises(tf.errors.NotFoundError):
        gfile.DeleteRecursively(tmp_path / "none")
    with pytest.raises(tf.errors.NotFoundError):
        gfile.ListDirectory(tmp_path / "none")
    with pytest.raises(tf.errors.AlreadyExistsError):
        gfile.MkDir(tmp_path / "full")
    with pytest.raises(tf.errors.AlreadyExistsError, match="overwrite=True"):
        gfile.Copy(tmp_path / "full" / "file", tmp_path / "full" / "file")
    with pytest.raises(tf.errors.FailedPreconditionError):
        gfile.GFile(tmp_path / "full", "rb")
    (tmp_path / "other").touch()
    gfile.Rename(tmp_path / "other", tmp_path / "full" / "file", overwrite=True)
    assert not gfile.Exists(tmp_path / "other")
