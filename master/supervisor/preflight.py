"""Running `master.preflight`: the code that parses configuration runs in its own process, as `--user`, and ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from typing import Any

from master.supervisor import committed, python
from master.supervisor.options import Options
from master.supervisor.signals import SignalQueue
from shm import memfd

DEADLINE = 120.0  # seconds: the largest configurations compile in a few
STOP = (signal.SIGTERM, signal.SIGINT)


class PreflightError(Exception):
    """The configuration was refused, or preflight itself failed. `exit_code` is what the command line gives."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run(options: Options, signals: SignalQueue, *, version: int) -> committed.Committed:
    """Compile the configuration; its findings go to stderr. Raises `PreflightError`, also when told to stop."""
    fd = memfd.create("trireme-config", 0)
    order = memfd.sealed("trireme-preflight", json.dumps(options.preflight(version)).encode())
    os.lseek(order, 0, os.SEEK_SET)
    process = subprocess.Popen(
        python.command("master.preflight", "--out-fd", str(fd)),
        env=python.child_environment(),
        stdin=order,
        pass_fds=[fd],
        start_new_session=True,  # Ctrl-C is ours to handle; it must not tear the child's output apart
        **_identity(options),
    )
    os.close(order)
    try:
        code = _wait(process, signals)
    except PreflightError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if code != 0:
        raise PreflightError("the configuration was refused; nothing was started", code if code > 0 else 1)
    memfd.seal(fd)
    return committed.read(fd)


def _identity(options: Options) -> dict[str, Any]:
    identity: dict[str, Any] = {}
    if options.user:
        identity["user"] = int(options.user) if options.user.isdigit() else options.user
        identity["extra_groups"] = []
    if options.group:
        identity["group"] = int(options.group) if options.group.isdigit() else options.group
    return identity


def _wait(process: subprocess.Popen[bytes], signals: SignalQueue) -> int:
    """The exit code of `process`; stops waiting at the deadline or when a stop signal comes."""
    end = time.monotonic() + DEADLINE
    pidfd = os.pidfd_open(process.pid)
    try:
        while True:
            ready, _, _ = select.select([pidfd, signals.fileno()], [], [], max(0.0, end - time.monotonic()))
            if pidfd in ready:
                return process.wait()
            for number in signals.drain():
                if number in STOP:
                    raise PreflightError(f"{number.name} during the start", 128 + number)
            if time.monotonic() >= end:
                raise PreflightError(f"compiling the configuration took more than {DEADLINE:.0f} s", 6)
    finally:
        os.close(pidfd)
