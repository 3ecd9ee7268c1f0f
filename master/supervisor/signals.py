"""Signals become a queue; nothing else happens in a handler."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCHLD,
)


class SignalQueue:
    """`fileno()` is readable when a handled signal came; `drain()` gives them in order of arrival."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        for number in HANDLED:
            signal.signal(number, _ignore)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._read.fileno()

    def drain(self) -> Iterator[signal.Signals]:
        try:
            data = os.read(self._read.fileno(), 4096)
        except BlockingIOError:
            return
        for number in data:
            yield signal.Signals(number)


def _ignore(number: int, frame: object) -> None:
    """The wake-up descriptor has the number already; a Python handler must exist for it to be written."""
