"""Features of the kernel that the proxy is built on, each tried out instead of asked by version."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

from master.doctor.finding import Finding
from shm import memfd

_CONTAINER = "a container's seccomp profile or a sandbox may forbid it: allow the call, or run outside of it"


def features() -> Iterator[Finding]:
    """One finding for each feature."""
    yield _tried("memfd with seals", _memfd, f"Linux 3.17 or newer; {_CONTAINER}")
    yield _tried("SO_REUSEPORT", _reuse_port, f"Linux 3.9 or newer; {_CONTAINER}")
    yield _tried("splice", _splice, f"{_CONTAINER}; TCP proxying needs it")
    yield _tried("pidfd", _pidfd, f"Linux 5.3 or newer; {_CONTAINER}")


def _tried(check: str, attempt: Callable[[], None], remedy: str) -> Finding:
    try:
        attempt()
    except OSError as error:
        return Finding(check, "fault", f"refused by the kernel: {error.strerror or error}", remedy)
    return Finding(check, "ok", "works")


def _memfd() -> None:
    os.close(memfd.sealed("doctor", b"sealed"))


def _reuse_port() -> None:
    with socket.socket() as one, socket.socket() as two:
        for sock in (one, two):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", 0))
        two.bind(one.getsockname())


def _splice() -> None:
    with contextlib.ExitStack() as stack:
        pipes = [os.pipe(), os.pipe()]
        for fd in (*pipes[0], *pipes[1]):
            stack.callback(os.close, fd)
        os.write(pipes[0][1], b"x")
        os.splice(pipes[0][0], pipes[1][1], 1)


def _pidfd() -> None:
    os.close(os.pidfd_open(os.getpid()))
