"""Where lines go: a file of our own, or an inherited standard stream, whose flags belong to everyone who shares it.

Nothing here may wait for longer than `LOG_PATIENCE`, and nothing raises: what cannot be written is lost.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from collections.abc import Iterator, Sequence
from typing import Protocol

from proxy.limits import LOG_PATIENCE

STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class Output(Protocol):
    """`name` is unique. For one thread."""

    name: str

    def write(self, lines: Sequence[bytes]) -> int:
        """Write whole lines in order; says how many. The rest is lost."""
        ...

    def reopen(self) -> bool:
        """Begin anew at the same name; says whether that worked."""
        ...

    def close(self) -> None:
        """Let go of what is open; a later `write` opens it again."""
        ...


def file_output(path: str) -> Output:
    """The output to `path`. A standard stream by its device name is the one that we have: opening it again may be
    forbidden to our user, and would begin a regular file anew.
    """
    return StandardOutput(STANDARD[path]) if path in STANDARD else FileOutput(path)


class _Descriptor:
    """One open descriptor. Pipes get at most PIPE_BUF bytes at once, which no other writer can cut in two (pipe(7))."""

    def __init__(self, fd: int, *, nonblocking: bool) -> None:
        mode = os.fstat(fd).st_mode
        self.fd = fd
        self._regular = stat.S_ISREG(mode)
        self._socket = socket.socket(fileno=os.dup(fd)) if stat.S_ISSOCK(mode) else None
        self._may_block = not nonblocking and not self._regular
        self._batch = (1 << 20) if self._regular else select.PIPE_BUF
        self._torn = False
        self._stalled = False

    def write(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """How many lines were written, and why not all."""
        done = 0
        for batch in _batches(lines, self._batch):
            data = b"".join(batch)
            if self._torn:
                data = b"\n" + data  # the rest of a line that a full disk cut is lost
            sent, error = self._send(data)
            if sent:
                sent -= self._torn
                self._torn = False
            if error is None:
                done += len(batch)
                continue
            for line in batch:
                if sent < len(line):
                    break
                sent -= len(line)
                done += 1
            self._torn = self._torn or sent > 0
            return done, error
        return done, None

    def _send(self, data: bytes) -> tuple[int, OSError | None]:
        sent = 0
        while sent < len(data):
            try:
                sent += self._some(data[sent:])
                self._stalled = False
            except BlockingIOError as error:
                if self._stalled or not self._writable(LOG_PATIENCE):
                    self._stalled = True  # a reader that does not read is waited for once
                    return sent, error
            except OSError as error:
                return sent, error
        return sent, None

    def _some(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        if not self._may_block:
            return os.write(self.fd, data)
        if not self._writable(0):
            raise BlockingIOError(errno.EAGAIN, "not writable")
        try:
            return os.pwritev(self.fd, [data], -1, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.ESPIPE):
                raise
        return os.write(self.fd, data)

    def _writable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    @property
    def deleted(self) -> bool:
        """Whether this is a file without a name: what is written there is lost when we close it."""
        return self._regular and os.fstat(self.fd).st_nlink == 0

    def close(self, *, owned: bool) -> None:
        """`owned`: the descriptor is ours alone."""
        if self._socket is not None:
            self._socket.close()
        if owned:
            os.close(self.fd)


class FileOutput:
    """Opened with the first line, and again after a failure or once the file has been deleted."""

    def __init__(self, path: str) -> None:
        self.name = path
        self._open: _Descriptor | None = None

    def write(self, lines: Sequence[bytes]) -> int:
        if (self._open is None or self._open.deleted) and not self.reopen():
            return 0
        assert self._open is not None
        done, error = self._open.write(lines)
        if error is not None and error.errno in (errno.EPIPE, errno.EIO, errno.ESTALE, errno.EBADF):
            self.close()
        return done

    def reopen(self) -> bool:
        try:
            fd = os.open(self.name, _FLAGS, 0o644)
        except OSError:
            return False
        self.close()
        self._open = _Descriptor(fd, nonblocking=True)
        return True

    def close(self) -> None:
        if self._open is not None:
            self._open.close(owned=True)
            self._open = None


class StandardOutput:
    """Standard output (1) or error (2). It is never closed and its flags stay as they are."""

    def __init__(self, fd: int) -> None:
        self.name = f"/dev/{'stdout' if fd == 1 else 'stderr'}"
        self._fd = fd
        self._open: _Descriptor | None = None

    def write(self, lines: Sequence[bytes]) -> int:
        if self._open is None and not self.reopen():
            return 0
        assert self._open is not None
        return self._open.write(lines)[0]

    def reopen(self) -> bool:
        """Look at what the descriptor is now: `--log-path` puts another file there."""
        self.close()
        try:
            self._open = _Descriptor(self._fd, nonblocking=False)
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._open is not None:
            self._open.close(owned=False)
            self._open = None


def _batches(lines: Sequence[bytes], limit: int) -> Iterator[Sequence[bytes]]:
    """`lines` in groups of at most `limit` bytes, or of one line."""
    begin = size = 0
    for index, line in enumerate(lines):
        if index > begin and size + len(line) > limit:
            yield lines[begin:index]
            begin, size = index, 0
        size += len(line)
    if begin < len(lines):
        yield lines[begin:]
