"""What the origin sees of a request's head and the client of a response's, on the real Envoy and on ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.ledger import REFUSED_HEADS
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair

SEVERAL_1XX = {r"cluster\.origin\..*upstream_rq_(103|1xx|completed)": "Envoy passes on the first of several 1xx"}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    otherwise = {**REFUSED_HEADS, **SEVERAL_1XX, '"http1.(codec_error|invalid_characters)"': "docs/parity.md"}
    with Origin() as origin, run_pair(one_cluster(origin.port), otherwise=otherwise) as running:
        yield running


def head(*lines: str, first: str = "GET / HTTP/1.1") -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *lines, "")).encode("latin-1")


@pytest.mark.parity("rule 14")
@pytest.mark.parametrize(
    "data",
    [
        head("Host: h", first="GET / HTTP/1.0"),
        head(first="GET / HTTP/1.0"),
        head("Host: h", "Connection: keep-alive", first="GET / HTTP/1.0"),
        head(),
        head("Host: h", first="GET / http/1.1"),
        head("Host: h", first="G(T / HTTP/1.1"),
        head("Host: h", first="GET /a b HTTP/1.1"),
        head("Host: h", first="GET * HTTP/1.1"),
        head("Host: h", first="OPTIONS * HTTP/1.1"),
        head("Host: h", first="GET relative HTTP/1.1"),
        b"\r\n" + head("Host: h"),
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_request_line_and_host(pair: Pair, data: bytes) -> None:
    pair.send(data).assert_same()


@pytest.mark.parity("rule 64")
@pytest.mark.parametrize(
    "line",
    [
        *("Bad Name: v", "Name : v", ": v", "no colon", "x: a\x00b", "x: a\x01b", "x: a\x7fb"),
        *("x: \xe9", "\xe9: v", "x:\tv\t", "x:"),
        *("x_y: under", "x.y: dot", "!#$%&'*+-.^_`|~: all"),
    ],
)
def test_field_syntax(pair: Pair, line: str) -> None:
    pair.send(head("Host: h", line)).assert_same()


@pytest.mark.parity("rule 16")
@pytest.mark.parametrize(
    "lines",
    [
        ["X-One: 1", "x-two: 2", "X-ONE: 3"],
        ["Connection: x-named", "X-Named: 1", "x-kept: 2"],
        ["Connection: close, X-Named", "x-named: 1"],
        ["Connection: keep-alive", "Keep-Alive: timeout=5"],
        ["Proxy-Connection: keep-alive"],
        ["TE: trailers"],
        ["TE: gzip, trailers"],
        ["TE: gzip"],
        ["Connection: TE", "TE: trailers"],
        ["Connection: Upgrade", "Upgrade: websocket"],
        ["Upgrade: websocket"],
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
        ["Cookie: a=1", "Cookie: b=2"],
        ["Set-Cookie: a", "Set-Cookie: b, c"],
        ["User-Agent: test", "X-Request-Id: mine", "Date: today", "Server: me"],
        ["Proxy-Authorization: Basic x", "Proxy-Authenticate: x"],
        ["Trailer: x-t"],
    ],
    ids=lambda lines: "; ".join(lines),
)
def test_request_headers(pair: Pair, lines: list[str]) -> None:
    pair.send(head("Host: h", *lines)).assert_same()


@pytest.mark.parity("rule 22", "rule 25", "rule 26")
@pytest.mark.parametrize(
    "line",
    [
        *("x-forwarded-for: 1.2.3.4", "x-forwarded-for: 10.0.0.1", "x-forwarded-for: junk", "x-forwarded-proto: https"),
        *("x-forwarded-proto: ftp", "x-forwarded-host: other", "x-request-id: mine", "x-envoy-original-path: /x"),
        *("x-envoy-external-address: 1.2.3.4", "x-envoy-decorator-operation: o", "x-envoy-attempt-count: 9"),
        *("x-envoy-peer-metadata: x", "x-envoy-downstream-service-cluster: c", "x-envoy-original-host: o"),
        "x-envoy-is-timeout-retry: 1",
    ],
)
def test_claims_of_the_client(pair: Pair, line: str) -> None:
    pair.send(head("Host: h", line)).assert_same()


@pytest.mark.parity("rule 23", "rule 24")
@pytest.mark.parametrize(
    "line",
    [
        *(
            "x-envoy-internal: true",
            "x-envoy-max-retries: 3",
            "x-envoy-retry-on: 5xx",
            "x-envoy-retry-grpc-on: cancelled",
        ),
        *("x-envoy-upstream-rq-timeout-ms: 100", "x-envoy-upstream-rq-per-try-timeout-ms: 5", "x-envoy-force-trace: 1"),
        *("x-envoy-expected-rq-timeout-ms: 7", "x-forwarded-client-cert: Hash=1", "x-envoy-ip-tags: a"),
        *("x-envoy-upstream-alt-stat-name: n", "x-envoy-hedge-on-per-try-timeout: true"),
        *("x-envoy-retriable-status-codes: 418", "x-envoy-retriable-header-names: a"),
        "x-envoy-upstream-rq-timeout-alt-response: 1",
    ],
)
def test_claims_of_internal_clients(pair: Pair, line: str) -> None:
    pair.send(head("Host: h", line)).assert_same()


@pytest.mark.parity("rule 17")
@pytest.mark.parametrize(
    "target",
    [
        *("http://other/path?q=1", "http://other:8080/", "http://other", "HTTP://OTHER/X"),
        *("http:///x", "ftp://other/", "http://other/#frag", "http://"),
    ],
)
def test_absolute_form(pair: Pair, target: str) -> None:
    pair.send(head("Host: h", first=f"GET {target} HTTP/1.1")).assert_same()


@pytest.mark.parity("rule 17")
def test_absolute_form_claims_https(pair: Pair) -> None:
    pair.send(head("Host: h", first="GET https://other/ HTTP/1.1")).assert_same()


@pytest.mark.parity("rule 12", "rule 13")
@pytest.mark.parametrize(
    "target",
    [
        *("/a/../b", "/a/./b", "//a", "/a//b", "/%2e%2e/b", "/a%2Fb", "/a%5Cb", "/a\\b", "/a%00b", "/%zz", "/a?b?c"),
        *("/?", "/a;b=c", "/a#frag", "/a?b#frag", "/\xe9", "/a%20b", "/" + "x" * 4000),
    ],
)
def test_path(pair: Pair, target: str) -> None:
    pair.send(head("Host: h", first=f"GET {target} HTTP/1.1")).assert_same()


@pytest.mark.parity("rule 18")
@pytest.mark.parametrize("target", ["h:443", "h", "/", "http://h/"])
def test_connect(pair: Pair, target: str) -> None:
    pair.send(head("Host: h:443", first=f"CONNECT {target} HTTP/1.1")).assert_same()


@pytest.mark.parity("rule 64")
@pytest.mark.parametrize(
    "method", ["GET", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "BREW", "get", "M-SEARCH"]
)
def test_method(pair: Pair, method: str) -> None:
    pair.send(head("Host: h", first=f"{method} / HTTP/1.1")).assert_same()


@pytest.mark.parity("rule 16", "rule 27")
@pytest.mark.parametrize(
    "script",
    [
        "header=X-A:1&header=x-b:2&header=X-A:3",
        "header=Server:apache&header=x-b:2",
        "header=Date:yesterday&header=x-b:2",
        "header=Connection:x-named&header=X-Named:1",
        "header=Connection:close&body=3",
        "header=Keep-Alive:timeout%3D5&header=Proxy-Connection:keep-alive",
        "header=Upgrade:h2c",
        "header=x-envoy-upstream-service-time:77",
        "header=x-envoy-decorator-operation:o&header=x-envoy-upstream-canary:true&header=x-envoy-overloaded:true",
        "header=x-request-id:theirs&header=via:1.1+other&header=x-envoy-immediate-health-check-fail:1",
        "header=Set-Cookie:a%3D1&header=Set-Cookie:b%3D2",
        "header=x-empty:",
        "header=x-latin:%e9",
        "header=trailer:x-t&chunked=3&trailer=x-t:1",
        "status=201",
        "status=299&reason=Odd",
        "status=404&reason=",
        "status=500",
    ],
)
def test_response_headers(pair: Pair, script: str) -> None:
    pair.send(head("Host: h", f"x-script: {script}")).assert_same()


@pytest.mark.parity("rule 64")
def test_reason_phrases(pair: Pair) -> None:
    statuses = [*range(200, 304), *range(305, 600)]
    requests = b"".join(head("Host: h", f"x-script: status={status}&body=0") for status in statuses)
    answers = pair.send(requests, responses=len(statuses))
    assert [response.status for response in answers.envoy.responses] == statuses
    ours, envoys = ([response.reason for response in answer.responses] for answer in (answers.ours, answers.envoy))
    assert ours == envoys


@pytest.mark.parity("rule 20")
def test_expect_continue(pair: Pair) -> None:
    data = head("Host: h", "Expect: 100-continue", "Content-Length: 3", first="POST / HTTP/1.1")
    pair.send(data, then=b"abc").assert_same()
    pair.send(data + b"abc").assert_same()


@pytest.mark.parity("rule 20")
@pytest.mark.parametrize("value", ["100-Continue", "x", "100-continue, x", ""])
def test_expect_other(pair: Pair, value: str) -> None:
    pair.send(head("Host: h", f"Expect: {value}", "Content-Length: 3", first="POST / HTTP/1.1") + b"abc").assert_same()


@pytest.mark.parity("rule 20")
@pytest.mark.parametrize("script", ["informational=100", "informational=103", "informational=102&informational=103"])
def test_informational(pair: Pair, script: str) -> None:
    pair.send(head("Host: h", f"x-script: {script}")).assert_same()


@pytest.mark.parity("rule 20")
def test_early_response(pair: Pair) -> None:
    data = head("Host: h", "x-script: early=1&status=413&body=5", "Content-Length: 1000", first="POST / HTTP/1.1")
    pair.send(data + b"abc").assert_same()
