"""Saving and restoring variables."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from flowc.framework import protos
from flowc.framework.graph import Tensor
from flowc.train.checkpoint_files import matching_files
from flowc.train.checkpoint_state import update_checkpoint_state
from flowc.train.meta_graph import export_meta_graph, read_meta_graph
from flowc.train.saver_ops import SaverBuilder
from flowc.train.training_util import global_step as value_of_step
from flowc.variables import Variable, all_variables

__all__ = ["Saver", "import_meta_graph"]

_HOUR = 3600.0


class Saver:
    """Saves variables to checkpoints, and restores them.

    A checkpoint is one file (a sharded one, one file a device) in the safetensors format, with the tensors under the
    variables' names, or those that were given. It is there whole or not at all; beside it the file `checkpoint` names
    the newest one and all that are kept. Variables that are restored need not be initialised before.

        saver = tf.train.Saver()
        path = saver.save(sess, "model.ckpt", global_step=step)   # model.ckpt-1000
        saver.restore(sess, path)

    All operations are added to the graph when the saver is made: variables of later lines are not saved.
    """

    def __init__(
        self,
        var_list: Any = None,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        saver_def: Any = None,
        builder: Any = None,
    ) -> None:
        """Adds the operations to the graph.

        Args:
            var_list: a list of variables, which are saved under their own names, or a dict from names to variables; by
                default all variables of the graph.
            reshape: whether a tensor of another shape than the variable's, but as many elements, can be restored.
            sharded: whether each device's variables go to a file of their own.
            max_to_keep: how many checkpoints to keep; older ones are deleted. None or 0: all.
            keep_checkpoint_every_n_hours: of those that would be deleted, one is kept for every so many hours.
            name: a name scope for the operations; "save" by default.
            restore_sequentially: whether a variable is read after the one before it was assigned, which takes less
                memory; otherwise all are read, and compared with the variables, before any is changed.
            saver_def: what another saver's `as_saver_def()` gave: this one runs the same operations, and adds none.
            builder: what adds the operations; by default `SaverBuilder()`.

        Raises:
            TypeError: `var_list` holds something other than variables.
            ValueError: one variable with two names, two variables with one name, or no variables.
        """
        if saver_def is None:
            build = (builder or SaverBuilder()).build
            variables = all_variables() if var_list is None else var_list
            saver_def = build(
                variables,
                reshape=reshape,
                sharded=sharded,
                max_to_keep=max_to_keep,
                keep_checkpoint_every_n_hours=keep_checkpoint_every_n_hours,
                name=name,
                restore_sequentially=restore_sequentially,
            )
        self._def = _checked(saver_def)
        self._next_kept = time.time() + self._def.keep_checkpoint_every_n_hours * _HOUR
        self._kept: list[tuple[str, float]] = []  # the checkpoints that may yet be deleted, and when they were written

    def as_saver_def(self) -> Any:
        """A SaverDef message: the names of this saver's operations, and what it keeps."""
        return self._def

    def export_meta_graph(
        self, filename: str | None = None, collection_list: Sequence[str] | None = None, as_text: bool = False
    ) -> Any:
        """The default graph with this saver, as `tf.train.export_meta_graph` gives and writes it."""
        return export_meta_graph(filename, self._def, collection_list, as_text)

    # -- saving --------------------------------------------------------------------------------------------------------

    def save(
        self,
        sess: Any,
        save_path: str,
        global_step: Any = None,
        latest_filename: str | None = None,
    ) -> str:
        """Writes a checkpoint; returns its path, as `restore` takes it.

        Args:
            sess: the session whose variables are saved; all must be initialised.
            save_path: the checkpoint's path.
            global_step: a number, or a variable or tensor (or the name of one) that holds it, which is added to the
                path: `model.ckpt-1000`.
            latest_filename: the name of the file that tells the newest checkpoint; "checkpoint" by default.

        Raises:
            TypeError: `sess` is no session.
            ValueError: `latest_filename` is no plain file name, or is that of `save_path`.
            FailedPreconditionError: a variable is not initialised.
            NotFoundError, PermissionDeniedError, ResourceExhaustedError: the file cannot be written.
        """
        _check_session(sess)
        state_name = _state_name(save_path, latest_filename)
        path = save_path if global_step is None else f"{save_path}-{_step(sess, global_step)}"
        written = sess.run(self._def.save_tensor_name, {self._def.filename_tensor_name: path})
        saved = os.fsdecode(written)
        dropped = self._record(saved)
        update_checkpoint_state(os.path.dirname(save_path), saved, self.last_checkpoints, state_name)
        # Deleted last, so that at any moment the state names checkpoints that are there.
        for old in dropped:
            _delete(old)
        return saved

    def _record(self, path: str) -> list[str]:
        """Notes a checkpoint as the newest; returns those that are to be deleted."""
        self._kept = [(name, at) for name, at in self._kept if name != path] + [(path, time.time())]
        most = self._def.max_to_keep
        if not most:
            return []
        surplus, self._kept = self._kept[:-most], self._kept[-most:]
        return [name for name, at in surplus if not self._is_kept_for_good(at)]

    def _is_kept_for_good(self, written_at: float) -> bool:
        """Whether it is the turn of a checkpoint of that time to be the one that is kept for some hours."""
        if written_at <= self._next_kept:
            return False
        self._next_kept += self._def.keep_checkpoint_every_n_hours * _HOUR
        return True

    @property
    def last_checkpoints(self) -> list[str]:
        """The paths of the checkpoints that have not been deleted, the newest last."""
        return [path for path, _ in self._kept]

    def set_last_checkpoints(self, last_checkpoints: Sequence[str]) -> None:
        """Makes these the checkpoints that are kept so far, the newest last, as after a restart.

        When they were written is not known: none of them is kept for `keep_checkpoint_every_n_hours`.
        """
        if isinstance(last_checkpoints, str) or not isinstance(last_checkpoints, Sequence):
            raise TypeError(f"last_checkpoints is a list of paths, not {last_checkpoints!r}")
        self._kept = [(os.fspath(path), -math.inf) for path in last_checkpoints]

    # -- restoring -----------------------------------------------------------------------------------------------------

    def restore(self, sess: Any, save_path: str) -> None:
        """Gives the variables the values that a checkpoint holds; all of them, or an error and none.

        Args:
            sess: the session whose variables are set.
            save_path: what `save` returned, or `latest_checkpoint`.

        Raises:
            TypeError: `sess` is no session.
            NotFoundError: there is no such file, or it holds no tensor of a variable's name.
            InvalidArgumentError: a tensor is not of its variable's type or shape.
            DataLossError: the file is damaged, or no checkpoint.
        """
        _check_session(sess)
        sess.run(self._def.restore_op_name, {self._def.filename_tensor_name: os.fspath(save_path)})


