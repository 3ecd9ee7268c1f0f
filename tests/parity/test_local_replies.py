"""What the proxy answers itself when the upstream cannot (features: local replies, rule 28)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    # Bound and not listening: nobody else gets the port, and connecting to it is refused.
    with Origin() as origin, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        everything = virtual_host(
            "everything",
            ["*"],
            route("/refused", "refused"),
            route("/nobody", "nobody"),
            route("/quick", "origin", timeout="0.3s"),
            route("/unlimited", "origin", timeout="0s"),
            route("/origin", "origin"),
        )
        clusters = [
            static_cluster("origin", origin.port),
            static_cluster("refused", refusing.getsockname()[1]),
            static_cluster("nobody"),
        ]
        with run_pair(bootstrap([http_listener(everything)], clusters)) as running:
            yield running


def head(target: str, *lines: str, method: str = "GET") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", "Host: h", *lines, "")).encode("latin-1")


@pytest.mark.parity("rule 28: no hosts, connect refused; HEAD has the length without the body; no route")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("target", ["/nobody", "/refused", "/no-route"])
def test_no_upstream(pair: Pair, target: str, method: str) -> None:
    pair.send(head(target, "Content-Length: 0", method=method)).assert_same()


@pytest.mark.parity("rule 28: the connection stays usable after a local reply")
def test_after_a_local_reply(pair: Pair) -> None:
    pair.send(head("/nobody") + head("/refused") + head("/origin?body=3"), responses=3).assert_same()


@pytest.mark.parity("rule 28: a local reply before the request body is complete")
@pytest.mark.parametrize("target", ["/nobody", "/refused", "/no-route"])
def test_local_reply_before_the_body(pair: Pair, target: str) -> None:
    pair.send(head(target, "Content-Length: 10", method="POST") + b"abc").assert_same()
    pair.send(head(target, "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n").assert_same()


@pytest.mark.parity("rule 28: the upstream closes or resets after the request")
@pytest.mark.parametrize("script", ["close=before", "close=before&reset=1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_upstream_closes(pair: Pair, script: str, method: str) -> None:
    pair.send(head(f"/origin?{script}", method=method)).assert_same()


@pytest.mark.parity("rule 28: the upstream does not speak HTTP, or breaks its rules")
@pytest.mark.parametrize(
    "raw",
    [
        "SSH-2.0-x\r\n",
        "\x00\x00\x00",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nbad name: v\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\x01b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc",
        "HTTP/1.1 200\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.0 200 OK\r\n\r\nold style",
        "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcSURPLUS",
        "HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nabc",
        "",
    ],
)
def test_upstream_breaks_http(pair: Pair, raw: str) -> None:
    pair.send(head(f"/origin?raw={quote(raw)}")).assert_same()


@pytest.mark.parity("rule 15: response heads over the limit of the cluster")
@pytest.mark.parametrize("script", ["&".join(["header=x:v"] * 110), "header=x:" + "v" * 20000])
def test_response_head_over_the_limit(pair: Pair, script: str) -> None:
    pair.send(head(f"/origin?{script}&body=3")).assert_same()


@pytest.mark.parity("rule 28: the upstream closes within the response")
@pytest.mark.parametrize("framing", ["body=1000&chunk=100", "chunked=1000&chunk=100"])
@pytest.mark.parametrize("close", ["close=half", "close=head", "close=half&reset=1"])
def test_response_is_cut(pair: Pair, framing: str, close: str) -> None:
    answers = pair.send(head(f"/origin?{framing}&{close}&pause=0.01"))
    assert answers.ours.closed
    assert answers.envoy.closed


@pytest.mark.parity("rule 28: route timeout before the response, config.route.v3.RouteAction.timeout")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_timeout(pair: Pair, method: str) -> None:
    answers = pair.send(head("/quick?delay=1.5&body=3", method=method))
    assert answers.ours.status == 504
    answers.assert_same()


@pytest.mark.parity("rule 28: route timeout within the response closes the connection")
def test_timeout_within_the_response(pair: Pair) -> None:
    answers = pair.send(head("/quick?body=100&chunk=10&pause=0.2"))
    assert not answers.ours.responses
    assert not answers.envoy.responses
    assert answers.ours.closed


@pytest.mark.parity("rule 39: a timeout of 0 is none; x-envoy-expected-rq-timeout-ms is absent then")
def test_no_timeout(pair: Pair) -> None:
    answers = pair.send(head("/unlimited?delay=0.5"))
    assert answers.ours.status == 200
    answers.assert_same()


@pytest.mark.parity("rule 39: the route timeout starts when the request is complete")
def test_timeout_starts_after_the_request(pair: Pair) -> None:
    data = head("/quick?informational=100&delay=0.1", "Expect: 100-continue", "Content-Length: 3", method="POST")
    pair.send(data, then=b"abc").assert_same()
