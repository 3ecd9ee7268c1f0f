"""Options of HTTP/1 on both sides: the case of names, trailers, targets, upgrades, sizes of responses' heads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Address, Connection
from tests.kit.parity import Pair, run_pair
from tests.parity.wire_origin import WireOrigin

PACKAGE = "type.googleapis.com/envoy.extensions"
FORMATTER = f"{PACKAGE}.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def preserving(**fields: Any) -> Fields:
    formatter = {"name": "preserve_case", "typed_config": {"@type": FORMATTER, **fields}}
    return {"header_key_format": {"stateful_formatter": formatter}}


PROPER: Fields = {"header_key_format": {"proper_case_words": {}}}
BOTH_SIDES: dict[str, Fields] = {
    "lower": {},
    "proper": PROPER,
    "preserve": preserving(),
    "preserve-proper": preserving(formatter_type_on_envoy_headers="PROPER_CASE"),
    "reason": preserving(forward_reason_phrase=True),
    "trailers": {"enable_trailers": True},
    "proper-trailers": {**PROPER, "enable_trailers": True},
    "preserve-trailers": {**preserving(), "enable_trailers": True},
}
ANSWERS = {
    "/plain": (
        b"HTTP/1.1 299 My  Reason\r\nX-FOO: 1\r\nx-foo: 2\r\nx_b--c1D: q\r\nServer:me\r\n"
        b"CONTENT-LENGTH: 2\r\nX-Envoy-UPSTREAM-service-time: 7\r\n\r\nok"
    ),
    "/empty": b"HTTP/1.1 204\r\nETag: x\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\n",
    "/chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-encoding: chunked\r\nTRAILER: X-Sum\r\n\r\n2\r\nok\r\n0\r\n"
        b"X-Sum: 1\r\nx_OTHER: 2\r\nX-SUM: 3\r\n\r\n"
    ),
    "/early": b"HTTP/1.1 103 Early\r\nLINK: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/large": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-large: %b\r\n\r\nok" % (b"x" * 3000),
    "/larger": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-large: %b\r\n\r\nok" % (b"x" * 5000),
}
UPSTREAM: dict[str, Fields] = {**BOTH_SIDES, "absolute": {"send_fully_qualified_url": True}}
DOWNSTREAM: dict[str, Fields] = {
    **BOTH_SIDES,
    "ignoring": {"ignore_http_11_upgrade": [{"exact": "foo"}, {"prefix": "BA", "ignore_case": True}]},
}
LINES = "Host: h\r\nX-FoO-bAr: 1\r\nx-foo-bar: 2\r\nACCEPT: z\r\nx_y-9z.q: 1\r\nX-Request-ID: mine\r\n"
CHUNKED = (
    "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\nX-LAST: 3\r\n\r\n"
)
_VOLATILE = re.compile(
    rb"(?mi)^(date|x-request-id|x-envoy-upstream-service-time|x-envoy-expected-rq-timeout-ms): [^\r]+"
)


def http_options(http1: Fields, **common: Any) -> Fields:
    options = {"@type": f"type.googleapis.com/{HTTP}", "explicit_http_config": {"http_protocol_options": http1}}
    return {HTTP: {**options, "common_http_protocol_options": common}}


@pytest.fixture(scope="module")
def origin() -> Iterator[WireOrigin]:
    with WireOrigin(ANSWERS) as running:
        yield running


@pytest.fixture(scope="module")
def pair(origin: WireOrigin) -> Iterator[Pair]:
    clusters = [
        static_cluster(name, origin.port, typed_extension_protocol_options=http_options(http1))
        for name, http1 in UPSTREAM.items()
    ]
    sized = http_options({}, max_response_headers_kb=4)
    clusters.append(static_cluster("sized", origin.port, typed_extension_protocol_options=sized))
    to_clusters = [route(f"/{cluster['name']}/", cluster["name"]) for cluster in clusters]
    local = {"match": {"prefix": "/local"}, "direct_response": {"status": 201, "body": {"inline_string": "x"}}}
    everything = virtual_host("everything", ["*"], local, *to_clusters)
    upgrades = [{"upgrade_type": "foo"}, {"upgrade_type": "websocket"}]
    listeners = [
        http_listener(
            everything,
            name=name,
            http_protocol_options=http1,
            proxy_100_continue=name.startswith("pre"),
            upgrade_configs=upgrades if name == "ignoring" else [],
        )
        for name, http1 in DOWNSTREAM.items()
    ]
    with run_pair(bootstrap(listeners, clusters)) as running:
        yield running


def talk(address: Address, request: str) -> list[bytes]:
    """What comes for `request`, and for another one like it on the same connection, which a plan serves."""
    got = []
    with Connection(address) as connection:
        for _ in range(2):
            response = connection.request(request.encode("latin-1"))
            heads = b"".join(each.head for each in (*response.informational, response))
            trailers = "".join(f"{name}: {value}\r\n" for name, value in response.trailers).encode()
            got.append(_VOLATILE.sub(rb"\1: *", heads + response.body + b"\r\n" + trailers))
            if "close" in response.values("connection"):
                assert connection.rest() == b""
                break
    return got


def check(
    pair: Pair, origin: WireOrigin, listener: str, request: str, *, forwarded: bool = True
) -> tuple[bytes, bytes]:
    """Both proxies send the same bytes, to the client and to the origin; returns the last of Envoy's."""
    told = []
    for proxy in (pair.envoy, pair.ours):
        responses = talk(proxy.address(listener), request)
        requests = [_VOLATILE.sub(rb"\1: *", origin.next()) for _ in responses] if forwarded else []
        told.append((responses, requests))
    assert told[1] == told[0]
    return told[0][0][-1], told[0][1][-1] if forwarded else b""