def import_meta_graph(meta_graph_or_file: Any) -> Saver | None:
    """Adds a graph that `export_meta_graph` gave, or wrote to a file, to the default graph with its collections.

    Returns the saver that was exported with it; if there was none, a new one of its variables; None if there are none.

    Raises NotFoundError for a file that is not there; DataLossError for one that is no MetaGraphDef; ValueError for
    names that the graph has already.
    """
    meta = read_meta_graph(meta_graph_or_file)
    if meta.HasField("saver_def"):
        return Saver(saver_def=meta.saver_def)
    return Saver() if all_variables() else None


def _checked(saver_def: Any) -> Any:
    if not isinstance(saver_def, protos.SaverDef):
        raise ValueError(f"saver_def must be a SaverDef: {saver_def!r}")
    for field in ("save_tensor_name", "restore_op_name", "filename_tensor_name"):
        if not getattr(saver_def, field):
            raise ValueError(f"saver_def must specify the {field}: {saver_def!r}")
    return saver_def


def _check_session(sess: Any) -> None:
    if not (callable(getattr(sess, "run", None)) and hasattr(sess, "graph")):
        raise TypeError(f"'sess' must be a Session; {sess!r}")


def _state_name(save_path: str, latest_filename: str | None) -> str:
    name = "checkpoint" if latest_filename is None else latest_filename
    if os.path.basename(name) != name:
        raise ValueError("'latest_filename' must not contain path components")
    if os.path.basename(save_path) == name:
        raise ValueError(f"'latest_filename' collides with 'save_path': {name!r} and {save_path!r}")
    return name


def _step(sess: Any, global_step: Any) -> int:
    if isinstance(global_step, (str, Tensor, Variable)):
        return value_of_step(sess, global_step)
    return int(global_step)


def _delete(path: str) -> None:
    for file in matching_files(path):
        with suppress(FileNotFoundError):
            os.remove(file)
