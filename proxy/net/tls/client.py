"""How a cluster speaks TLS to its hosts (`UpstreamTlsContext`)."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from proxy.config.tls import UpstreamTls
from proxy.net.tls import libssl, refusal
from proxy.net.tls.context import load_certificate, load_trust, new_context
from proxy.net.tls.session import TlsSession, count
from proxy.net.tls.socket import TlsSocket
from proxy.net.tls.stats import TlsStats
from proxy.net.tls.verifier import Expected, Verifier


class ClientTls:
    """The TLS of one transport socket. Made when configuration is applied; raises `TlsConfigError`."""

    def __init__(self, config: UpstreamTls, stats: TlsStats) -> None:
        self._config = config
        self._stats = stats
        self.context = ClientContext(config, stats)

    def renew(self, config: UpstreamTls) -> Callable[[], None]:
        """Get ready for a `config` with other certificates, or another trust; what is returned puts it into effect.
        Handshakes that have begun go on as they were.
        """
        context = ClientContext(config, self._stats)

        def commit() -> None:
            self._config, self.context = config, context

        return commit

    def towards(
        self, hostname: str, server_name: str | None = None, sans: Sequence[str] = (), applications: Sequence[str] = ()
    ) -> Peer:
        """How to speak to the host `hostname`. `server_name` (None: the configuration's) and `sans` are what a request
        asks for besides, `applications` the protocols to offer where the configuration names none.
        """
        config = self._config
        if server_name is None:
            server_name = hostname if config.auto_host_sni and hostname else config.sni
        expected = Expected(tuple(sans), server_name if config.auto_sni_san_validation else "")
        return Peer(self, server_name, expected, () if config.alpn else applications)


class ClientContext:
    """What it speaks until its secrets change. Without a validation context every host is taken at its word, as in
    Envoy.

    `max_session_keys` sessions are kept to be resumed. One that began under a name is resumed under no other (RFC 6066
    section 3).
    """

    def __init__(self, config: UpstreamTls, stats: TlsStats) -> None:
        self.stats = stats
        self.verifier: Verifier | None = None
        self._context = new_context(server=False, parameters=config.parameters, alpn=config.alpn)
        for certificate in config.certificates:
            load_certificate(self._context, certificate)
        validation = config.validation
        if validation is not None and validation.asks:
            self.verifier = Verifier(validation, stats)
            load_trust(self._context, validation, server=False)
            self._callback = libssl.set_verification(self._context, libssl.VERIFY_PEER, self.verifier)
        self._sockets: weakref.WeakValueDictionary[int, TlsSocket] = weakref.WeakValueDictionary()
        self._sessions: deque[tuple[str, libssl.Session]] = deque(maxlen=config.max_session_keys)
        if config.max_session_keys and not (validation is not None and validation.crl):
            self._collector = libssl.collect_sessions(self._context, self._keep_session)

    def wrap(self, sock: socket.socket, server_name: str) -> TlsSocket:
        """TLS over a connected, non-blocking `sock`, which is taken over; its handshake has not begun. Raises
        `ValueError` for a name that cannot be sent, `ConnectionResetError` if the host has gone.
        """
        wrapped = cast(TlsSocket, self._context.wrap_socket(sock, do_handshake_on_connect=False))
        try:
            if wrapped.engine is None:  # of which `libssl` must not be asked anything
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            if server_name:
                libssl.ask_for(wrapped.engine, server_name)
        except BaseException:
            wrapped.close()
            raise
        wrapped.server_name, wrapped.owner = server_name, self
        self._sockets[libssl.identity(wrapped.engine)] = wrapped
        session = wrapped.resuming = self._take_session(server_name)
        if session is not None:
            session.resume(wrapped.engine)
        return wrapped

    def begin_step(self, expected: Expected) -> None:
        """A step of the handshake comes with a host of which this is `expected`."""
        if self.verifier is not None:
            self.verifier.begin(expected)

    def complete(self, sock: TlsSocket, expected: Expected) -> None:
        """The handshake is complete: count it. Raises `ssl.SSLError` if what a resumed session remembers will not do
        any more, or if the host has signed with a key that is not for that.
        """
        verifier = self.verifier
        session = TlsSession(sock, validated=verifier is not None)
        if session.peer is not None and session.signed and not session.peer.may_sign:
            error = ssl.SSLError(ssl.SSL_ERROR_SSL, "the certificate's key is not for signatures")
            error.reason = (
                "KEY_USAGE_BIT_INCORRECT"  # BoringSSL's word, which looks at RSA's keys too (RFC 5280 4.2.1.3)
            )
            raise error
        if session.resumed:
            peer = session.peer
            if verifier is not None and (peer is None or not verifier.judge_resumed(peer.der, expected)):
                raise ssl.SSLError(ssl.SSL_ERROR_SSL, verifier.reason)
            self.stats.session_reused.inc()
        count(session, self.stats)
        sock.agreed = session
        sock.on_error = lambda _: self.stats.connection_error.inc()

    def _take_session(self, server_name: str) -> libssl.Session | None:
        """The newest one that a server of this name has given."""
        for at, (name, session) in enumerate(self._sessions):
            if name == server_name:
                if session.once:
                    del self._sessions[at]
                return session
        return None

    def _keep_session(self, identity: int, session: libssl.Session) -> None:
        """A host may send what can be resumed at any time: within the handshake, or before what it says (TLS 1.3)."""
        sock = self._sockets.get(identity)
        if sock is not None:
            session.signature_algorithm = TlsSession(sock, validated=False).peer_signature_algorithm
            self._sessions.appendleft((sock.server_name, session))

    def failure(self, error: OSError, sock: TlsSocket) -> str:
        """Envoy's words for a failed handshake, "" if the host has just closed; counts it."""
        reason = self.verifier.reason if self.verifier is not None else ""
        if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return ""
        if not isinstance(error, ssl.SSLError):
            return refusal.system_words(error)
        if reason:
            return refusal.words("CERTIFICATE_VERIFY_FAILED", reason)
        self.stats.connection_error.inc()
        if error.reason == refusal.NOTHING_IN_COMMON and sock.cipher() is None:
            return refusal.words(f"{error.reason}|SSL routines:OPENSSL_internal:HANDSHAKE_FAILURE_ON_CLIENT_HELLO")
        return refusal.words(error.reason or "UNKNOWN")


class Peer:
    """A host to speak to, by the name that it is asked for, and what its certificate has to be."""

    __slots__ = ("_applications", "_expected", "_server_name", "_tls")

    def __init__(self, tls: ClientTls, server_name: str, expected: Expected, applications: Sequence[str]) -> None:
        self._tls = tls
        self._server_name = server_name
        self._expected = expected
        self._applications = applications

    def offering(self, applications: Sequence[str]) -> Peer:
        """The same, to whom these protocols are offered whatever the configuration names."""
        return Peer(self._tls, self._server_name, self._expected, applications)

    def begin(self, sock: socket.socket) -> Handshake:
        """As `ClientContext.wrap`."""
        context = self._tls.context
        wrapped = context.wrap(sock, self._server_name)
        if self._applications:
            libssl.offer(wrapped.engine, self._applications)
        return Handshake(context, wrapped, self._expected)


class Handshake:
    """One with a host, by the context that there was when it began."""

    __slots__ = ("_context", "_expected", "sock")

    def __init__(self, context: ClientContext, sock: TlsSocket, expected: Expected) -> None:
        self._context = context
        self._expected = expected
        self.sock = sock

    def step(self) -> None:
        """One step; what it raises is `ssl`'s. Returns once the handshake is complete, and counts it then."""
        self._context.begin_step(self._expected)
        self.sock.do_handshake()
        self._context.complete(self.sock, self._expected)

    def failure(self, error: OSError) -> str:
        """As `ClientContext.failure`; before the socket is closed."""
        return self._context.failure(error, self.sock)
