"""Fetch a data file from the first of several places that has it whole; it is there checked, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import urllib.request
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

TIMEOUT_SECONDS: Final = 30
_CHUNK: Final = 1 << 16


def fetch(name: str, folder: Path, sources: Sequence[str], sha256: str, *, of_content: bool = True) -> Path:
    """Download `name` into `folder` from the first of the base URLs `sources` whose answer is complete.

    `sha256` is that of the content: of what a `.gz` file unpacks to, since mirrors compress the same bytes differently;
    unless `of_content`, that of the file itself.
    The file is written under another name and renamed once it is checked, so that no reader ever sees a part of it.

    Raises:
        OSError: no source gave the file; the message says what was wrong with each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for source in sources:
        url = f"{source.rstrip('/')}/{name}"
        try:
            return _fetch_from(url, folder / name, sha256, of_content)
        except (OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"\n  {url}: {error}")
    raise OSError(f"could not download {name} to {folder}:{''.join(failures) or ' there is no URL to try'}")


def _fetch_from(url: str, target: Path, sha256: str, of_content: bool) -> Path:
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as out:
            _download(url, out, target.name)
        _check(temporary, of_content and target.suffix == ".gz", sha256)
        return temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _download(url: str, out: IO[bytes], name: str) -> None:
    from tqdm import tqdm

    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        length = answer.headers.get("Content-Length")
        total = int(length) if length else None
        received = 0
        with tqdm(total=total, desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
            while chunk := answer.read(_CHUNK):
                out.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))
    if total is not None and received != total:
        raise OSError(f"the answer stops after {received} of {total} bytes")


def _check(path: Path, packed: bool, sha256: str) -> None:
    digest = hashlib.sha256()
    try:
        with gzip.open(path) if packed else path.open("rb") as content:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise OSError(f"the answer is no whole gzip file ({error})") from None
    if digest.hexdigest() != sha256:
        raise OSError(f"the answer is damaged: its SHA-256 is {digest.hexdigest()}, not {sha256}")
