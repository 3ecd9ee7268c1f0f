"""What was agreed on with the peer of a TLS connection, and who that peer is."""

from __future__ import annotations

import _ssl
import functools

from proxy.net.tls import libssl
from proxy.net.tls.certificate import CertificateFacts
from proxy.net.tls.socket import TlsSocket
from proxy.net.tls.stats import TlsStats


class TlsSession:
    """What is known since the handshake began, also after the socket has been closed. `validated`: the peer's
    certificate was asked for and is good. `began` and `ended` are the event loop's times at which the client's first
    message came and at which both had agreed, 0.0 where not reached; `late`: the time for it was up. `failure` is why
    they have not, in Envoy's words, and `presented` the certificates (DER) that the peer showed then, its own first.
    """

    def __init__(self, sock: TlsSocket, *, validated: bool = False) -> None:
        self._socket = sock
        self._engine = sock.engine
        self.validated = validated
        self.began = self.ended = 0.0
        self.late = False
        self.failure = ""
        self.presented: tuple[bytes, ...] = ()
        self._version = ""

    @property
    def version(self) -> str:
        """TLSv1.2, TLSv1.3, …; "" before the end of the handshake. OpenSSL has forgotten it when an alert has come."""
        self._version = self._version or self._engine.version() or ""
        return self._version

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        cipher = self._engine.cipher()
        return cipher[0] if cipher else ""

    @property
    def group(self) -> str:
        """X25519, P-256, …; "" if no key was exchanged."""
        return libssl.group(self._engine)

    @property
    def signed(self) -> bool:
        """Whether the server has signed its key exchange; not so where RSA itself was that."""
        return self.version == "TLSv1.3" or self.cipher.startswith(("ECDHE-", "DHE-"))

    @property
    def alpn(self) -> str:
        """The application's protocol (h2, http/1.1); "" if none was agreed on."""
        return self._engine.selected_alpn_protocol() or ""

    @property
    def server_name(self) -> str:
        """What the client has asked for, in lower case; "" for nothing."""
        return self._socket.server_name

    @property
    def resumed(self) -> bool:
        return bool(self._engine.session_reused)

    @property
    def id(self) -> bytes:
        """The session's; b"" for one that has none, as in TLS 1.3."""
        return b"" if self.version == "TLSv1.3" else libssl.session_id(self._engine)

    @property
    def bytes_received(self) -> int:
        """As they came, encrypted."""
        return libssl.bytes_received(self._engine)

    @property
    def peer_signature_algorithm(self) -> str:
        """What the peer has signed with; in a resumed session of ours, when that began."""
        begun = self._socket.resuming
        if begun is not None and self.resumed:
            return begun.signature_algorithm
        return libssl.peer_signature_algorithm(self._engine)

    @functools.cached_property
    def peer(self) -> CertificateFacts | None:
        """The peer's certificate; None if it presented none, or one that nobody can read."""
        der = self.presented[0] if self.presented else self._engine.getpeercert(True) if self.version else b""
        try:
            return CertificateFacts(der) if der else None
        except ValueError:  # of a client that was turned away
            return None

    @functools.cached_property
    def issuer(self) -> CertificateFacts | None:
        """The certificate of whoever issued the peer's, as it was verified; None in a resumed session, too."""
        chain = self._engine.get_verified_chain() if self.validated else None
        return CertificateFacts(chain[1].public_bytes(_ssl.ENCODING_DER)) if chain and len(chain) > 1 else None

    @functools.cached_property
    def local(self) -> CertificateFacts | None:
        """The certificate that we presented; None if we did not."""
        der = libssl.own_certificate(self._engine)
        return CertificateFacts(der) if der else None

    @functools.cached_property
    def peer_chain(self) -> tuple[CertificateFacts, ...]:
        """The chain as the peer sent it, its own certificate first; that one alone in a resumed session, and where the
        others cannot be read.
        """
        if self.peer is None:
            return ()
        sent = self.presented or [
            each.public_bytes(_ssl.ENCODING_DER) for each in self._engine.get_unverified_chain() or ()
        ]
        try:
            return tuple(map(CertificateFacts, sent)) or (self.peer,)
        except ValueError:
            return (self.peer,)


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
