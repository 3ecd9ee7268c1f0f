"""Running `master.preflight`: the code that parses configuration runs in its own process, as `--user`, and ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from typing import Any

from master.supervisor import committed, python
from master.supervisor.options import Options
from shm import memfd

DEADLINE = 120.0  # seconds: the largest configurations compile in a few


class PreflightError(Exception):
    """The configuration was refused, or preflight itself failed. `exit_code` is what the command line gives."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run(options: Options, *, version: int) -> committed.Committed:
    """Compile the configuration; its findings go to stderr. Raises `PreflightError`."""
    fd = memfd.create("trireme-config", 0)
    identity: dict[str, Any] = {}
    if options.user:
        identity["user"] = int(options.user) if options.user.isdigit() else options.user
        identity["extra_groups"] = []
    if options.group:
        identity["group"] = int(options.group) if options.group.isdigit() else options.group
    process = subprocess.Popen(
        python.command("master.preflight", "--out-fd", str(fd)),
        env=python.environment(),
        stdin=subprocess.PIPE,
        pass_fds=[fd],
        start_new_session=True,  # Ctrl-C is ours to handle; it must not tear the child's output apart
        **identity,
    )
    try:
        process.communicate(json.dumps(options.preflight(version)).encode(), timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise PreflightError(f"compiling the configuration took more than {DEADLINE:.0f} s", 6) from None
    except KeyboardInterrupt:
        _kill(process)
        raise PreflightError("interrupted", 130) from None
    if process.returncode != 0:
        code = process.returncode if process.returncode > 0 else 1
        raise PreflightError("the configuration was refused; nothing was started", code)
    memfd.seal(fd)
    return committed.read(fd)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
