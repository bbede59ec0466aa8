"""What training scripts use around a loop: the number of steps, and the graph as a file."""

from __future__ import annotations

import os
from typing import Any

from flowc.framework.file_errors import file_errors
from flowc.train.atomic_files import write_file

__all__ = ["global_step", "write_graph"]


def global_step(sess: Any, global_step_tensor: Any) -> int:
    """The value of the variable that counts steps, or of its tensor or its name, as a Python int."""
    return int(sess.run(global_step_tensor))


def write_graph(graph_def: Any, logdir: str, name: str, as_text: bool = True) -> str:
    """Writes a graph's definition to the file `name` in `logdir`, which is made if need be; returns the file's path.

    Args:
        graph_def: what `Graph.as_graph_def()` gives.
        logdir: a folder.
        name: the file's name.
        as_text: whether to write it as text that people read, or as bytes.
    """
    from google.protobuf import text_format

    path = os.path.join(logdir, name)
    content = text_format.MessageToString(graph_def).encode() if as_text else graph_def.SerializeToString()
    with file_errors(path):
        os.makedirs(logdir, exist_ok=True)
        write_file(path, content)
    return path
