"""Which checkpoints a folder holds: the file `checkpoint` in it, a CheckpointState as text."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

from flowc.framework import protos
from flowc.framework.file_errors import file_errors
from flowc.train.atomic_files import write_file
from flowc.train.checkpoint_files import matching_files

__all__ = [
    "checkpoint_exists",
    "generate_checkpoint_state_proto",
    "get_checkpoint_state",
    "latest_checkpoint",
    "update_checkpoint_state",
]


def _state_file(folder: str, latest_filename: str | None) -> str:
    return os.path.join(folder, latest_filename or "checkpoint")


def generate_checkpoint_state_proto(
    save_dir: str, model_checkpoint_path: str, all_model_checkpoint_paths: Sequence[str] | None = None
) -> Any:
    """A CheckpointState: the newest checkpoint, and all that there are, the newest last.

    Relative paths are made relative to `save_dir`, so that the folder can be moved with its checkpoints.
    """
    paths = list(all_model_checkpoint_paths or [])
    if not paths or paths[-1] != model_checkpoint_path:
        paths.append(model_checkpoint_path)
    stored = [path if os.path.isabs(path) else os.path.relpath(path, save_dir or ".") for path in paths]
    return protos.CheckpointState(model_checkpoint_path=stored[-1], all_model_checkpoint_paths=stored)


def update_checkpoint_state(
    save_dir: str,
    model_checkpoint_path: str,
    all_model_checkpoint_paths: Sequence[str] | None = None,
    latest_filename: str | None = None,
) -> None:
    """Writes the file that names a folder's checkpoints, in one step.

    Args:
        save_dir: the folder.
        model_checkpoint_path: the newest checkpoint.
        all_model_checkpoint_paths: all that there are, the oldest first.
        latest_filename: the name of the file to write; "checkpoint" by default.

    Raises:
        RuntimeError: the file would take the place of the checkpoint.
    """
    from google.protobuf import text_format

    path = _state_file(save_dir, latest_filename)
    if os.path.abspath(path) == os.path.abspath(model_checkpoint_path):
        raise RuntimeError(
            f"Save path {model_checkpoint_path!r} conflicts with path used for checkpoint state. "
            "Please use a different save path."
        )
    state = generate_checkpoint_state_proto(save_dir, model_checkpoint_path, all_model_checkpoint_paths)
    with file_errors(path):
        write_file(path, text_format.MessageToString(state).encode())


def get_checkpoint_state(checkpoint_dir: str, latest_filename: str | None = None) -> Any:
    """The CheckpointState of a folder, its paths as they are seen from here; None, if there is none.

    Its fields are `model_checkpoint_path`, the newest checkpoint, and `all_model_checkpoint_paths`. A file that cannot
    be read is ignored with a warning.
    """
    from google.protobuf import text_format

    path = _state_file(checkpoint_dir, latest_filename)
    if not os.path.isfile(path):
        return None
    state = protos.CheckpointState()
    try:
        with open(path, encoding="utf-8") as file:
            text_format.Parse(file.read(), state)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        warnings.warn(f"{path}: Checkpoint ignored ({error})", stacklevel=2)
        return None
    if not state.model_checkpoint_path:
        return None
    state.model_checkpoint_path = os.path.join(checkpoint_dir, state.model_checkpoint_path)
    seen = [os.path.join(checkpoint_dir, item) for item in state.all_model_checkpoint_paths]
    state.all_model_checkpoint_paths[:] = seen
    return state


def latest_checkpoint(checkpoint_dir: str, latest_filename: str | None = None) -> str | None:
    """The path of the newest checkpoint in a folder, for `Saver.restore`; None, if there is none."""
    state = get_checkpoint_state(checkpoint_dir, latest_filename)
    return None if state is None else str(state.model_checkpoint_path)


def checkpoint_exists(checkpoint_prefix: str) -> bool:
    """Whether there is a checkpoint of that path, in one file or in several."""
    return bool(matching_files(checkpoint_prefix))
