"""Compiled TLS contexts (`extensions.transport_sockets.tls.v3`). Data only.

Certificates and keys are here as bytes: they are read once, by whoever compiles, so that every worker has the same
pair whenever it starts. Nothing here prints a key.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import StringMatcher

Version = Literal["", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"]
StaplePolicy = Literal["LENIENT_STAPLING", "STRICT_STAPLING", "MUST_STAPLE"]
SanType = Literal["EMAIL", "DNS", "URI", "IP_ADDRESS"]


class Certificate(msgspec.Struct, frozen=True, gc=False, tag="certificate"):
    """`TlsCertificate`: a PEM chain, leaf first, and the leaf's PEM key. `path` is the chain's file, or "<inline>";
    `name` that of the secret it comes from, or "". `ocsp` is an OCSP response (DER) that goes with it, b"" for none.
    """

    chain: bytes
    key: bytes
    password: bytes = b""
    path: str = "<inline>"
    name: str = ""
    ocsp: bytes = b""

    def __repr__(self) -> str:
        return f"Certificate(path={self.path!r})"


class SanMatcher(msgspec.Struct, frozen=True, gc=False):
    """`SubjectAltNameMatcher`: a name of this type that matches."""

    kind: SanType
    matcher: StringMatcher


class Validation(msgspec.Struct, frozen=True, tag="validation"):
    """`CertificateValidationContext`. `trusted_ca` and `crl` are PEM; `spki` and `hashes` SHA-256 digests. `path` is
    where `trusted_ca` came from, `name` that of the secret it comes from, or "".
    """

    trusted_ca: bytes = b""
    path: str = "<inline>"
    name: str = ""
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
    def without_trust(self) -> tuple[str, ...]:
        """The fields that are set and mean nothing, as there is no `trusted_ca`."""
        if self.trusted_ca:
            return ()
        asked = {
            "crl": self.crl,
            "match_typed_subject_alt_names": self.sans,
            "allow_expired_certificate": self.allow_expired_certificate,
        }
        return tuple(filter(asked.get, asked))

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


class TicketKeys(msgspec.Struct, frozen=True, gc=False, tag="ticket_keys"):
    """`TlsSessionTicketKeys`: 80 bytes each. The first one encrypts, all decrypt."""

    keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"TicketKeys({len(self.keys)} keys)"


class SecretKeys(msgspec.Struct, frozen=True):
    """What of a TLS context comes from files of secrets, by `Secret.key`; "" for what does not. `certificates` has one
    for each of the context's. `default` is what the secret of a `combined_validation_context` adds to.
    """

    certificates: tuple[str, ...] = ()
    validation: str = ""
    default: Validation | None = None
    ticket_keys: str = ""


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
    secrets: SecretKeys = SecretKeys()


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
    staple_policy: StaplePolicy = "LENIENT_STAPLING"
    secrets: SecretKeys = SecretKeys()


class Secret(msgspec.Struct, frozen=True):
    """A `Secret` that `path`, a file with a `DiscoveryResponse`, gave: as it was last read and accepted.

    `files` are the SHA-256 of all files that it was read from, `path` among them; `watched` the directories in which a
    change may mean another secret. `watched_directory` is that of the `PathConfigSource`. `updated` is `time.time()`.
    `version` is the `version_info` of the file, `source` the `Secret` as JSON, with what was in other files and without
    its keys.
    """

    name: str
    path: str
    value: Certificate | Validation | TicketKeys
    watched_directory: str = ""
    watched: tuple[str, ...] = ()
    files: dict[str, bytes] = {}
    version: str = ""
    source: str = "{}"
    updated: float = 0.0

    @property
    def key(self) -> str:
        return secret_key(self.name, self.path, self.watched_directory)


def secret_key(name: str, path: str, watched_directory: str) -> str:
    """What identifies a secret: its name, and where it comes from."""
    return "\0".join((name, path, watched_directory))
