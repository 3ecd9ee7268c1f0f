"""What was agreed on with the peer of a TLS connection, and who that peer is."""

from __future__ import annotations

import functools

from proxy.net.tls import libssl
from proxy.net.tls.certificate import CertificateFacts
from proxy.net.tls.socket import TlsSocket
from proxy.net.tls.stats import TlsStats


class TlsSession:
    """`validated`: the peer's certificate was asked for and is good."""

    def __init__(self, sock: TlsSocket, *, validated: bool) -> None:
        self._socket = sock
        self.validated = validated

    @property
    def version(self) -> str:
        """TLSv1.2, TLSv1.3, …"""
        return self._socket.version() or ""

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        cipher = self._socket.cipher()
        return cipher[0] if cipher else ""

    @property
    def group(self) -> str:
        """X25519, P-256, …; "" if no key was exchanged."""
        return libssl.group(self._socket.engine)

    @property
    def alpn(self) -> str:
        """The application's protocol (h2, http/1.1); "" if none was agreed on."""
        return self._socket.selected_alpn_protocol() or ""

    @property
    def server_name(self) -> str:
        """What the client has asked for, in lower case; "" for nothing."""
        return self._socket.server_name

    @property
    def resumed(self) -> bool:
        return bool(self._socket.session_reused)

    @property
    def peer_signature_algorithm(self) -> str:
        """What the peer has signed with; in a resumed session of ours, when that began."""
        begun = self._socket.resuming
        if begun is not None and self.resumed:
            return begun.signature_algorithm
        return libssl.peer_signature_algorithm(self._socket.engine)

    @functools.cached_property
    def peer(self) -> CertificateFacts | None:
        """The peer's certificate; None if it presented none."""
        der = self._socket.getpeercert(binary_form=True)
        return CertificateFacts(der) if der else None

    @functools.cached_property
    def local(self) -> CertificateFacts | None:
        """The certificate that we presented; None if we did not."""
        der = libssl.own_certificate(self._socket.engine)
        return CertificateFacts(der) if der else None

    @functools.cached_property
    def peer_chain(self) -> tuple[CertificateFacts, ...]:
        """The chain as the peer sent it, its own certificate first; that one alone in a resumed session."""
        if self.peer is None:
            return ()
        return tuple(map(CertificateFacts, self._socket.peer_chain())) or (self.peer,)


def count(session: TlsSession, stats: TlsStats) -> None:
    """A handshake is complete (`ContextImpl::logHandshake`)."""
    stats.handshake.inc()
    stats.named("versions", session.version).inc()
    stats.named("ciphers", session.cipher).inc()
    if group := session.group:
        stats.named("curves", group).inc()
    if algorithm := session.peer_signature_algorithm:
        stats.named("sigalgs", algorithm).inc()
    if session.peer is None:
        stats.no_certificate.inc()
