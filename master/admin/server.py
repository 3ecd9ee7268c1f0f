"""The admin server: its listening sockets, and the tasks beside them."""

from __future__ import annotations

import errno
import logging
import socket

import trio

from master.admin.connection import Connection
from master.admin.own_stats import AdminStats
from master.admin.page import Context
from master.admin.view import ServerView
from master.stats.aggregate import FLUSH_INTERVAL, Intervals
from proxy.stats import Stats

MAX_CONNECTIONS = 64
"""Of each listening socket: whoever fills the TCP one does not lock out `proxyctl` on the Unix one."""

OVERLOAD_PAUSE = 0.1
"""Seconds to wait when the process or the machine has no descriptor or memory left."""

_OVERLOAD = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_IGNORED = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM}
)

log = logging.getLogger("admin")


async def serve(
    view: ServerView, sockets: list[socket.socket], stats: Stats, retired: trio.Event | None = None
) -> None:
    """Answers on `sockets` (listening, TCP or Unix; they stay the caller's) until cancelled, or until what was in hand
    when `retired` was set is answered: what comes after that waits in the kernel's queue for another process.

    `stats` is where the admin interface counts its own connections and requests.
    """
    server = _Server(Context(view, Intervals(view.metrics().histograms)), AdminStats(stats))
    async with trio.open_nursery() as tasks:
        tasks.start_soon(server.flush_forever)
        async with trio.open_nursery() as connections, trio.open_nursery() as accepting:
            for sock in sockets:
                sock.setblocking(False)
                accepting.start_soon(server.accept_forever, sock, connections)
            await (trio.Event() if retired is None else retired).wait()
            accepting.cancel_scope.cancel()
            server.retire()
        tasks.cancel_scope.cancel()


class _Server:
    def __init__(self, context: Context, stats: AdminStats) -> None:
        self._context = context
        self._stats = stats
        self._connections: set[Connection] = set()

    async def flush_forever(self) -> None:
        while True:
            await trio.sleep(FLUSH_INTERVAL)
            self._context.intervals.flush(self._context.view.metrics().histograms)

    async def accept_forever(self, listening: socket.socket, nursery: trio.Nursery) -> None:
        slots = trio.Semaphore(MAX_CONNECTIONS)
        while True:
            await slots.acquire()  # before the accept: what exceeds the limit waits in the kernel's queue
            connection = Connection(await _accept(listening), self._context, self._stats)
            self._connections.add(connection)
            nursery.start_soon(self._serve_one, connection, slots)

    async def _serve_one(self, connection: Connection, slots: trio.Semaphore) -> None:
        try:
            await connection.serve()
        except Exception:
            # One client's request must not end the admin interface for all; its traceback is logged.
            log.exception("admin: an exchange failed")
        finally:
            self._connections.discard(connection)
            connection.close()
            slots.release()

    def retire(self) -> None:
        """Each connection ends with the answer in hand."""
        for connection in self._connections:
            connection.retire()


async def _accept(listening: socket.socket) -> socket.socket:
    while True:
        try:
            sock, _ = listening.accept()
        except BlockingIOError:
            await trio.lowlevel.wait_readable(listening)
        except OSError as error:
            if error.errno in _OVERLOAD:
                log.error("admin: cannot accept: %s", error)
                await trio.sleep(OVERLOAD_PAUSE)
            elif error.errno not in _IGNORED:
                raise
        else:
            sock.setblocking(False)
            return sock
