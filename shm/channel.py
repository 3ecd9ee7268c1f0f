"""Messages between the supervisor and its children: JSON and file descriptors over a SOCK_SEQPACKET pair.

Standard library alone, because the supervisor imports nothing else. A packet is one JSON object of at most
`MAX_MESSAGE` bytes with at most `MAX_FDS` descriptors; more descriptors travel in several packets (`fd_batches`).
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_MESSAGE = 64 * 1024
MAX_FDS = 200  # the kernel's SCM_MAX_FD is 253

_INT = array.array("i").itemsize


class ChannelClosedError(Exception):
    """The peer's end is closed: the process at the other end is gone."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, non-blocking, not inherited by exec."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.setblocking(False)
    two.setblocking(False)
    return one, two


def encode(message: dict[str, Any]) -> bytes:
    """`message` as one packet's bytes; raises `ValueError` beyond `MAX_MESSAGE`."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MAX_MESSAGE:
        raise ValueError(f"message {message.get('type')!r} has {len(data)} bytes, more than {MAX_MESSAGE}")
    return data


def ancillary(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """The `sendmsg` ancillary data that passes `fds`."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []


ANCILLARY_SIZE = socket.CMSG_SPACE(MAX_FDS * _INT)


def decode(
    data: bytes, ancillary_data: Sequence[tuple[int, int, bytes]], flags: int
) -> tuple[dict[str, Any], list[int]]:
    """One received packet: its message and the descriptors that came with it (not inheritable).

    Raises `ChannelClosedError` on end of file and `ValueError` on anything that `encode` cannot have written.
    """
    fds: list[int] = []
    for level, kind, payload in ancillary_data:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received = array.array("i")
            received.frombytes(payload[: len(payload) - len(payload) % _INT])
            fds.extend(received)
    for fd in fds:
        os.set_inheritable(fd, False)
    if not data and not fds:
        raise ChannelClosedError
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise ValueError("packet was truncated")
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError("message is not an object")
    return message, fds


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next packet of `sock`; blocks or raises `BlockingIOError` as the socket does."""
    try:
        data, ancillary_data, flags, _ = sock.recvmsg(MAX_MESSAGE, ANCILLARY_SIZE)
    except ConnectionResetError:
        raise ChannelClosedError from None
    return decode(data, ancillary_data, flags)


def fd_batches(fds: Mapping[str, int]) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Packets that carry named descriptors ahead of the message that uses them; see `FdCollector`."""
    names = list(fds)
    for start in range(0, len(names), MAX_FDS):
        part = names[start : start + MAX_FDS]
        yield {"type": "fds", "names": part}, [fds[name] for name in part]


class FdCollector:
    """The receiving side of `fd_batches`: gathers named descriptors until a message takes them."""

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}

    def collect(self, message: dict[str, Any], fds: Sequence[int]) -> bool:
        """Keep the descriptors of an "fds" packet; says whether `message` was one."""
        if message.get("type") != "fds":
            return False
        names = message["names"]
        if len(names) != len(fds):
            for fd in fds:
                os.close(fd)
            raise ValueError(f"{len(names)} names for {len(fds)} descriptors")
        self._fds.update(zip(names, fds, strict=True))
        return True

    def take(self) -> dict[str, int]:
        """What has been gathered; the collector is empty again."""
        fds, self._fds = self._fds, {}
        return fds
