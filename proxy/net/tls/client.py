"""How a cluster speaks TLS to its hosts (`UpstreamTlsContext`)."""

from __future__ import annotations

import socket
import ssl
from collections import deque
from typing import cast

from proxy.config.tls import UpstreamTls
from proxy.net.tls import libssl
from proxy.net.tls.context import load_certificate, load_trust, new_context
from proxy.net.tls.session import TlsSession, count
from proxy.net.tls.socket import TlsSocket
from proxy.net.tls.stats import TlsStats
from proxy.net.tls.verifier import Verifier


class ClientTls:
    """Made when configuration is applied; raises `TlsConfigError`. Without a validation context every host is taken at
    its word, as in Envoy.

    `max_session_keys` sessions are kept to be resumed, each once: a ticket that is shown twice tells on its owner
    (RFC 8446 section C.4).
    """

    def __init__(self, config: UpstreamTls, stats: TlsStats) -> None:
        self.stats = stats
        self.verifier: Verifier | None = None
        self._server_name = config.sni or None
        self._context = new_context(server=False, parameters=config.parameters, alpn=config.alpn)
        for certificate in config.certificates:
            load_certificate(self._context, certificate)
        validation = config.validation
        if validation is not None and validation.asks:
            self.verifier = Verifier(validation, stats)
            load_trust(self._context, validation, server=False)
            self._callback = libssl.set_verification(self._context, libssl.VERIFY_PEER, self.verifier)
        self._resumes = config.max_session_keys > 0 and not (validation is not None and validation.crl)
        self._sessions: deque[ssl.SSLSession] = deque(maxlen=config.max_session_keys)

    def wrap(self, sock: socket.socket) -> TlsSocket:
        """TLS over a connected, non-blocking `sock`, which is taken over; its handshake has not begun."""
        wrapped = self._context.wrap_socket(
            sock,
            do_handshake_on_connect=False,
            server_hostname=self._server_name,
            session=self._sessions.pop() if self._sessions else None,
        )
        return cast(TlsSocket, wrapped)

    def step(self, sock: TlsSocket) -> None:
        """One step of the handshake; what it raises is `ssl`'s. Returns once it is complete, and counts it then."""
        if self.verifier is not None:
            self.verifier.begin()
        sock.do_handshake()
        session = TlsSession(sock, validated=self.verifier is not None)
        if session.resumed:
            self.stats.session_reused.inc()
            peer = session.peer
            if self.verifier is not None and (peer is None or not self.verifier.judge_resumed(peer.der)):
                raise ssl.SSLError(ssl.SSL_ERROR_SSL, self.verifier.reason)
        count(session, self.stats)
        if self._resumes:
            sock.on_close = self._keep_session

    def _keep_session(self, sock: TlsSocket) -> None:
        """A host may send what can be resumed at any time, so it is taken when the connection ends."""
        session = sock.session
        if session is not None and session.has_ticket:
            self._sessions.append(session)

    def failure(self, error: OSError) -> str:
        """Envoy's words for a failed handshake, without BoringSSL's numbers; counts it."""
        reason = self.verifier.reason if self.verifier is not None else ""
        name = getattr(error, "reason", None) or type(error).__name__
        if isinstance(error, ssl.SSLError) and not reason and not isinstance(error, ssl.SSLEOFError):
            self.stats.connection_error.inc()
        details = f"CERTIFICATE_VERIFY_FAILED:{reason}" if reason else name
        return f"TLS_error:|SSL routines:OPENSSL_internal:{details}:TLS_error_end"
