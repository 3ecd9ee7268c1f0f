"""`x-forwarded-client-cert`: what an upstream is told of the client's certificate (Envoy: headers.rst, of that name).

Pure: what both certificates say in, a list's element out. Which elements of the header go on is for `identity`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from proxy.config.identity import ClientCertDetail

if TYPE_CHECKING:
    from proxy.net.tls.certificate import CertificateFacts

_ESCAPED = {"\n": "%0A", " ": "%20", "+": "%2B", "/": "%2F", "=": "%3D"}
_TO_ESCAPE = re.compile("[\n +/=]")
_ENDS_A_VALUE = re.compile('[;,"]')
_NEVER_IN_A_HEADER = re.compile(r"[^\x20-\x7e]")


def element(
    chain: Sequence[CertificateFacts], own: CertificateFacts | None, details: tuple[ClientCertDetail, ...]
) -> bytes:
    """What we say of the client: whom it spoke to, the hash of its certificate, and those `details`, which stand in
    Envoy's order. `chain` is the client's, its own certificate first; `own` is the one that we presented.
    """
    said = ";".join(_pairs(chain, own, details))
    return _NEVER_IN_A_HEADER.sub(_percent, said).encode()


def _pairs(
    chain: Sequence[CertificateFacts], own: CertificateFacts | None, details: tuple[ClientCertDetail, ...]
) -> Iterator[str]:
    for uri in own.names("URI") if own is not None else ():
        yield f"By={_name(uri)}"
    peer = chain[0]
    yield f"Hash={peer.sha256.hex()}"
    for detail in details:
        match detail:
            case "cert":
                yield f'Cert="{_pem(chain[:1])}"'
            case "chain":
                yield f'Chain="{_pem(chain)}"'
            case "subject":
                yield f'Subject="{peer.subject}"'
            case "uri":
                yield from (f"URI={_name(uri)}" for uri in peer.names("URI") or ("",))
            case "dns":
                yield from (f"DNS={_name(name)}" for name in peer.names("DNS"))


def _name(name: str) -> str:
    """A certificate's owner must not make a second pair, or a second element, of a name."""
    return _ENDS_A_VALUE.sub(_percent, name)


def _pem(chain: Iterable[CertificateFacts]) -> str:
    text = "".join(facts.pem for facts in chain)
    return _TO_ESCAPE.sub(lambda found: _ESCAPED[found[0]], text)


def _percent(found: re.Match[str]) -> str:
    """A name may hold anything, an end of a line too."""
    return "".join(f"%{byte:02X}" for byte in found[0].encode())
