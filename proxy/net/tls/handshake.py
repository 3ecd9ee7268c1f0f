"""Handshakes of a worker's downstream connections, one step of one of them at a time.

A step may be a signature, a millisecond of pure arithmetic. So at each turn of the event loop one handshake goes one
step, and between two steps whoever else is ready runs: a thousand clients that connect at once take their own time.
"""

from __future__ import annotations

import functools
import logging
import ssl
from collections.abc import Callable

import trio

from proxy.limits import MAX_HANDSHAKES, TLS_HANDSHAKE_TIMEOUT
from proxy.net.connection import Connection
from proxy.net.peer import disconnected
from proxy.net.tls import refusal
from proxy.net.tls.refusal import Refusal
from proxy.net.tls.server import ServerTls
from proxy.net.tls.session import TlsSession, count
from proxy.net.tls.socket import TlsSocket
from proxy.stats import Counter

log = logging.getLogger("proxy.tls")

Refused = Callable[[Refusal], None]
"""Told, once at most, why nothing comes of a handshake that the client had begun, or should have."""


class Handshakes:
    """Those of one worker that are not complete. When there are too many, the one that has waited longest ends."""

    def __init__(self) -> None:
        self.turn = trio.Lock()
        self._waiting: dict[Connection, Refused] = {}

    def add(self, connection: Connection, refused: Refused) -> None:
        if len(self._waiting) >= MAX_HANDSHAKES:
            longest, tell = next(iter(self._waiting.items()))
            self.discard(longest)
            tell(refusal.OVERFLOW)
            longest.end()
        self._waiting[connection] = refused

    def discard(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)


_current: trio.lowlevel.RunVar[Handshakes] = trio.lowlevel.RunVar("handshakes")


def _handshakes() -> Handshakes:
    try:
        return _current.get()
    except LookupError:
        _current.set(Handshakes())
        return _current.get()


async def accept(connection: Connection, tls: ServerTls, timeout: float, timed_out: Counter, refused: Refused) -> None:
    """Speak TLS on `connection`, which must have agreed within `timeout` seconds; 0 means the default. Raises
    `ProxyError` if nothing comes of it.
    """
    everybody = _handshakes()
    connection.deadline(timeout or TLS_HANDSHAKE_TIMEOUT)
    sock = connection.secure(tls.wrap)
    if sock.engine is None:
        connection.closed_by_peer = True
        raise disconnected()
    everybody.add(connection, refused)
    session = connection.tls = TlsSession(sock)
    try:
        await _shake_hands(connection, sock, session, tls, everybody.turn)
    except trio.Cancelled:
        if connection.expired:
            timed_out.inc()
            session.late = True
            refused(refusal.TIMEOUT)
        raise
    except _RefusedError as error:
        found = error.refusal
        session.failure = found.words
        log.debug("a TLS handshake failed: %s", found.words or found.detail)
        if found is not refusal.GONE or session.bytes_received:  # a health check of the port alone says nothing at all
            refused(found)
        raise disconnected() from error
    finally:
        everybody.discard(connection)
    connection.deadline(0)


class _RefusedError(Exception):
    def __init__(self, why: Refusal) -> None:
        super().__init__(why.detail)
        self.refusal = why


async def _shake_hands(
    connection: Connection, sock: TlsSocket, session: TlsSession, tls: ServerTls, turn: trio.Lock
) -> None:
    connection.watch()
    wait = connection.wait_readable
    while True:
        await wait()
        wait = connection.wait_readable
        session.began = session.began or trio.current_time()
        async with turn:
            if tls.verifier is not None:
                tls.verifier.begin()
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                connection.found_nothing()
            except ssl.SSLWantWriteError:
                wait = connection.wait_writable  # without the turn: others need not wait for this client
            except OSError as error:
                raise _failed(error, session, tls) from error
            else:
                _agreed(session, tls)
                break
    session.ended = trio.current_time()
    sock.on_error = functools.partial(_broken, session, tls)


def _broken(session: TlsSession, tls: ServerTls, error: ssl.SSLError) -> None:
    """A client breaks the protocol, or sends an alert, later on."""
    tls.stats.connection_error.inc()
    session.failure = refusal.of_error(error).words


def _failed(error: OSError, session: TlsSession, tls: ServerTls) -> _RefusedError:
    """Count it, as `SslSocket::drainErrorQueue` does. An end without a word is nobody's error."""
    verifier = tls.verifier
    if verifier is None:
        found = refusal.of_error(error)
    else:
        found = refusal.of_error(error, verifier.reason, verifier.code, verifier.what)
        session.presented = verifier.presented
    if found.detail == "tls_no_client_certificate":
        tls.stats.fail_verify_no_cert.inc()
    elif found.counted:
        tls.stats.connection_error.inc()
    return _RefusedError(found)


def _agreed(session: TlsSession, tls: ServerTls) -> None:
    """Count it (`ContextImpl::logHandshake`). Raises `_RefusedError` if what a resumed session remembers is not
    good any more.
    """
    stats, verifier = tls.stats, tls.verifier
    session.validated = verifier is not None and verifier.validated
    if session.resumed:
        stats.session_reused.inc()
        if verifier is not None and session.peer is not None:
            if not verifier.judge_resumed(session.peer.der):
                raise _failed(ssl.SSLError(ssl.SSL_ERROR_SSL, verifier.reason), session, tls)
            session.validated = verifier.validated
    count(session, stats)
