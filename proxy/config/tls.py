"""Compiled TLS contexts (`extensions.transport_sockets.tls.v3`). Data only.

Certificates and keys are here as bytes: they are read once, by whoever compiles, so that every worker has the same
pair whenever it starts. Nothing here prints a key.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import StringMatcher

Version = Literal["", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"]
SanType = Literal["EMAIL", "DNS", "URI", "IP_ADDRESS"]


class Certificate(msgspec.Struct, frozen=True, gc=False):
    """`TlsCertificate`: a PEM chain, leaf first, and the leaf's PEM key. `path` is the chain's file, or "<inline>"."""

    chain: bytes
    key: bytes
    password: bytes = b""
    path: str = "<inline>"

    def __repr__(self) -> str:
        return f"Certificate(path={self.path!r})"


class SanMatcher(msgspec.Struct, frozen=True, gc=False):
    """`SubjectAltNameMatcher`: a name of this type that matches."""

    kind: SanType
    matcher: StringMatcher


class Validation(msgspec.Struct, frozen=True):
    """`CertificateValidationContext`. `trusted_ca` and `crl` are PEM; `spki` and `hashes` SHA-256 digests. `path` is
    where `trusted_ca` came from.
    """

    trusted_ca: bytes = b""
    path: str = "<inline>"
    sans: tuple[SanMatcher, ...] = ()
    spki: tuple[bytes, ...] = ()
    hashes: tuple[bytes, ...] = ()
    crl: bytes = b""
    only_verify_leaf_cert_crl: bool = False
    allow_expired_certificate: bool = False
    accept_untrusted: bool = False
    max_verify_depth: int | None = None

    @property
    def asks(self) -> bool:
        """Whether a server asks its clients for a certificate."""
        return bool(self.trusted_ca or self.sans or self.spki or self.hashes or self.accept_untrusted)

    @property
    def demands(self) -> bool:
        """Whether a client without a certificate is turned away whatever `require_client_certificate` says: nobody has
        the right name or key without one.
        """
        return bool(self.sans or self.spki or self.hashes) and not self.accept_untrusted


class TlsParameters(msgspec.Struct, frozen=True, gc=False):
    """`TlsParameters`; "" is the default of whoever speaks. Lists are joined with `:`, as OpenSSL takes them."""

    minimum: Version = ""
    maximum: Version = ""
    ciphers: str = ""
    curves: str = ""
    signature_algorithms: str = ""


class TicketKeys(msgspec.Struct, frozen=True, gc=False):
    """`TlsSessionTicketKeys`: 80 bytes each. The first one encrypts, all decrypt."""

    keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"TicketKeys({len(self.keys)} keys)"


class UpstreamTls(msgspec.Struct, frozen=True):
    """`UpstreamTlsContext`. `certificates` has one at most; `sni` is "" for none. `auto_host_sni`: a host's own name
    goes before it; `auto_sni_san_validation`: a certificate must be for the name that was sent, whatever
    `validation.sans` says.
    """

    certificates: tuple[Certificate, ...] = ()
    validation: Validation | None = None
    parameters: TlsParameters = TlsParameters()
    alpn: tuple[str, ...] = ()
    sni: str = ""
    max_session_keys: int = 1
    auto_host_sni: bool = False
    auto_sni_san_validation: bool = False


class DownstreamTls(msgspec.Struct, frozen=True):
    """`DownstreamTlsContext`. `ticket_keys` None: keys that the workers of a generation share. `session_timeout` in
    seconds, None for the library's.
    """

    certificates: tuple[Certificate, ...]
    validation: Validation | None = None
    parameters: TlsParameters = TlsParameters()
    alpn: tuple[str, ...] = ()
    require_client_certificate: bool = False
    ticket_keys: TicketKeys | None = None
    tickets: bool = True
    session_ids: bool = True
    session_timeout: int | None = None
    prefer_client_ciphers: bool = False
    full_scan: bool = False
