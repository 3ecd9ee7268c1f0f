"""Telling systemd what happens: the datagrams of sd_notify(3), and descriptors for its store.

Nothing here blocks or fails: without a service manager a message goes nowhere, and what its socket does not take now
waits, in order and bounded, for the next `flush`. `MAINPID` is never sent: the supervisor keeps its process id.
"""

from __future__ import annotations

import collections
import os
import socket
import time
from collections.abc import Mapping

from shm import channel

NOTIFY_SOCKET = "NOTIFY_SOCKET"
MAX_PENDING = 4096  # messages: more than a start with all its sockets has; systemd reads them at once
MAX_VALUE = 1024  # characters of one value

# systemd is not there (any more), or its socket belongs to somebody else: nobody can be told.
_NOBODY = (FileNotFoundError, ConnectionRefusedError, PermissionError)


def encode(**fields: str) -> bytes:
    """One message: a line `NAME=value` per field, in order. A value cannot begin another line."""
    return "\n".join(f"{name}={_one_line(value)}" for name, value in fields.items()).encode()


def _one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text[:MAX_VALUE])
    return printable.encode("utf-8", "replace").decode()


def address(environment: Mapping[str, str]) -> str | None:
    """The address of the manager's socket (a leading NUL: abstract), None if there is none that we can reach."""
    path = environment.get(NOTIFY_SOCKET, "")
    if path.startswith("@"):
        return "\0" + path[1:]
    return path if path.startswith("/") else None


def keeps(environment: Mapping[str, str]) -> bool:
    """Whether the manager keeps descriptors for us. systemd says so from 254 on; for older ones our unit does."""
    size = environment.get("FDSTORE", "")
    return size.isascii() and size.isdigit() and int(size) > 0


class Notifier:
    """Messages to the manager at `to` (None: there is none), which `keeps` descriptors or does not."""

    def __init__(self, to: str | None, *, keeps: bool = False) -> None:
        self._to = to
        self.keeps = keeps and to is not None
        self._pending: collections.deque[tuple[bytes, int]] = collections.deque()
        self._status = ""
        if to is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Notifier:
        """As the manager that started this process wants it."""
        return cls(address(environment), keeps=keeps(environment))

    @property
    def listened_to(self) -> bool:
        return self._to is not None

    def ready(self, status: str) -> None:
        """Serving: the end of the start, and of every `reloading`."""
        self._status = status
        self._send(encode(READY="1", STATUS=status))

    def status(self, text: str) -> None:
        """What is happening; sent only if it is news."""
        if text != self._status:
            self._status = text
            self._send(encode(STATUS=text))

    def stopping(self, status: str) -> None:
        self._status = status
        self._send(encode(STOPPING="1", STATUS=status))

    def reloading(self, status: str) -> None:
        """A reload begins; `ready` ends it, also when it failed. Without the time in the very same message, systemd
        (Type=notify-reload) takes an older READY for the end of this reload, or kills the service.
        """
        self._status = status
        self._send(encode(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000), STATUS=status))

    def alive(self) -> None:
        if not self._pending:  # signs of life are not collected
            self._send(encode(WATCHDOG="1"))

    def store(self, name: str, fd: int) -> None:
        """Keep a copy of `fd` at the manager under `name`, over restarts and crashes; the same one is kept once."""
        if self.keeps:
            self._send(encode(FDSTORE="1", FDNAME=name), fd)

    def unstore(self, name: str) -> None:
        if self.keeps:
            self._send(encode(FDSTOREREMOVE="1", FDNAME=name))

    def _send(self, data: bytes, fd: int = -1) -> None:
        if self._to is None or len(self._pending) >= MAX_PENDING:
            return
        self._pending.append((data, os.dup(fd) if fd >= 0 else -1))
        self.flush()

    def close(self) -> None:
        """What still waits is lost."""
        for _, fd in self._pending:
            if fd >= 0:
                os.close(fd)
        self._pending.clear()
        if self._to is not None:
            self._socket.close()

    def flush(self) -> None:
        """Send what the manager's socket takes."""
        while self._pending:
            data, fd = self._pending[0]
            try:
                self._socket.sendmsg([data], channel.ancillary([fd] if fd >= 0 else []), 0, self._to)
            except (BlockingIOError, *_NOBODY):
                return
            self._pending.popleft()
            if fd >= 0:
                os.close(fd)
