"""A child's end of the channel to the supervisor, under trio."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

import trio

from shm import channel

SEND_DEADLINE = 5.0  # seconds; the supervisor never blocks, so a full channel means that it is gone or stopped


class Received(NamedTuple):
    """One message, the named descriptors gathered ahead of it, and the descriptors of its own packet."""

    message: dict[str, Any]
    named: dict[str, int]
    fds: list[int]


class SupervisorLink:
    """Takes over the descriptor. Usable before and after the event loop too (`send_now`)."""

    def __init__(self, fd: int) -> None:
        self._raw = socket.socket(fileno=fd)
        self._raw.setblocking(False)
        self._collector = channel.FdCollector()
        self._send_lock = trio.Lock()

    async def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one packet; a supervisor that is gone is noticed by `receive`."""
        data = channel.encode(message)
        with trio.move_on_after(SEND_DEADLINE):
            async with self._send_lock:
                while True:
                    try:
                        self._raw.sendmsg([data], channel.ancillary(fds), socket.MSG_NOSIGNAL)
                        return
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(self._raw)
                    except (BrokenPipeError, ConnectionResetError):
                        return

    async def receive(self) -> Received | None:
        """The next message, or None when the supervisor is gone."""
        while True:
            await trio.lowlevel.wait_readable(self._raw)
            try:
                message, fds = channel.receive(self._raw)
            except BlockingIOError:
                continue
            except channel.ChannelClosedError:
                return None
            if not self._collector.collect(message, fds):
                return Received(message, self._collector.take(), fds)

    def give(self, message: dict[str, Any], fds: Sequence[int]) -> bool:
        """Send one packet if that is possible now; says whether it was."""
        try:
            self._raw.sendmsg([channel.encode(message)], channel.ancillary(fds), socket.MSG_NOSIGNAL)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:  # too many descriptors are under way
                raise
            return False
        return True

    def send_now(self, message: dict[str, Any]) -> None:
        """Last words, outside the event loop; lost if the channel is full or the supervisor gone."""
        try:
            self._raw.sendmsg([channel.encode(message)], [], socket.MSG_NOSIGNAL)
        except OSError:
            return


def reopen_logs(received: Received) -> None:
    """Go on logging to the file that the supervisor has opened, if it has one."""
    if received.fds:
        os.dup2(received.fds[0], 2)


def close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
