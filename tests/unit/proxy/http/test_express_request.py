"""Which heads the express lane plans for: those of clients as they are, and none that the general path must judge."""

from __future__ import annotations

import pytest

from proxy.config.common import SocketAddress
from proxy.config.identity import Identity
from proxy.config.target import TargetRules
from proxy.http import express_request
from proxy.http.identity import Identities
from proxy.http.target import Target

OPTIONS = {
    "max_headers_bytes": 60 * 1024,
    "max_headers_count": 100,
    "accept_http_10": False,
    "default_host_for_http_10": b"",
    "allow_absolute_url": True,
    "allow_custom_methods": False,
    "header_case": None,
}


def planned(*lines: bytes) -> bool:
    identities = Identities(Identity(), "10.0.0.1")
    hop = identities.hop(SocketAddress("192.0.2.1", 1), SocketAddress("192.0.2.2", 80), b"http")
    arrival = express_request.split(b"\r\n".join((b"GET / HTTP/1.1", b"host: a", *lines, b"", b"")))
    assert arrival is not None
    understood = arrival.understand(arrival.fields, OPTIONS, b"http")
    if understood is None:
        return False
    return express_request.plan(understood, hop, identities, Target(TargetRules()), 0) is not None


@pytest.mark.parametrize(
    "line",
    [
        b"Upgrade-Insecure-Requests: 1",  # every browser says it
        b"Upgrade-Insecure-Requests:1",
        b"Expect-CT: max-age=1",
        b"Transfer-Encoding-Hint: x",
        b"X-Upgrade: no",
    ],
)
def test_names_that_only_begin_like_those_that_matter(line: bytes) -> None:
    assert planned(line)


@pytest.mark.parametrize(
    "line",
    [
        b"Upgrade: websocket",
        b"upgrade:h2c",
        b"Expect: 100-continue",
        b"HTTP2-Settings: AAMAAABkAAQAAP__",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding : chunked",
        b"Transfer-Encoding\t: chunked",
    ],
)
def test_what_the_general_path_has_to_see(line: bytes) -> None:
    assert not planned(line)
