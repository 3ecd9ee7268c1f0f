"""What an upstream is told of the client's certificate. The element itself is held against the real Envoy's in
`tests/parity/test_client_cert.py`; here is which of the header's elements go on.
"""

from __future__ import annotations

import pytest

from proxy.config.common import SocketAddress
from proxy.config.identity import ClientCert, Identity
from proxy.http.client_cert import element
from proxy.http.headers import Headers
from proxy.http.identity import CLIENT_CERT, Identities
from proxy.net.tls.certificate import CertificateFacts
from tests.kit.certificates import Authority

AUTHORITY = Authority()
OWN = CertificateFacts(AUTHORITY.issue("spiffe://us").der)


class Session:
    """What a hop asks of a `TlsSession`."""

    def __init__(self, *sans: str, certified: bool = True) -> None:
        self.peer_chain: tuple[CertificateFacts, ...] = (
            (CertificateFacts(AUTHORITY.issue(*sans, name="a").der),) if certified else ()
        )
        self.peer = next(iter(self.peer_chain), None)
        self.local = OWN


REMOTE = SocketAddress("192.0.2.9", 1)


def test_details_that_there_are_none_of() -> None:
    assert element(Session().peer_chain, OWN, ("uri", "dns")).endswith(b";URI=")


def test_names_end_no_line() -> None:
    said = element(Session("spiffe://x/\r\ny: z").peer_chain, None, ("uri",))
    assert said.endswith(b";URI=spiffe://x/%0D%0Ay: z")


def test_names_begin_no_pair_and_no_element() -> None:
    said = element(Session('spiffe://x;Subject="root",By=y?a=b').peer_chain, None, ("uri",))
    assert said.endswith(b";URI=spiffe://x%3BSubject=%22root%22%2CBy=y?a=b")


@pytest.mark.parametrize(
    ("mode", "certified", "expected"),
    [
        ("SANITIZE", False, []),
        ("SANITIZE", True, []),
        ("FORWARD_ONLY", False, []),
        ("FORWARD_ONLY", True, [b"By=x", b"By=y"]),
        ("APPEND_FORWARD", False, []),
        ("APPEND_FORWARD", True, [b"By=x,By=y,OURS"]),
        ("SANITIZE_SET", False, []),
        ("SANITIZE_SET", True, [b"OURS"]),
        ("ALWAYS_FORWARD_ONLY", False, [b"By=x", b"By=y"]),
        ("ALWAYS_FORWARD_ONLY", True, [b"By=x", b"By=y"]),
    ],
)
@pytest.mark.parametrize("internal", [False, True])
def test_modes(mode: str, certified: bool, expected: list[bytes], internal: bool) -> None:
    config = Identity(client_cert=ClientCert(mode, ("uri",)), generate_request_id=False)  # type: ignore[arg-type]
    rules = Identities(config, "198.51.100.1")
    session = Session("spiffe://a", certified=certified)
    hop = rules.hop(REMOTE, SocketAddress("192.0.2.1", 2), b"https", session)  # type: ignore[arg-type]
    headers = Headers([(CLIENT_CERT, b"By=x"), (CLIENT_CERT, b"By=y")])
    rules.admit(headers, hop)
    ours = hop.client_cert or b""
    assert [value.replace(ours, b"OURS") if ours else value for value in headers.get_all(CLIENT_CERT)] == expected
    assert not ours or ours.endswith(b";URI=spiffe://a")
