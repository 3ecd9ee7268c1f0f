"""What a request asks of its connection: the name of its host, as Envoy reads an authority."""

from __future__ import annotations

import pytest

from proxy.config.cluster import RequestNames
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.upstream.transport_options import TransportOptions, of_request


def request(authority: bytes, *headers: tuple[bytes, bytes]) -> Request:
    found = Request()
    found.authority, found.headers = authority, Headers(headers)
    return found


@pytest.mark.parametrize(
    ("authority", "server_name", "san"),
    [
        (b"a.test", "a.test", "a.test"),
        (b"A.Test:443", "a.test", "a.test"),
        (b"a.test:99999", "a.test:99999", "a.test:99999"),
        (b"a.test:", "a.test:", "a.test:"),
        (b"10.0.0.1:80", None, "10.0.0.1"),
        (b"[::1]:80", None, "::1"),
        (b"[::1]", None, "::1"),
        (b"[a.test]", "[a.test]", "[a.test]"),
        (b"", "", ""),
    ],
)
def test_names(authority: bytes, server_name: str | None, san: str) -> None:
    both = RequestNames(sni=True, sans=True)
    assert of_request(both, request(authority)) == TransportOptions(server_name, (san,))
    assert of_request(RequestNames(sni=True), request(authority)) == TransportOptions(server_name)
    assert of_request(RequestNames(sans=True), request(authority)) == TransportOptions(None, (san,))


def test_a_header_goes_before_the_authority_if_it_says_something() -> None:
    names = RequestNames(sni=True, header=b"x-name")
    assert of_request(names, request(b"a.test", (b"x-name", b"b.test:1"))).server_name == "b.test"
    assert of_request(names, request(b"a.test", (b"x-name", b"b"), (b"x-name", b"c"))).server_name == "b,c"
    assert of_request(names, request(b"a.test", (b"x-name", b""))).server_name == "a.test"
    assert of_request(names, request(b"a.test")).server_name == "a.test"
