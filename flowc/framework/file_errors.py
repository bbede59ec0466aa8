"""The operating system's errors, as flowc's own."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from flowc.framework import errors

_CLASSES: Final[dict[int | None, Any]] = {
    errno.ENOENT: errors.NotFoundError,
    errno.ENOTDIR: errors.NotFoundError,
    errno.EEXIST: errors.AlreadyExistsError,
    errno.EACCES: errors.PermissionDeniedError,
    errno.EPERM: errors.PermissionDeniedError,
    errno.EROFS: errors.PermissionDeniedError,
    errno.EISDIR: errors.FailedPreconditionError,
    errno.ENOTEMPTY: errors.FailedPreconditionError,
    errno.ENOSPC: errors.ResourceExhaustedError,
    errno.EDQUOT: errors.ResourceExhaustedError,
    errno.EMFILE: errors.ResourceExhaustedError,
}


@contextmanager
def file_errors(path: Any) -> Iterator[None]:
    """In the with-block, an OSError becomes the error of `tf.errors` that says the same, and names the file."""
    try:
        yield
    except OSError as error:
        kind = _CLASSES.get(error.errno, errors.UnknownError)
        raise kind(None, None, f"{os.fsdecode(path)}: {error.strerror or error}") from None
