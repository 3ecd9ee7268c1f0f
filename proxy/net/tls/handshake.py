"""Handshakes of a worker's downstream connections, one step of one of them at a time.

A step may be a signature, a millisecond of pure arithmetic. So at each turn of the event loop one handshake goes one
step, and between two steps whoever else is ready runs: a thousand clients that connect at once take their own time.
"""

from __future__ import annotations

import logging
import ssl

import trio

from proxy.errors import ProxyError
from proxy.limits import MAX_HANDSHAKES, TLS_HANDSHAKE_TIMEOUT
from proxy.net.connection import Connection
from proxy.net.peer import disconnected
from proxy.net.tls.server import ServerTls
from proxy.net.tls.session import TlsSession, count
from proxy.net.tls.socket import TlsSocket
from proxy.stats import Counter

log = logging.getLogger("proxy.tls")


class Handshakes:
    """Those of one worker that are not complete. When there are too many, the one that has waited longest ends."""

    def __init__(self) -> None:
        self.turn = trio.Lock()
        self._waiting: dict[Connection, None] = {}

    def add(self, connection: Connection) -> None:
        if len(self._waiting) >= MAX_HANDSHAKES:
            next(iter(self._waiting)).end()
        self._waiting[connection] = None

    def discard(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)


_current: trio.lowlevel.RunVar[Handshakes] = trio.lowlevel.RunVar("handshakes")


def _handshakes() -> Handshakes:
    try:
        return _current.get()
    except LookupError:
        _current.set(Handshakes())
        return _current.get()


async def accept(connection: Connection, tls: ServerTls, timeout: float, timed_out: Counter) -> None:
    """Speak TLS on `connection`, which must have agreed within `timeout` seconds; 0 means the default. Raises
    `ProxyError` if nothing comes of it.
    """
    everybody = _handshakes()
    everybody.add(connection)
    connection.deadline(timeout or TLS_HANDSHAKE_TIMEOUT)
    try:
        await _shake_hands(connection, connection.secure(tls.wrap), tls, everybody.turn)
    except trio.Cancelled:
        if connection.expired:
            timed_out.inc()
        raise
    finally:
        everybody.discard(connection)
    connection.deadline(0)


async def _shake_hands(connection: Connection, sock: TlsSocket, tls: ServerTls, turn: trio.Lock) -> None:
    connection.watch()
    while True:
        await connection.wait_readable()
        async with turn:
            if tls.verifier is not None:
                tls.verifier.begin()
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                connection.found_nothing()
            except ssl.SSLWantWriteError:
                await connection.wait_writable()
            except OSError as error:
                raise _failed(error, tls) from error
            else:
                break
    connection.tls = _agreed(sock, tls)


def _failed(error: OSError, tls: ServerTls) -> ProxyError:
    """Count it, as `SslSocket::drainErrorQueue` does. An end without a word is nobody's error."""
    reason = tls.verifier.reason if tls.verifier is not None else ""
    name = getattr(error, "reason", None) or ""
    if name == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        tls.stats.fail_verify_no_cert.inc()
    elif isinstance(error, ssl.SSLError) and not reason and not isinstance(error, ssl.SSLEOFError):
        tls.stats.connection_error.inc()
    log.debug("a TLS handshake failed: %s", reason or name or error)
    return disconnected()


def _agreed(sock: TlsSocket, tls: ServerTls) -> TlsSession:
    """Count it (`ContextImpl::logHandshake`). Raises `ProxyError` if what a resumed session remembers will not do."""
    stats, verifier = tls.stats, tls.verifier
    validated = verifier is not None and verifier.validated
    session = TlsSession(sock, validated=validated)
    if session.resumed:
        stats.session_reused.inc()
        if verifier is not None and session.peer is not None:
            if not verifier.judge_resumed(session.peer.der):
                raise disconnected()
            session.validated = verifier.validated
    count(session, stats)
    return session
