"""One child process as the supervisor knows it, and its end of the channel."""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from shm import channel

Role = Literal["template", "controller", "worker"]
MAX_QUEUED = 1000  # messages waiting for a child that does not read; it hangs, and the heartbeat watch deals with it


class Outbox:
    """A channel end that never blocks: what the socket does not take now waits, in order and bounded."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._queue: collections.deque[tuple[bytes, list[int], list[int]]] = collections.deque()

    def send(self, message: dict[str, Any], fds: Sequence[int] = (), *, give: Sequence[int] = ()) -> None:
        """Queue one packet. `fds` stay ours and must outlive the send; `give` are closed once they are sent."""
        if len(self._queue) >= MAX_QUEUED:
            for fd in give:
                os.close(fd)
            raise channel.ChannelClosedError
        self._queue.append((channel.encode(message), [*fds, *give], list(give)))
        self.flush()

    def send_fds(self, fds: Mapping[str, int]) -> None:
        for message, batch in channel.fd_batches(fds):
            self.send(message, batch)

    def flush(self) -> None:
        """Send what the socket takes. A peer that is gone empties the queue: its death is told by waitpid."""
        while self._queue:
            data, fds, give = self._queue[0]
            try:
                self.sock.sendmsg([data], channel.ancillary(fds), socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                self.discard()
                return
            self._queue.popleft()
            for fd in give:
                os.close(fd)

    @property
    def pending(self) -> bool:
        return bool(self._queue)

    def close_writing(self) -> None:
        """Tell the peer that nothing more will come: the template ends."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def discard(self) -> None:
        for _, _, give in self._queue:
            for fd in give:
                os.close(fd)
        self._queue.clear()

    def close(self) -> None:
        self.discard()
        self.sock.close()


class Owner(Protocol):
    """The generation of a child."""

    number: int

    def on_message(self, child: Child, message: dict[str, Any], fds: list[int]) -> None:
        """Act on a message. Descriptors that are kept are taken out of `fds`; the caller closes the rest."""

    def on_death(self, child: Child, status: int) -> None:
        """It has been waited for; `status` is that of `os.wait`."""


State = Literal["starting", "ready", "draining", "hung"]


@dataclass(slots=True, eq=False)
class Child:
    """`index` is the worker's position among the reuseport sockets; `slot` its row and region in shared memory."""

    owner: Owner
    role: Role
    outbox: Outbox
    far_end: int = -1  # the child's end of the channel, until it has been sent to the template
    index: int = 0
    slot: int = -1
    pid: int = 0  # 0 until the template has told it
    state: State = "starting"
    started_ns: int = field(default_factory=time.monotonic_ns)
    failure: str = ""  # the traceback it sent before it died
    kill_at_ns: int = 0  # hung: when SIGKILL follows
    excused_ns: int = 0  # until when its silence was not its own

    @classmethod
    def create(cls, owner: Owner, role: Role, *, index: int = 0, slot: int = -1) -> Child:
        """A child that is yet to be forked, with its channel."""
        ours, theirs = channel.pair()
        return cls(owner, role, Outbox(ours), far_end=theirs.detach(), index=index, slot=slot)

    def abandon(self) -> None:
        """Close what a child that was never forked would have inherited."""
        self.outbox.close()
        if self.far_end >= 0:
            os.close(self.far_end)
            self.far_end = -1

    @property
    def name(self) -> str:
        who = f"worker {self.index}" if self.role == "worker" else self.role
        return who if self.owner.number == 1 else f"{who} of generation {self.owner.number}"
