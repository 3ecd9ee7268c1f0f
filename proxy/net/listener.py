"""The accept loop: listening socket in, accepted sockets out. It never holds a socket across an await."""

from __future__ import annotations

import errno
import logging
import select
import socket
from collections.abc import Callable

import trio

from proxy.limits import ACCEPT_BACKOFF, ACCEPT_BURST, MAX_QUEUE
from proxy.net.descriptors import ceiling, scarce

log = logging.getLogger("proxy.listener")

IGNORABLE = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.EPERM,
        errno.ENETDOWN,
        errno.ENOPROTOOPT,
        errno.EHOSTDOWN,
        errno.ENONET,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
    }
)
"""The new connection died before we saw it, or a firewall refused it (accept(2), "Error handling")."""

OVERLOAD = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""We cannot take it now: the connection stays in the queue. Everything else is a bug or a closed socket: it raises."""


async def accept_loop(sock: socket.socket, on_accept: Callable[[socket.socket], None]) -> None:
    """Hand every connection of the listening, non-blocking `sock` to `on_accept`, until the socket has been shut down.

    `on_accept` takes the ownership of a non-blocking socket and must not fail. Cancelling is possible only where no
    accepted socket is in hand. Other processes may accept on the same socket.
    """
    tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
    overloaded = False
    while True:
        await trio.lowlevel.wait_readable(sock)
        accepted, most = 0, ceiling()
        try:
            while accepted < ACCEPT_BURST:
                client, _ = sock.accept()
                _prepare(client, tcp=tcp)
                number = client.fileno()
                on_accept(client)
                accepted += 1
                if number >= most:
                    log.warning("descriptors run short: connections to %s wait until some are free", sock.getsockname())
                    while scarce(sock.fileno()):  # noqa: ASYNC110 - nothing tells
                        await trio.sleep(ACCEPT_BACKOFF)
                    break
            overloaded = False
        except BlockingIOError:
            overloaded = False
            if not accepted and _hung_up(sock):
                return
        except OSError as error:
            if error.errno in OVERLOAD:
                if not overloaded:
                    log.warning("cannot accept on %s: %s; retrying", sock.getsockname(), error)
                overloaded = True
                await trio.sleep(ACCEPT_BACKOFF)
            elif error.errno == errno.EINVAL:
                return  # TCP's way of saying that it no longer listens
            elif error.errno not in IGNORABLE:
                raise


def accept_waiting(sock: socket.socket, on_accept: Callable[[socket.socket], None]) -> None:
    """Hand what waits in the queue of `sock` now to `on_accept`: as much as fits into the longest queue, since others
    may come as fast as we accept.
    """
    tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
    for _ in range(MAX_QUEUE):
        try:
            client, _ = sock.accept()
        except OSError as error:
            if error.errno in IGNORABLE:
                continue
            return  # empty; or it cannot be helped
        _prepare(client, tcp=tcp)
        on_accept(client)


def _hung_up(sock: socket.socket) -> bool:
    """Whether a listening Unix socket was shut down: what waits can still be accepted; then it is ready for ever."""
    poll = select.poll()
    poll.register(sock, 0)  # POLLHUP comes unasked
    return bool(poll.poll(0))


def _prepare(client: socket.socket, *, tcp: bool) -> None:
    client.setblocking(False)
    if tcp:
        # Heads and small bodies must not wait for the peer's delayed acknowledgement (Envoy sets it too).
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
