"""Child processes of tests: started with a deadline, spoken to in JSON lines, and never left behind.

A child that `KitProcess` starts ends when its standard input ends, so that even a killed test run leaves nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
START_DEADLINE = 60.0
STOP_DEADLINE = 30.0


def wait_for(condition: Callable[[], Any], *, deadline: float, what: str) -> Any:
    """The first true value of `condition()`, asked every 20 ms; `AssertionError` naming `what` after `deadline` s."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what}")
        time.sleep(0.02)


def stop(process: subprocess.Popen[Any], *, deadline: float = STOP_DEADLINE, sig: int = signal.SIGTERM) -> int:
    """Signals `process`, reaps it, and returns its exit code; SIGKILL and `AssertionError` after `deadline` s."""
    if process.poll() is None:
        process.send_signal(sig)
    try:
        return process.wait(deadline)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"{process.args!r} did not stop within {deadline} s of signal {sig}") from None


class KitProcess:
    """`python -m <module> [arguments]` that prints one JSON line when it is ready and ends with its stdin.

    `within` is a command that runs it elsewhere, such as in another network.
    """

    def __init__(self, module: str, arguments: Sequence[str] = (), within: Sequence[str] = ()) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*within, sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self.pid = self.process.pid

    def read_json(self, deadline: float = START_DEADLINE) -> Any:
        """The next line of its standard output, decoded; `AssertionError` with its stderr if none comes in time."""
        stdout = self.process.stdout
        assert stdout is not None
        line = b""
        end = time.monotonic() + deadline
        while not line.endswith(b"\n"):
            # Unbuffered reads: what `readline` had buffered, `select` would not see.
            ready, _, _ = select.select([stdout], [], [], max(0.0, end - time.monotonic()))
            piece = os.read(stdout.fileno(), 1 << 20) if ready else b""
            if not piece:
                self._errors.seek(0)
                raise AssertionError(
                    f"{self.process.args!r} gave no line: {line[:200]!r} {self._errors.read()[-2000:]}"
                )
            line += piece
        return json.loads(line)

    def end_input(self) -> None:
        """Ends its standard input: the sign to finish."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has gone already
            self.process.stdin.close()

    def close(self) -> None:
        """Stops and reaps it; it may have been killed by the test."""
        self.end_input()
        try:
            stop(self.process)
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()
            self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
