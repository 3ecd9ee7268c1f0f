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


async def serve(view: ServerView, sockets: list[socket.socket], stats: Stats) -> None:
    """Answers on `sockets` (listening, TCP or Unix; they stay the caller's) until cancelled.

    `stats` is where the admin interface counts its own connections and requests.
    """
    context, own = Context(view, Intervals(view.metrics().histograms)), AdminStats(stats)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_flush_forever, context)
        for sock in sockets:
            sock.setblocking(False)
            nursery.start_soon(_accept_forever, sock, context, own)


async def _flush_forever(context: Context) -> None:
    while True:
        await trio.sleep(FLUSH_INTERVAL)
        context.intervals.flush(context.view.metrics().histograms)


async def _accept_forever(listening: socket.socket, context: Context, stats: AdminStats) -> None:
    slots = trio.Semaphore(MAX_CONNECTIONS)
    async with trio.open_nursery() as nursery:
        while True:
            await slots.acquire()  # before the accept: what exceeds the limit waits in the kernel's queue
            connection = Connection(await _accept(listening), context, stats)
            nursery.start_soon(_serve_one, connection, slots)


async def _serve_one(connection: Connection, slots: trio.Semaphore) -> None:
    try:
        await connection.serve()
    except Exception:
        # One client's request must not end the admin interface for all; what went wrong is logged with its traceback.
        log.exception("admin: an exchange failed")
    finally:
        connection.close()
        slots.release()


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
