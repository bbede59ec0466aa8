"""Blobs kept on disk between processes: object code of kernels, and plans.

A store is one folder of files, `<cache>/<namespace>/<key>`. A file is a header (magic, version, length, SHA-256 of
key and payload) and the payload. Files appear by `os.replace` only, so that a reader sees a whole file or none,
whatever other processes do. What does not check is a miss with a warning, and the next `put` replaces it.

The contents are executed, so the folder must be the user's own: mode 0700 when made here, and refused when another user
owns it or can write to it. A refused or unusable folder turns the store off, with one warning; it never fails a run.

The folder is `$FLOWC_CACHE_DIR`, or `$XDG_CACHE_HOME/flowc`, or `~/.cache/flowc`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

from flowc.framework.source import warn_user
from flowc.runtime.forks import renew_in_child

_MAGIC = b"flowcblb"
_VERSION = 1
_HEADER = struct.Struct("<8sIxxxxQ32s")  # magic, version, payload length, digest
_KEY = re.compile(r"[0-9a-f]{64}\Z")
_TEMPORARY = ".tmp-"
_REMEDY = "set FLOWC_CACHE_DIR to a folder of your own"


class CacheWarning(UserWarning):
    """The cache on disk is off, or an entry was damaged. Programs run on; they only compile again what was lost."""


@dataclass(frozen=True)
class CacheInfo:
    """What a store holds. `problem` is the reason why it is off, or None."""

    folder: Path
    entries: int
    bytes: int
    problem: str | None


def cache_folder() -> Path:
    """The root of all stores, by the environment. It need not exist yet."""
    if own := os.environ.get("FLOWC_CACHE_DIR"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(shared) if os.path.isabs(shared) else Path("~/.cache").expanduser()
    return base / "flowc"


def content_key(*parts: str | bytes) -> str:
    """A key made from `parts`: SHA-256 over each part and its length, so that no two lists of parts share one."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


class BlobStore:
    """One namespace of the cache: `get` and `put` bytes by key. Safe for threads and for concurrent processes.

    A key is 64 hexadecimal digits, as `content_key` makes them.
    """

    def __init__(self, namespace: str, root: Path | None = None) -> None:
        self.root = cache_folder() if root is None else root
        self.folder = self.root / namespace
        self._lock = threading.Lock()
        renew_in_child(self, "_lock", threading.Lock)
        self._opened = False
        self._problem: str | None = None

    def get(self, key: str) -> bytes | None:
        """The payload stored under `key`, or None: there is none, it is damaged (warned), or the store is off."""
        if self._open() is not None:
            return None
        path = self._path(key)
        try:
            content = _read_private(path)
            return None if content is None else _unpack(key, content)
        except (OSError, ValueError) as error:
            _warn(f"the cache entry {path} is not used: {error}. It will be replaced.")
            return None

    def put(self, key: str, payload: bytes) -> None:
        """Stores `payload` under `key`, in place of what was there. If it cannot be written, warns once and goes on."""
        path = self._path(key)
        if self._open() is not None:
            return
        try:
            _write_atomically(path, _pack(key, payload))
        except OSError as error:
            self._turn_off(f"cannot write {path}: {error.strerror or error}; {_REMEDY}")

    def info(self) -> CacheInfo:
        """Folder, number of entries and their size. Makes no folder."""
        sizes = [size for name, size in self._files() if _KEY.match(name)]
        return CacheInfo(self.folder, len(sizes), sum(sizes), self._problem or _problem_with(self.root, self.folder))

    def clear(self) -> int:
        """Deletes all entries, and what broken writers left; returns how many entries. Others may read meanwhile."""
        problem = _problem_with(self.root, self.folder)
        if problem is not None:
            raise PermissionError(f"the cache is not cleared: {problem}")
        removed = 0
        for name, _ in self._files():
            if _KEY.match(name) or name.startswith(_TEMPORARY):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.folder / name)
                    removed += not name.startswith(_TEMPORARY)
        return removed

    def _path(self, key: str) -> Path:
        if not _KEY.match(key):
            raise ValueError(f"a cache key is 64 hexadecimal digits, not {key!r}")
        return self.folder / key

    def _files(self) -> list[tuple[str, int]]:
        try:
            with os.scandir(self.folder) as files:
                return [(file.name, file.stat(follow_symlinks=False).st_size) for file in files]
        except OSError:
            return []

    def _open(self) -> str | None:
        """Makes and checks the folders at first use; returns the reason why the store is off, or None."""
        if not self._opened:
            with self._lock:
                if not self._opened:
                    self._prepare()
                    self._opened = True
        return self._problem

    def _prepare(self) -> None:
        try:
            for folder in (self.root, self.folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            self._turn_off(f"cannot make {folder}: {error.strerror or error}; {_REMEDY}")
            return
        problem = _problem_with(self.root, self.folder)
        if problem is not None:
            self._turn_off(problem)

    def _turn_off(self, problem: str) -> None:
        if self._problem is None:
            self._problem = problem
            _warn(f"flowc keeps nothing on disk in this process: {problem}")


def _problem_with(*folders: Path) -> str | None:
    """Why these folders must not hold code that is executed, or None. A folder that does not exist is no problem."""
    for folder in folders:
        try:
            status = os.stat(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"cannot look at {folder}: {error.strerror or error}"
        if not stat.S_ISDIR(status.st_mode):
            return f"{folder} is not a folder"
        if status.st_uid != os.geteuid():
            return f"{folder} belongs to another user (uid {status.st_uid}); {_REMEDY}"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{folder} can be written by other users, and its files are executed; run: chmod go-w {folder}"
    return None


def _read_private(path: Path) -> bytes | None:
    """The file's content, or None if there is none. Raises ValueError for a file that others could have written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("another user owns it or can write to it")
        return file.read()


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{_TEMPORARY}{os.urandom(8).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _digest(key: str, payload: bytes) -> bytes:
    """Over the key too: a file copied under another key's name must not pass."""
    return hashlib.sha256(key.encode() + payload).digest()


def _pack(key: str, payload: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, _VERSION, len(payload), _digest(key, payload)) + payload


def _unpack(key: str, content: bytes) -> bytes:
    """The payload of a file's content. Raises ValueError that says what is wrong with it."""
    if len(content) < _HEADER.size:
        raise ValueError(f"it is truncated ({len(content)} bytes)")
    magic, version, length, digest = _HEADER.unpack_from(content)
    payload = content[_HEADER.size :]
    if magic != _MAGIC:
        raise ValueError("it is not a cache entry")
    if version != _VERSION:
        raise ValueError(f"its format is version {version}, not {_VERSION}")
    if len(payload) != length:
        raise ValueError(f"it is truncated ({len(payload)} of {length} bytes)")
    if digest != _digest(key, payload):
        raise ValueError("its checksum does not match")
    return payload


def _warn(message: str) -> None:
    """Once a message: the stores of kernels and of plans may share a problem."""
    if message in _told:
        return
    _told.add(message)
    warn_user(message, CacheWarning)


_told: set[str] = set()
_stores: dict[Path, BlobStore] = {}


def store(namespace: str) -> BlobStore:
    """The process's store of `namespace` ("kernels", "plans") under the present cache folder."""
    folder = cache_folder() / namespace
    return _stores.setdefault(folder, BlobStore(namespace))
