"""What the two certificates of a TLS connection say: facts, read once per connection by whoever made the handshake."""

from __future__ import annotations

import msgspec


class PeerCertificate(msgspec.Struct, frozen=True):
    """The certificate that the peer presented.

    `chain` holds it and those that came with it, as DER, the peer's own first. `subject` is its distinguished name as
    RFC 2253 writes it (`CN=a,O=b`), "" if it has none. `uri_sans` and `dns_sans` are its subject alternative names of
    these kinds, in their order.
    """

    chain: tuple[bytes, ...]
    subject: str = ""
    uri_sans: tuple[str, ...] = ()
    dns_sans: tuple[str, ...] = ()


class Certificates(msgspec.Struct, frozen=True):
    """Of one connection over TLS; a plaintext one has none of this (None). `peer` is None where the peer presented no
    certificate. `own_uri_sans` are the URI names of the certificate that we presented.
    """

    peer: PeerCertificate | None = None
    own_uri_sans: tuple[str, ...] = ()
