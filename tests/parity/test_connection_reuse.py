"""Which connections are used again, on the real Envoy and on ours: after 1xx, early responses, odd ends of messages.

Compared besides all else: whether the client's connection stays, and whether the next request finds the upstream's.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.routing import head
from tests.parity.rules import HCM, of

NEXT = head("/next")
SEVERAL_1XX = {r"cluster\.origin\..*upstream_rq_(1\d\d|1xx|completed)": "Envoy passes on the first of several 1xx"}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    everything = virtual_host("v", ["*"], route("/", "origin"))
    listeners = [
        http_listener(everything, name="plain"),
        http_listener(everything, name="proxied", proxy_100_continue=True),
    ]
    with Origin() as origin:
        text = bootstrap(listeners, [static_cluster("origin", origin.port)])
        with run_pair(text, otherwise=SEVERAL_1XX) as running:
            yield running


def post(target: str, *lines: str, body: bytes = b"") -> bytes:
    return head(target, "h", *lines, method="POST") + body


CHUNKED = "transfer-encoding: chunked"
EXPECT = "expect: 100-continue"
# What is sent, and what after the first part of the answer.
CASES: dict[str, tuple[bytes, bytes]] = {
    "100": (head("/?informational=100"), b""),
    "102": (head("/?informational=102"), b""),
    "103": (head("/?informational=103"), b""),
    "103 and no content": (head("/?informational=103&status=204"), b""),
    "103 and HEAD": (head("/?informational=103", method="HEAD"), b""),
    "103 and no end": (head("/?informational=103&until_close=5"), b""),
    "expected and sent": (post("/", EXPECT, "content-length: 5"), b"12345"),
    "expected and chunked": (post("/", EXPECT, CHUNKED), b"3\r\nabc\r\n0\r\n\r\n"),
    "expected, but sent at once": (post("/", EXPECT, "content-length: 5", body=b"12345"), b""),
    "early, the rest never comes": (post("/?early=1&body=3", "content-length: 50", body=b"abc"), b""),
    "early, chunks never end": (post("/?early=1&body=3", CHUNKED, body=b"3\r\nabc\r\n"), b""),
    "early and refused": (post("/?early=1&status=413&body=3", "content-length: 50", body=b"abc"), b""),
    "early and chunked": (post("/?early=1&chunked=9", "content-length: 50", body=b"abc"), b""),
    "early, without content": (post("/?early=1&status=204", "content-length: 50", body=b"abc"), b""),
    "the upstream says close": (head("/?body=3&header=connection:close"), b""),
    "the client says close": (head("/?body=3", "h", "connection: close"), b""),
    "no content": (head("/?status=204"), b""),
    "not modified": (head("/?status=304"), b""),
    "HEAD": (head("/?body=3", method="HEAD"), b""),
    "no end": (head("/?until_close=5"), b""),
    "trailers": (head("/?chunked=5&trailer=x-a:b"), b""),
}


@pytest.mark.parity("rule 20", "rule 56", *of(HCM, "proxy_100_continue"))
@pytest.mark.parametrize("listener", ["plain", "proxied"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_connections_go_on(pair: Pair, name: str, listener: str) -> None:
    pair.send(NEXT, listener=listener)
    data, then = CASES[name]
    answers = pair.send(data, then=then, listener=listener)
    answers.assert_same()
    envoy, ours = (answer.echo["request"] > 1 for answer in pair.send(NEXT, listener=listener))
    assert ours == envoy
