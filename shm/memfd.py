"""Anonymous memory files. They have no name in a file system and are handed from process to process by descriptor."""

from __future__ import annotations

import fcntl
import os

ALL_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
MAX_SEALED_BYTES = 1 << 30


def create(name: str, size: int) -> int:
    """A new zero-filled memory file of `size` bytes: not inheritable, and never to shrink.

    The seal is what makes a bounds check against `fstat` hold for ever: without it any holder could cut the file
    under a reader's map, which is SIGBUS.
    """
    fd = _open(name)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except BaseException:
        os.close(fd)
        raise
    return fd


def sealed(name: str, data: bytes) -> int:
    """A memory file that holds `data` and that nobody can change any more."""
    fd = _open(name)
    try:
        write_at(fd, data, 0)
        seal(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def seal(fd: int) -> None:
    """Make what another process has written into a memory file final."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, ALL_SEALS)


def read_all(fd: int, limit: int = MAX_SEALED_BYTES) -> bytes:
    """The content of a sealed memory file; raises as `check_sealed` does."""
    return read_at(fd, check_sealed(fd, limit), 0)


def check_sealed(fd: int, limit: int = MAX_SEALED_BYTES) -> int:
    """The size of a sealed memory file.

    Raises ValueError for a descriptor that is not fully sealed (its content could change while it is read) or that
    holds more than `limit` bytes.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise ValueError(f"descriptor {fd} is not a memory file") from error
    if seals & ALL_SEALS != ALL_SEALS:
        raise ValueError(f"memory file {fd} is not sealed (seals {seals:#x})")
    size = os.fstat(fd).st_size
    if size > limit:
        raise ValueError(f"memory file {fd} holds {size} bytes, more than {limit}")
    return size


def read_at(fd: int, length: int, offset: int) -> bytes:
    """`length` bytes from `offset`; fewer only where the file ends. Holes are read without being filled."""
    parts: list[bytes] = []
    while length:
        part = os.pread(fd, length, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)


def write_at(fd: int, data: bytes, offset: int) -> None:
    """Writes all of `data` at `offset`; the file grows as needed."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        offset += written
        rest = rest[written:]


def _open(name: str) -> int:
    return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
