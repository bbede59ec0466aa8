"""The cache on disk: what was put comes back, damage is a warned miss, and folders of others are refused."""

from __future__ import annotations

import multiprocessing
import os
import stat
import warnings
from pathlib import Path

import pytest

from flowc.runtime.kernel_cache import BlobStore, CacheWarning, cache_folder, content_key

KEY = content_key("source", "target")


def entry_of(store: BlobStore, key: str = KEY) -> Path:
    return store.folder / key


def test_what_was_put_comes_back_in_another_store(tmp_path: Path) -> None:
    BlobStore("kernels", tmp_path / "cache").put(KEY, b"object code")
    store = BlobStore("kernels", tmp_path / "cache")
    assert store.get(KEY) == b"object code"
    assert store.get(content_key("other")) is None
    assert BlobStore("plans", tmp_path / "cache").get(KEY) is None


def test_put_replaces(tmp_path: Path) -> None:
    store = BlobStore("kernels", tmp_path)
    store.put(KEY, b"old")
    store.put(KEY, b"")
    assert store.get(KEY) == b""


def test_folders_and_files_are_private(tmp_path: Path) -> None:
    store = BlobStore("kernels", tmp_path / "a" / "b")
    store.put(KEY, b"x")
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry_of(store).stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "header", "version", "append"])
def test_damage_is_a_warned_miss_and_is_replaced(tmp_path: Path, damage: str) -> None:
    store = BlobStore("kernels", tmp_path)
    store.put(KEY, b"object code" * 100)
    content = bytearray(entry_of(store).read_bytes())
    if damage == "flip":
        content[-7] ^= 1
    elif damage == "header":
        content[0] ^= 1
    elif damage == "version":
        content[8] += 1
    elif damage == "append":
        content += b"more"
    else:
        del content[{"truncate": 200, "empty": 0}[damage] :]
    entry_of(store).write_bytes(content)
    with pytest.warns(CacheWarning, match="is not used"):
        assert store.get(KEY) is None
    store.put(KEY, b"new")
    assert store.get(KEY) == b"new"


def test_an_entry_under_another_name_is_refused(tmp_path: Path) -> None:
    store = BlobStore("kernels", tmp_path)
    store.put(KEY, b"code of one kernel")
    other = content_key("another kernel")
    os.rename(entry_of(store), entry_of(store, other))
    with pytest.warns(CacheWarning, match="checksum"):
        assert store.get(other) is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
@pytest.mark.parametrize("which", ["root", "folder"])
def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, mode: int, which: str) -> None:
    store = BlobStore("kernels", tmp_path / "cache")
    store.folder.mkdir(parents=True)
    getattr(store, which).chmod(mode)
    with pytest.warns(CacheWarning, match="can be written by other users"):
        store.put(KEY, b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns once
        assert store.get(KEY) is None
    assert not entry_of(store).exists()
    assert "chmod go-w" in (store.info().problem or "")
    with pytest.raises(PermissionError, match="not cleared"):
        store.clear()


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore("kernels", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.warns(CacheWarning, match="belongs to another user"):
        assert store.get(KEY) is None


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    store = BlobStore("kernels", tmp_path)
    store.put(KEY, b"x")
    entry_of(store).chmod(0o622)
    with pytest.warns(CacheWarning, match="can write to it"):
        assert store.get(KEY) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    store = BlobStore("kernels", tmp_path)
    store.put(KEY, b"x")
    moved = tmp_path / "elsewhere"
    os.rename(entry_of(store), moved)
    entry_of(store).symlink_to(moved)
    with pytest.warns(CacheWarning):
        assert store.get(KEY) is None


def test_a_folder_that_cannot_be_made_turns_the_store_off(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = BlobStore("kernels", tmp_path / "file" / "cache")
    with pytest.warns(CacheWarning, match="keeps nothing on disk"):
        store.put(KEY, b"x")
    assert store.get(KEY) is None


def test_info_and_clear(tmp_path: Path) -> None:
    store = BlobStore("kernels", tmp_path / "cache")
    assert store.info().entries == 0
    assert not store.folder.exists()
    for i in range(3):
        store.put(content_key(str(i)), bytes(100))
    (store.folder / ".tmp-left-behind").write_bytes(b"half")
    assert store.info().entries == 3
    assert store.info().bytes > 300
    assert store.info().problem is None
    assert store.clear() == 3
    assert store.info().entries == 0
    assert list(store.folder.iterdir()) == []


def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        BlobStore("kernels", tmp_path).put("../x", b"")


def test_keys_tell_parts_apart() -> None:
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key("a") == content_key(b"a")


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FLOWC_CACHE_DIR", raising=False)
    assert cache_folder() == tmp_path / "flowc"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification says: to be ignored
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "flowc"
    monkeypatch.setenv("FLOWC_CACHE_DIR", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def _write_and_read(root: Path, seed: int, rounds: int) -> None:
    store = BlobStore("kernels", root)
    warnings.simplefilter("error")
    for i in range(rounds):
        store.put(KEY, bytes([seed]) * (1000 + 37 * i))
        found = store.get(KEY)
        assert found is not None
        assert len(set(found)) == 1


def test_concurrent_processes_see_whole_entries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_and_read, args=(tmp_path, seed, 200)) for seed in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
