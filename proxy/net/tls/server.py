"""What a filter chain presents to its clients: its certificates by server name, and who may come in."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Sequence
from typing import cast

import msgspec

from proxy.config.tls import Certificate, DownstreamTls
from proxy.net.tls import libssl
from proxy.net.tls.certificate import CertificateFacts
from proxy.net.tls.context import TlsConfigError, load_certificate, load_trust, new_context
from proxy.net.tls.libssl_ocsp import set_stapling
from proxy.net.tls.libssl_tickets import set_ticket_keys
from proxy.net.tls.ocsp import Staple, Stapler
from proxy.net.tls.socket import TlsSocket
from proxy.net.tls.stats import TlsStats
from proxy.net.tls.tickets import ticket_key
from proxy.net.tls.verifier import Verifier


class ServerTls:
    """Made when configuration is applied; raises `TlsConfigError`. `names` are the filter chain's `server_names`: a
    session begun in one chain is not resumed in another.

    There is one OpenSSL context for each set of certificates that a server name may choose from: a set has one per kind
    of key, and the client's abilities choose between those.
    """

    def __init__(self, config: DownstreamTls, stats: TlsStats, names: Sequence[str] = ()) -> None:
        self.stats = stats
        self.verifier: Verifier | None = None
        self._config = config
        self._callbacks: list[object] = []
        if config.validation is not None and config.validation.asks:
            self.verifier = Verifier(config.validation, stats)
        self._stapler = Stapler(stats)
        certificates = [_Presented(certificate) for certificate in config.certificates]
        for certificate, presented in zip(config.certificates, certificates, strict=True):
            self._stapler.add(presented.facts, Staple(certificate, presented.facts, config.staple_policy))
        self._identity = _identity(config, certificates, names)
        self._contexts: dict[tuple[int, ...], ssl.SSLContext] = {}
        everything = _one_per_kind(certificates, range(len(certificates)))
        self._any = self._context(everything)
        self._default = self._any if config.full_scan else self._context(everything[:1] and (0,))
        self._by_name = {
            name: self._context(
                _one_per_kind(certificates, [i for i, each in enumerate(certificates) if name in each.names])
            )
            for name in sorted({name for each in certificates for name in each.names})
        }
        self._any.sni_callback = self._on_server_name

    def wrap(self, sock: socket.socket) -> TlsSocket:
        """TLS over a non-blocking `sock`, which is taken over; its handshake has not begun. It has no `engine` if the
        client has gone.
        """
        wrapped = cast(TlsSocket, self._any.wrap_socket(sock, server_side=True, do_handshake_on_connect=False))
        wrapped.owner = self
        return wrapped

    def _on_server_name(self, sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if not name:
            return
        assert isinstance(sock, TlsSocket)
        name = sock.server_name = name.lower()
        chosen = self._by_name.get(name) or self._by_name.get(f"*.{name.partition('.')[2]}") or self._default
        if chosen is not self._any:
            sock.context = chosen

    def _context(self, chosen: tuple[int, ...]) -> ssl.SSLContext:
        """The context that presents these of the certificates."""
        if chosen in self._contexts:
            return self._contexts[chosen]
        config = self._config
        context = self._contexts[chosen] = new_context(server=True, parameters=config.parameters, alpn=config.alpn)
        for index in chosen:
            load_certificate(context, config.certificates[index])
        if config.prefer_client_ciphers:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        else:
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        self._set_sessions(context)
        self._callbacks.append(set_stapling(context, self._stapler))
        if config.validation is not None and self.verifier is not None:
            load_trust(context, config.validation, server=True)
            needed = config.require_client_certificate or config.validation.demands
            mode = libssl.VERIFY_PEER | (libssl.VERIFY_FAIL_IF_NO_PEER_CERT if needed else 0)
            self._callbacks.append(libssl.set_verification(context, mode, self.verifier))
        return context

    def _set_sessions(self, context: ssl.SSLContext) -> None:
        config = self._config
        libssl.set_session_context(context, self._identity)
        revocable = config.validation is not None and bool(config.validation.crl)
        if config.tickets and not revocable:  # a resumed session's certificate is not looked up in the list again
            keys = config.ticket_keys.keys if config.ticket_keys is not None else (ticket_key(self._identity),)
            if len(keys) == 1:
                libssl.set_ticket_key(context, keys[0])
            else:
                self._callbacks.append(set_ticket_keys(context, keys))
        else:
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        libssl.keep_sessions(context, keep=config.session_ids and not revocable)
        if config.session_timeout is not None:
            libssl.set_session_timeout(context, config.session_timeout)


class _Presented:
    """A certificate's kind of key, and the names that it is good for: the common name where it has no others."""

    def __init__(self, certificate: Certificate) -> None:
        self.facts = facts = facts_of(certificate)
        self.kind = facts.key_kind
        self.identity = (facts.common_name, facts.sans, facts.issuer)
        self.names = {name.lower() for name in facts.names("DNS") or [facts.common_name] if name}


def facts_of(certificate: Certificate) -> CertificateFacts:
    """Those of the leaf of a chain. Raises `TlsConfigError`."""
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    start, stop = certificate.chain.find(begin), certificate.chain.find(end)
    if start < 0 or stop < start:
        raise TlsConfigError("certificate", "there is no PEM certificate")
    try:
        return CertificateFacts(ssl.PEM_cert_to_DER_cert(certificate.chain[start : stop + len(end)].decode()))
    except ValueError as error:
        raise TlsConfigError("certificate", f"the certificate cannot be read: {error}") from None


def _identity(config: DownstreamTls, certificates: Sequence[_Presented], names: Sequence[str]) -> bytes:
    """What must be the same for a session to be resumed: the names that we answer to, and whom we let in
    (`ServerContextImpl::generateHashForSessionContextId`). Other certificates for the same names will do.
    """
    trust = config.validation and msgspec.structs.replace(config.validation, path="", name="")  # as on other machines
    known = ([each.identity for each in certificates], trust, config.require_client_certificate, names)
    return hashlib.sha256(msgspec.msgpack.encode(known)).digest()


def _one_per_kind(certificates: Sequence[_Presented], indexes: Sequence[int]) -> tuple[int, ...]:
    """The first one of each kind of key."""
    first: dict[str, int] = {}
    for index in indexes:
        first.setdefault(certificates[index].kind, index)
    return tuple(sorted(first.values()))