@pytest.mark.parity("rule 16", "config.core.v3.Http1ProtocolOptions.header_key_format")
@pytest.mark.parametrize("listener", [name for name in BOTH_SIDES if "trailers" not in name])
@pytest.mark.parametrize("cluster", [name for name in BOTH_SIDES if "trailers" not in name])
def test_case_of_names(pair: Pair, origin: WireOrigin, listener: str, cluster: str) -> None:
    for answer in ("plain", "empty", "early"):
        check(pair, origin, listener, f"GET /{cluster}/{answer} HTTP/1.1\r\n{LINES}\r\n")
    check(pair, origin, listener, f"HEAD /{cluster}/empty HTTP/1.1\r\nhOST: h\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parity("rule 16", "config.core.v3.Http1ProtocolOptions.header_key_format")
@pytest.mark.parametrize("listener", [name for name in BOTH_SIDES if "trailers" not in name])
def test_case_of_our_own_replies(pair: Pair, origin: WireOrigin, listener: str) -> None:
    for path in ("/local", "/none"):
        check(pair, origin, listener, f"GET {path} HTTP/1.1\r\n{LINES}\r\n", forwarded=False)


@pytest.mark.parity("config.core.v3.Http1ProtocolOptions.enable_trailers")
@pytest.mark.parametrize("listener", ["lower", *(name for name in BOTH_SIDES if "trailers" in name)])
@pytest.mark.parametrize("cluster", ["lower", *(name for name in BOTH_SIDES if "trailers" in name)])
def test_trailers(pair: Pair, origin: WireOrigin, listener: str, cluster: str) -> None:
    response, request = check(pair, origin, listener, f"POST /{cluster}/chunked HTTP/1.1\r\nHost: h\r\n{CHUNKED}")
    both = listener != "lower" != cluster
    assert (b"\r\nx-sum: 1\r\n" in response, b"\r\nx-last: 3\r\n" in request) == (both, both)
    empty = CHUNKED.replace("3\r\nabc\r\n", "")
    check(pair, origin, listener, f"POST /{cluster}/plain HTTP/1.1\r\nHost: h\r\n{empty}")


@pytest.mark.parity("config.core.v3.Http1ProtocolOptions.send_fully_qualified_url")
@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("GET /absolute/x/plain HTTP/1.1", "Host: h:81\r\n"),
        ("GET /absolute/plain HTTP/1.1", "Host: h\r\nX-Forwarded-Proto: https\r\n"),
        ("GET /absolute/plain HTTP/1.1", "Host: h\r\nX-Forwarded-Proto: ftp\r\n"),
        ("GET http://other/absolute/plain HTTP/1.1", "Host: h\r\n"),
    ],
)
def test_whole_targets(pair: Pair, origin: WireOrigin, line: str, lines: str) -> None:
    _, request = check(pair, origin, "lower", f"{line}\r\n{lines}\r\n")
    assert request.startswith((b"GET http://", b"GET https://"))


@pytest.mark.parity("config.core.v3.Http1ProtocolOptions.ignore_http_11_upgrade")
@pytest.mark.parametrize("upgrade", ["foo", "bar", "foo, BAZ", "foo,foo", "Foo", "foo, zz"])
def test_upgrades_that_are_passed_over(pair: Pair, origin: WireOrigin, upgrade: str) -> None:
    connection = "upgrade" if upgrade == "Foo" else "keep-alive, Upgrade"
    lines = f"Host: h\r\nConnection: {connection}\r\nUpgrade: {upgrade}\r\n"
    if upgrade == "foo, zz":
        check(pair, origin, "ignoring", f"GET /lower/plain HTTP/1.1\r\n{lines}\r\n", forwarded=False)
        return
    _, request = check(pair, origin, "ignoring", f"GET /lower/plain HTTP/1.1\r\n{lines}\r\n")
    assert (b"\r\nupgrade:" in request) == (upgrade == "Foo")


@pytest.mark.parity("rule 15", "config.core.v3.HttpProtocolOptions.max_response_headers_kb")
def test_heads_of_responses_within_and_beyond_the_limit(pair: Pair, origin: WireOrigin) -> None:
    check(pair, origin, "lower", "GET /sized/large HTTP/1.1\r\nHost: h\r\n\r\n")
    response, _ = check(pair, origin, "lower", "GET /sized/larger HTTP/1.1\r\nHost: h\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 502 ")
    check(pair, origin, "lower", "GET /lower/larger HTTP/1.1\r\nHost: h\r\n\r\n")
