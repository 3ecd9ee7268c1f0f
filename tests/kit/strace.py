"""The system calls of a process, counted by the real strace."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

import pytest

# Share of time, seconds, µs per call, calls, errors if there were any, name.
_ROW = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(\w+)$", re.MULTILINE)


class Strace:
    """Counts what `pid` and all its threads ask the kernel for while the block runs; `calls` by name afterwards.

    Skips the test, with the reason, where strace or the right to trace is missing.
    """

    def __init__(self, pid: int, directory: Path) -> None:
        program = shutil.which("strace")
        if program is None:
            pytest.skip("strace is not installed")
        self.calls: dict[str, int] = {}
        self._counts = directory / "strace.txt"
        command = [program, "-f", "-c", "-o", str(self._counts), "-p", str(pid)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        if "attached" not in said:
            self._process.communicate(timeout=10)
            pytest.skip(f"strace may not trace here: {said.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.communicate(timeout=30)
        finally:
            self._process.kill()
        self.calls = {name: int(calls) for calls, name in _ROW.findall(self._counts.read_text()) if name != "total"}
