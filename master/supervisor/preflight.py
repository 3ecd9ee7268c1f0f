"""Running `master.preflight`: the code that parses configuration runs in its own process, as `--user`, and ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from typing import IO, Any, NamedTuple

from master.supervisor import committed
from master.supervisor.options import Options
from master.supervisor.python import OWN, Code
from master.supervisor.signals import SignalQueue
from shm import memfd

DEADLINE = 120.0  # seconds: the largest configurations compile in a few
STOP = (signal.SIGTERM, signal.SIGINT)
EXIT_TIMED_OUT = 6


class PreflightError(Exception):
    """The configuration was refused, or preflight itself failed. `exit_code` is what the command line gives."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Reload(NamedTuple):
    """What preflight has to know about the running proxy; see its `Options`."""

    previous: int
    again: int | None
    fingerprint: str
    rotate: bool = False


class Running(NamedTuple):
    """A preflight that runs; `fd` takes what it compiles."""

    process: subprocess.Popen[bytes]
    fd: int

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def result(self, exit_code: int) -> committed.Committed:
        """What it has compiled, once it has ended. Raises `PreflightError`."""
        if exit_code != 0:
            os.close(self.fd)
            raise PreflightError("the configuration was refused", exit_code if exit_code > 0 else 1)
        memfd.seal(self.fd)
        return committed.read(self.fd)


def start(
    options: Options,
    code: Code,
    *,
    version: int,
    states: dict[str, str] | None = None,
    stderr: IO[bytes] | int | None = None,
    reload: Reload | None = None,
) -> Running:
    """Begin to compile the configuration with `code`; raises `OSError` if that cannot be run."""
    fd = memfd.create("trireme-config", 0)
    inherited = [] if reload is None else [each for each in (reload.previous, reload.again) if each is not None]
    order_json = json.dumps(options.preflight(version, states) | ({} if reload is None else reload._asdict()))
    order = memfd.sealed("trireme-preflight", order_json.encode())
    os.lseek(order, 0, os.SEEK_SET)
    try:
        process = subprocess.Popen(
            code.command("master.preflight", "--out-fd", str(fd)),
            env=code.child_environment(),
            stdin=order,
            stderr=stderr,
            pass_fds=[fd, *inherited],
            start_new_session=True,  # Ctrl-C is ours to handle; it must not tear the child's output apart
            **_identity(options),
        )
    except OSError:
        os.close(fd)
        raise
    finally:
        os.close(order)
    return Running(process, fd)


def run(options: Options, signals: SignalQueue, *, version: int) -> committed.Committed:
    """Compile the configuration; its findings go to stderr. Raises `PreflightError`, also when told to stop."""
    running = start(options, OWN, version=version)
    try:
        code = _wait(running.process, signals)
    except PreflightError:
        running.kill()
        running.process.wait()
        raise
    try:
        return running.result(code)
    except PreflightError as error:
        raise PreflightError(f"{error}; nothing was started", error.exit_code) from None


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
                raise PreflightError(f"compiling the configuration took more than {DEADLINE:.0f} s", EXIT_TIMED_OUT)
    finally:
        os.close(pidfd)
