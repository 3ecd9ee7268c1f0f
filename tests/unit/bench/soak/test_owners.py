"""Who has a connection, as the kernel says it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench.soak import owners

CODE = """
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
accepted = listener.accept()
print("accepted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def acceptor(listener: socket.socket) -> Iterator[subprocess.Popen[str]]:
    """A process that accepts one connection, and no other."""
    command = [sys.executable, "-c", CODE, str(listener.fileno())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[listener.fileno()]
    ) as process:
        yield process
        process.kill()


def test_a_killed_process_takes_what_it_accepted_and_not_what_waits(
    listener: socket.socket, acceptor: subprocess.Popen[str]
) -> None:
    address, port = listener.getsockname(), listener.getsockname()[1]
    with socket.create_connection(address) as first:
        assert acceptor.stdout is not None
        assert acceptor.stdout.readline() == "accepted\n"
        with socket.create_connection(address) as waiting:
            assert owners.connections(acceptor.pid, {port}) == {first.getsockname()[1]}
            assert owners.connections(acceptor.pid, {port + 1}) == frozenset()
            # We hold the client's end of both, which is another connection to the kernel, and the queue itself.
            assert owners.connections(os.getpid(), {port}) == frozenset()
            before = time.monotonic()
            (kill,) = owners.kill([acceptor.pid], {port})
            assert before <= kill.time <= time.monotonic()
            assert (kill.pid, kill.ports) == (acceptor.pid, {first.getsockname()[1]})
            assert acceptor.wait(10) == -signal.SIGKILL
            assert first.recv(1) == b""
            listener.accept()[0].close()  # whoever comes next serves it
            waiting.close()


def test_who_has_gone_is_none() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert owners.kill([process.pid], {80}) == []
