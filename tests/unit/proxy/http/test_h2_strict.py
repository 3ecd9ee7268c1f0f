"""What is a message and what is none (RFC 9113 section 8; the attack list's rows 21 to 27 and 34)."""

from __future__ import annotations

import pytest

from proxy.http.h2_strict import Limits, Malformed, Overflow, request_head, response_head, trailers

LIMITS = Limits(60 * 1024, 100)
GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a.example"), (b":path", b"/")]
CONNECT = [(b":method", b"CONNECT"), (b":authority", b"a.example:80")]
WEBSOCKET = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]


def changed(name: bytes, value: bytes | None) -> list[tuple[bytes, bytes]]:
    kept = [pair for pair in GET if pair[0] != name]
    return kept if value is None else [(name, value), *kept]


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(changed(b":method", None), id="no method"),
        pytest.param(changed(b":method", b"G T"), id="space in method"),
        pytest.param(changed(b":method", b"GET / HTTP/1.1\r\nx: y"), id="request line in method"),
        pytest.param(changed(b":scheme", None), id="no scheme"),
        pytest.param(changed(b":scheme", b"ftp"), id="scheme that is not HTTP's"),
        pytest.param(changed(b":scheme", b"http://evil/"), id="URL in scheme"),
        pytest.param(changed(b":path", None), id="no path"),
        pytest.param(changed(b":path", b""), id="empty path"),
        pytest.param(changed(b":path", b"/a b"), id="space in path"),
        pytest.param(changed(b":path", b"/a\r\nx: y"), id="line end in path"),
        pytest.param(changed(b":path", b"/\x00"), id="NUL in path"),
        pytest.param(changed(b":path", b"/\xc3\xa4"), id="raw octets in path"),
        pytest.param(changed(b":path", b"a"), id="relative path"),
        pytest.param(changed(b":path", b"http://other/"), id="URL in path"),
        pytest.param(changed(b":path", b"*"), id="asterisk without OPTIONS"),
        pytest.param(changed(b":authority", None), id="no host at all"),
        pytest.param(changed(b":authority", b""), id="empty authority"),
        pytest.param(changed(b":authority", b"user@a.example"), id="userinfo"),
        pytest.param(changed(b":authority", b"a.example/x"), id="path in authority"),
        pytest.param(changed(b":authority", b"a.example\n"), id="line end in authority"),
        pytest.param([*GET, (b"host", b"b.example")], id="another host"),
        pytest.param([*changed(b":authority", None), (b"host", b"a"), (b"host", b"b")], id="two hosts"),
        pytest.param([*GET, (b":path", b"/b")], id="path twice"),
        pytest.param([*GET, (b":status", b"200")], id="a response's field"),
        pytest.param([*GET, (b":unknown", b"1")], id="unknown pseudo header"),
        pytest.param([GET[0], (b"x", b"y"), *GET[1:]], id="pseudo header behind a header"),
        pytest.param([*GET, (b"X", b"y")], id="upper case"),
        pytest.param([*GET, (b"", b"y")], id="empty name"),
        pytest.param([*GET, (b"x y", b"z")], id="space in name"),
        pytest.param([*GET, (b"x:y", b"z")], id="colon in name"),
        pytest.param([*GET, (b"x", b"a\r\nb: c")], id="line end in value"),
        pytest.param([*GET, (b"x", b"a\x00")], id="NUL in value"),
        pytest.param([*GET, (b"x", b"\x01")], id="control character"),
        pytest.param([*GET, (b"x", b" a")], id="leading space"),
        pytest.param([*GET, (b"x", b"a\t")], id="trailing tab"),
        pytest.param([*GET, (b"connection", b"close")], id="connection"),
        pytest.param([*GET, (b"transfer-encoding", b"chunked")], id="transfer-encoding"),
        pytest.param([*GET, (b"upgrade", b"websocket")], id="upgrade"),
        pytest.param([*GET, (b"keep-alive", b"1")], id="keep-alive"),
        pytest.param([*GET, (b"proxy-connection", b"close")], id="proxy-connection"),
        pytest.param([*GET, (b"te", b"gzip")], id="te"),
        pytest.param([*GET, (b"content-length", b"+1")], id="signed length"),
        pytest.param([*GET, (b"content-length", b"1"), (b"content-length", b"1")], id="two lengths"),
        pytest.param(CONNECT[:1], id="CONNECT to nobody"),
        pytest.param([*CONNECT, (b":path", b"/")], id="CONNECT with a path"),
        pytest.param([CONNECT[0], (b":authority", b"a.example")], id="CONNECT without a port"),
        pytest.param(WEBSOCKET, id="extended CONNECT that was not offered"),
    ],
)
def test_refused(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Malformed):
        request_head(pairs, LIMITS, extended_connect=False)


def test_accepted() -> None:
    fields = [(b"te", b"trailers"), (b"content-length", b"5"), (b"x", b"a b\t\xff")]
    head = request_head([*GET, *fields], LIMITS, extended_connect=False)
    assert (head.method, head.scheme, head.authority, head.path) == (b"GET", b"http", b"a.example", b"/")
    assert (head.protocol, head.items, head.content_length) == (b"", fields, 5)
    assert request_head([(b":method", b"OPTIONS"), *GET[1:3], (b":path", b"*")], LIMITS, extended_connect=False)
    assert request_head(CONNECT, LIMITS, extended_connect=False).authority == b"a.example:80"


def test_host_stands_in_for_authority_and_may_repeat_it() -> None:
    head = request_head([*changed(b":authority", None), (b"host", b"b")], LIMITS, extended_connect=False)
    assert (head.authority, head.items) == (b"b", [])
    same = request_head([*GET, (b"host", b"a.example")], LIMITS, extended_connect=False)
    assert (same.authority, same.items) == (b"a.example", [])


def test_crumbs_of_cookies_are_one_line() -> None:
    crumbs = [(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")]
    head = request_head([*GET, *crumbs], LIMITS, extended_connect=False)
    assert head.items == [(b"x", b"y"), (b"cookie", b"a=1; b=2")]


def test_an_extended_connect_that_was_offered() -> None:
    assert request_head(WEBSOCKET, LIMITS, extended_connect=True).protocol == b"websocket"
    with pytest.raises(Malformed):  # RFC 8441 4: it is for CONNECT alone
        request_head([*GET, (b":protocol", b"websocket")], LIMITS, extended_connect=True)


def test_too_many_and_too_large() -> None:
    fields = [(b"x", b"y")] * 96
    request_head([*GET, *fields], LIMITS, extended_connect=False)
    with pytest.raises(Overflow, match="too_many_headers"):
        request_head([*GET, *fields, (b"x", b"y")], LIMITS, extended_connect=False)
    with pytest.raises(Overflow, match="header_list_size_too_large"):
        request_head([*GET, (b"x", b"y" * 60 * 1024)], LIMITS, extended_connect=False)


def test_responses() -> None:
    head = response_head([(b":status", b"200"), (b"x", b"y")], LIMITS)
    assert (head.status, head.items, head.content_length) == (200, [(b"x", b"y")], -1)
    for pairs in ([], [(b":status", b"20")], [(b":status", b"200"), (b":path", b"/")], [(b"x", b"y")]):
        with pytest.raises(Malformed):
            response_head(pairs, LIMITS)


def test_trailers() -> None:
    assert trailers([(b"grpc-status", b"0"), (b"content-length", b"1")], LIMITS) == [(b"grpc-status", b"0")]
    with pytest.raises(Malformed):
        trailers([(b":path", b"/")], LIMITS)
