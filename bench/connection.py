"""The parent's side of a worker process (`bench.worker`): start it, ask it, give up on it."""

from __future__ import annotations

import json
import select
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.environments import ROOT, interpreter, variables

START_SECONDS = 120.0


class WorkerError(Exception):
    """A request that failed, ran out of time, or met a worker that died; the message says which."""


class Connection:
    """A worker process and its two pipes. What it prints itself goes to `log`."""

    def __init__(self, environment: str, log: Path, cache: Path | None = None) -> None:
        """Raises NotAvailable or WorkerError."""
        command = [interpreter(environment), "-m", "bench.worker", environment]
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                cwd=ROOT,
                env=variables(environment, cache),
            )
        self.log = log
        self.hello = self._reply(START_SECONDS)

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The worker's reply. Raises WorkerError after `seconds`, and then the worker is gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
        except BrokenPipeError:
            raise WorkerError(f"the process has ended; see {self.log.name}") from None
        return self._reply(seconds)

    def _reply(self, seconds: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            self.close()
            raise WorkerError(f"no answer within {seconds:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"the process ended with status {self.process.wait()}; see {self.log.name}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
