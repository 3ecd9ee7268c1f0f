"""`x-forwarded-client-cert`: what an upstream is told of the client's certificate (Envoy: headers.rst, of that name).

Pure: facts of a connection in, a list's element out. Which of the header's elements go on is `identity`'s to decide.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterable, Iterator

from proxy.config.identity import ClientCertDetail
from proxy.net.certificates import Certificates, PeerCertificate

_ESCAPED = {"\n": "%0A", " ": "%20", "+": "%2B", "/": "%2F", "=": "%3D"}
_TO_ESCAPE = re.compile("[\n +/=]")


def element(certificates: Certificates | None, details: tuple[ClientCertDetail, ...]) -> bytes | None:
    """What we say of the client: whom it spoke to, the hash of its certificate, and those `details`, which stand in
    Envoy's order. None for a client that presented no certificate.
    """
    if certificates is None or certificates.peer is None:
        return None
    return ";".join(_pairs(certificates.own_uri_sans, certificates.peer, details)).encode()


def _pairs(own: tuple[str, ...], peer: PeerCertificate, details: tuple[ClientCertDetail, ...]) -> Iterator[str]:
    for uri in own:
        yield f"By={uri}"
    yield f"Hash={hashlib.sha256(peer.chain[0]).hexdigest()}"
    for detail in details:
        match detail:
            case "cert":
                yield f'Cert="{_pem(peer.chain[:1])}"'
            case "chain":
                yield f'Chain="{_pem(peer.chain)}"'
            case "subject":
                yield f'Subject="{peer.subject}"'
            case "uri":
                yield from (f"URI={uri}" for uri in peer.uri_sans or ("",))
            case "dns":
                yield from (f"DNS={name}" for name in peer.dns_sans)


def _pem(chain: Iterable[bytes]) -> str:
    text = "".join(map(ssl.DER_cert_to_PEM_cert, chain))
    return _TO_ESCAPE.sub(lambda found: _ESCAPED[found[0]], text)
