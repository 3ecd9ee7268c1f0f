"""Which listening sockets does this worker poll? Its own, those of missing indexes, and those of siblings in trouble.

Fostering (DESIGN §1): a worker whose heartbeat is older than 300 ms, or that is missing, leaves connections waiting in
its socket's queue; its siblings accept there until it is back.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping

import trio

from proxy.server import Server
from shm.processes import ProcessInfo, ProcessTable, Role, State
from shm.socket_name import SHARED, SocketName

FOSTER_AFTER_NS = 300_000_000
CHECK_INTERVAL = 0.1  # seconds


def healthy_indexes(processes: Iterable[ProcessInfo], *, generation: int, now_ns: int) -> set[int]:
    """Indexes of workers of `generation` that are accepting and whose heartbeat is fresh. Pure."""
    return {
        process.index
        for process in processes
        if process.role == Role.WORKER
        and process.generation == generation
        and process.state == State.SERVING
        and now_ns - process.heartbeat_ns < FOSTER_AFTER_NS
    }


def indexes_to_poll(me: int, *, count: int, listening: int, healthy: Collection[int]) -> set[int]:
    """The socket indexes that worker `me` of `count` polls, of `listening` ones. Pure.

    Socket *i* belongs to worker *i mod count* (sockets outlive a smaller count). A healthy owner has it alone;
    otherwise everyone helps.
    """
    return {i for i in range(listening) if i % count == me or i % count not in healthy}


class Acceptors:
    """Starts and cancels the server's accept loops so that exactly the sockets to poll are polled."""

    def __init__(
        self,
        server: Server,
        processes: ProcessTable,
        *,
        index: int,
        generation: int,
        nursery: trio.Nursery,
    ) -> None:
        self._server = server
        self._processes = processes
        self._index = index
        self._generation = generation
        self._nursery = nursery
        self._sockets: dict[SocketName, socket.socket] = {}
        self._polling: dict[SocketName, trio.CancelScope] = {}
        self._count = 0
        self._listening = 0
        self._among: Collection[str] | None = None

    def add(self, fds: dict[str, int]) -> None:
        """Take over inherited listening sockets; descriptors under other names are left alone."""
        for text, fd in fds.items():
            name = SocketName.parse(text)
            if name is not None:
                self._drop(name)  # its listener was closed, and has been opened again
                sock = socket.socket(fileno=fd)
                sock.setblocking(False)
                self._sockets[name] = sock

    def rename(self, names: Mapping[str, str]) -> None:
        """Sockets of a reload's other listeners: old name → new one, "" for one that is not ours any more. Nobody who
        waits in their queues notices; the new name's listener has them from now on.
        """
        moved: dict[SocketName, socket.socket] = {}
        for old, new in names.items():
            name, becomes = SocketName.parse(old), SocketName.parse(new)
            if name is None or name not in self._sockets:
                continue
            if becomes is not None:
                moved[becomes] = self._sockets[name].dup()
            self._drop(name)
        for becomes, sock in moved.items():
            self._drop(becomes)
            self._sockets[becomes] = sock

    def set_topology(self, *, count: int, listening: int, among: Collection[str] | None = None) -> None:
        """`among`: poll none but the sockets of these names (a canary leaves those alone that do not listen yet)."""
        self._count = count
        self._listening = listening
        self._among = among
        self.update()

    def update(self) -> None:
        """Look at the siblings and poll accordingly."""
        healthy = healthy_indexes(self._processes.live(), generation=self._generation, now_ns=time.monotonic_ns())
        if self._count == 0:
            return
        wanted = indexes_to_poll(self._index, count=self._count, listening=self._listening, healthy=healthy)
        for name in list(self._sockets):
            mine = name.index == SHARED or name.index in wanted
            if mine and (self._among is None or str(name) in self._among):
                self._start(name)
            else:
                self._stop(name)

    def _start(self, name: SocketName) -> None:
        if name not in self._polling:
            scope = trio.CancelScope()
            self._polling[name] = scope
            self._nursery.start_soon(self._accept, name, self._sockets[name], scope)

    async def _accept(
        self,
        name: SocketName,
        sock: socket.socket,
        scope: trio.CancelScope,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Sole user of `sock` while it runs, so that nobody closes it meanwhile."""
        with scope:
            await self._server.accept(name.listener, name.address, sock, task_status=task_status)
        if self._sockets.get(name) is not sock:  # dropped while it was polled
            sock.close()
        elif self._polling.get(name) is scope:  # the supervisor has shut it down
            del self._sockets[name], self._polling[name]
            sock.close()

    def _stop(self, name: SocketName) -> None:
        scope = self._polling.pop(name, None)
        if scope is not None:
            scope.cancel()

    def _drop(self, name: SocketName) -> None:
        """Give up a socket; closed here, or by the loop that polls it."""
        sock = self._sockets.pop(name, None)
        if sock is not None and name not in self._polling:
            sock.close()
        self._stop(name)

    async def watch(self, serving: Callable[[], bool]) -> None:
        """Keep `update`d for ever while `serving`."""
        while serving():
            self.update()
            await trio.sleep(CHECK_INTERVAL)

    def stop(self) -> None:
        """Poll nothing any more. The sockets stay open: they are the supervisor's."""
        self._count = 0
        for name in list(self._polling):
            self._stop(name)

    def sweep(self) -> None:
        """Accept what waits now, on all sockets: a sibling may hang."""
        for name, sock in self._sockets.items():
            self._server.accept_waiting(name.listener, sock)

    async def empty(self, ending: Iterable[str]) -> None:
        """Accept on the sockets of these names until the supervisor shuts them down. Returns when all are polled."""
        for text in ending:
            name = SocketName.parse(text)
            sock = self._sockets.get(name) if name is not None else None
            if name is not None and sock is not None:
                scope = self._polling[name] = trio.CancelScope()
                await self._nursery.start(self._accept, name, sock, scope)

    def close(self) -> None:
        """Poll nothing and close the sockets: the supervisor is gone, and its successor wants the addresses."""
        self._count = 0
        for name in list(self._sockets):
            self._drop(name)
