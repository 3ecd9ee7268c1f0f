"""What carries bytes from one socket to another: a kernel pipe, so that nobody copies them, or memory where no
descriptor is left for a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket

from proxy.limits import PIPE_SIZE, SPARE_PIPES

_RECORDS = 64 * 1024
"""What memory takes at once: four records of TLS, each of which is a `write` of its own, and no small fifth."""

_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})


class Pipe:
    """A pipe between two `splice` calls. `held` counts the bytes in it. Both calls raise `OSError`, and
    `BlockingIOError` where the socket is not ready."""

    __slots__ = ("_reader", "_writer", "held")

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(PermissionError):  # over /proc/sys/fs/pipe-user-pages-soft it stays small
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        self.held = 0

    def fill(self, source: socket.socket, limit: int) -> int:
        """Take up to `limit` bytes into the empty pipe; 0 once `source` has finished sending."""
        taken = os.splice(source.fileno(), self._writer, limit, flags=_FLAGS)
        self.held += taken
        return taken

    def empty(self, sink: socket.socket) -> int:
        """Give as much as `sink` takes; says how much that was."""
        given = os.splice(self._reader, sink.fileno(), self.held, flags=_FLAGS)
        self.held -= given
        return given

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


class Memory:
    """The same over `recv` and `send`; holds one read at most, whatever the limit: there may be many."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = memoryview(b"")

    @classmethod
    def holding(cls, data: bytes) -> Memory:
        """One that is full already."""
        memory = cls()
        memory.load(data)
        return memory

    def load(self, data: bytes) -> None:
        """Hold `data` in place of what is left."""
        self._data = memoryview(data)

    def unload(self) -> bytes:
        """All of it, for whoever is no socket."""
        data, self._data = bytes(self._data), memoryview(b"")
        return data

    @property
    def held(self) -> int:
        return len(self._data)

    def fill(self, source: socket.socket, limit: int) -> int:
        self._data = memoryview(source.recv(min(limit, _RECORDS)))
        return len(self._data)

    def empty(self, sink: socket.socket) -> int:
        given = sink.send(self._data)
        self._data = self._data[given:]
        return given

    def close(self) -> None:
        self._data = memoryview(b"")


def splices(sock: socket.socket) -> bool:
    """Whether the kernel can move its bytes: not those that are encrypted here."""
    return type(sock) is socket.socket


class PipePool:
    """The pipes of one worker. A direction holds one only while it has bytes that its sink did not take yet, so
    connections that wait for their peers hold none.
    """

    def __init__(self, *, splice: bool = True) -> None:
        self._splice = splice
        self._spare: list[Pipe] = []

    def take(self) -> Pipe | Memory:
        """An empty carrier."""
        if self._spare:
            return self._spare.pop()
        if not self._splice:
            return Memory()
        try:
            return Pipe()
        except OSError as error:
            if error.errno not in _NO_DESCRIPTORS:
                raise
            return Memory()

    def put(self, carrier: Pipe | Memory) -> None:
        """Take a carrier back; one that still holds bytes is closed."""
        if isinstance(carrier, Pipe) and not carrier.held and len(self._spare) < SPARE_PIPES:
            self._spare.append(carrier)
        else:
            carrier.close()

    def close(self) -> None:
        """Close the spare pipes."""
        while self._spare:
            self._spare.pop().close()
