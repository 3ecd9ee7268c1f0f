"""Upstreams that speak HTTP/2, of Envoy and of ours: the same answers, the same at the origin, the same ledger."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.figures import Unfit
from tests.kit.client import Address
from tests.kit.envoy import Envoy
from tests.kit.h2_client import H2Client, Response
from tests.kit.parity import VOLATILE, Pair, exchange, run_pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.parity.http2_upstreams import BODY, OTHERWISE, configured

Seen = dict[str, Any]
Sides = tuple[dict[str, Seen], dict[str, Seen], Pair]


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    try:
        with configured() as text, run_pair(text, otherwise=OTHERWISE) as pair:
            yield ask_all(pair, "envoy"), ask_all(pair, "ours"), pair
    except Unfit as error:
        pytest.skip(str(error))


def ask_all(pair: Pair, side: str) -> dict[str, Seen]:
    address = (pair.envoy if side == "envoy" else pair.ours).address()
    return {name: CASES[name](address, f"{side:_<5}-{name}".replace(" ", "-")) for name in CASES}


def http1(target: str, *fields: str, method: str = "GET", body: bytes = b"") -> Callable[[Address, str], Seen]:
    """A request of HTTP/1.1; `KEY` in its fields is another one for each side."""

    def ask(address: Address, key: str) -> Seen:
        lines = [f"{method} {target} HTTP/1.1", "host: test", *fields, "", ""]
        answer = exchange(address, "\r\n".join(lines).replace("KEY", key).encode() + body)
        if not answer.responses:
            return {"end": answer.end, "rest": re.sub(rb"(service-time|date): .*", b"", answer.rest)}
        response = answer.only
        return {
            "status": response.status,
            "headers": known(response.headers),
            "body": told(response.body),
            "trailers": response.trailers,
            "end": answer.end,
        }

    return ask


def http2(ask: Callable[[H2Client, str], Response]) -> Callable[[Address, str], Seen]:
    def asked(address: Address, key: str) -> Seen:
        with H2Client(address) as client:
            response = ask(client, key)
            return {
                "headers": known(response.headers),
                "informational": response.informational,
                "body": told(response.body),
                "trailers": response.trailers,
                "ended": response.ended,
                "reset": response.reset,
            }

    return asked


def known(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without what no two runs share. Order means nothing between different names."""
    return sorted((name.lower(), "*" if name.lower() in VOLATILE else value) for name, value in headers)


def told(body: bytes) -> Any:
    """What the origin says that it received; its connections have numbers of their own."""
    if not body.startswith(b"{"):
        return body
    echo = json.loads(body)
    echo["headers"] = known([pair for pair in echo["headers"] if pair[0] != "x-script"])
    return {name: value for name, value in echo.items() if name not in ("connection", "stream", "path")}


def get(path: str, *fields: tuple[str, str], **pseudo: str | None) -> Callable[[Address, str], Seen]:
    return http2(lambda client, key: client.get(path, *fields, **pseudo))


def post(path: str, *fields: tuple[str, str], trailers: bool = False) -> Callable[[Address, str], Seen]:
    def ask(client: H2Client, key: str) -> Response:
        stream = client.begin(path, *fields, method="POST", end=False)
        client.send(stream, b"hello", end=not trailers)
        if trailers:
            client.connection.send_headers(stream, [("sum", "1")], end_stream=True)
            client.flush()
        return client.finish(stream)

    return http2(ask)


def early(client: H2Client, key: str) -> Response:
    stream = client.begin("/?early=1&body=5", method="POST", end=False)
    response = client.finish(stream)
    client.get("/?body=0")  # the reset has come by now
    return response


def together(path: str, count: int) -> Callable[[Address, str], Seen]:
    """So many requests at a time."""

    def ask(client: H2Client, key: str) -> Response:
        streams = [client.begin(path) for _ in range(count)]
        return [client.finish(stream) for stream in streams][-1]

    return http2(ask)


def one_by_one(path: str, count: int) -> Callable[[Address, str], Seen]:
    return http2(lambda client, key: [client.get(path) for _ in range(count)][-1])


CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"
CASES: dict[str, Callable[[Address, str], Seen]] = {
    "get": http1("/a?x=1", "user-agent: t", "accept: a"),
    "hop by hop": http1("/", "connection: keep-alive, x-mine", "x-mine: 1", "te: trailers, gzip", "keep-alive: 5"),
    "cookies": http1("/", "cookie: a=1; b=2", "cookie: c=3"),
    "forwarded proto": http1("/", "x-forwarded-proto: https"),
    "post": http1("/", "content-length: 5", method="POST", body=b"hello"),
    "chunked post": http1("/", "transfer-encoding: chunked", method="POST", body=CHUNKED),
    "empty post": http1("/", "content-length: 0", method="POST"),
    "request trailers": http1(
        "/", "transfer-encoding: chunked", "te: trailers", method="POST", body=b"5\r\nhello\r\n0\r\nsum: 1\r\n\r\n"
    ),
    "expect": http1("/", "content-length: 5", "expect: 100-continue", method="POST", body=b"hello"),
    "head": http1("/?header=content-length:5", method="HEAD"),
    "204": http1("/?status=204"),
    "304": http1("/?status=304"),
    "404": http1("/?status=404&body=3"),
    "a length": http1("/?body=3&header=content-length:3"),
    "70000 bytes": http1("/?body=70000"),
    "response trailers": http1("/?body=5&trailer=a:b"),
    "two cookies set": http1("/?body=1&header=set-cookie:a&header=set-cookie:b"),
    "103": http1("/?informational=103&body=2"),
    "reset": http1("/?reset=8"),
    "reset without an error": http1("/?reset=0"),
    "refused": http1("/?reset=7"),
    "http/1.1 required": http1("/?reset=13"),
    "reset half-way": http1("/?body=1000&reset=8"),
    "the connection ends": http1("/?close=1"),
    "the connection ends half-way": http1("/?body=1000&close=1"),
    "goaway": http1("/goaway?goaway=0"),
    "after goaway": http1("/goaway?body=1"),
    "not looked at": http1("/?behind=0"),
    "a connection header": http1("/?body=1&header=connection:close"),
    "an upper-case header": http1("/?body=1&header=X-A:b"),
    "short of its length": http1("/?body=1&header=content-length:3"),
    "lenient: a connection header": http1("/lenient?body=1&header=connection:close"),
    "lenient: longer than its length": http1("/lenient?body=9&header=content-length:3"),
    "lenient: still there": http1("/lenient?body=1"),
    "no status": http1("/?frames=00000101040000000184".replace("00000001", "{stream}")),
    "junk": http1("/?frames=deadbeefdeadbeefdeadbeef"),
    "101 headers": http1("/?body=1&" + "&".join(f"header=x{number}:y" for number in range(101))),
    "refused once": http1("/refused", "x-script: key=KEY&fails=1&reset=7"),
    "refused for ever": http1("/refused?reset=7"),
    "reset is not refused": http1("/refused?reset=8"),
    "not looked at, again": http1("/refused", "x-script: key=KEY&fails=1&behind=0"),
    "reset once": http1("/reset", "x-script: key=KEY&fails=1&reset=8"),
    "ended once": http1("/reset", "x-script: key=KEY&fails=1&close=1"),
    "not before the request": http1("/before", "x-script: key=KEY&fails=1&reset=8"),
    "too late": http1("/timeout?delay=5"),
    "h2 get": get("/a", ("te", "trailers"), ("cookie", "a=1"), ("cookie", "b=2")),
    "h2 https": get("/", scheme="https"),
    "h2 post": post("/", ("content-length", "5")),
    "h2 post without a length": post("/"),
    "h2 request trailers": post("/", trailers=True),
    "h2 response trailers": get("/?body=5&trailer=a:b"),
    "h2 103": get("/?informational=103&body=2"),
    "h2 head": get("/?header=content-length:5", method="HEAD"),
    "h2 reset": get("/?reset=8"),
    "h2 reset half-way": get("/?body=1000&reset=8"),
    "h2 refused half-way": get("/?body=1000&reset=7"),
    "h2 ends half-way": get("/?body=1000&close=1"),
    "h2 early": http2(early),
    "nginx that speaks both": http1("/auto-both/"),
    "nginx that speaks HTTP/1.1": http1("/auto-one/"),
    "nginx over TLS": http1("/explicit/"),
    "nginx without": http1("/clear/"),
    "nginx for HTTP/1.1": http1("/downstream/"),
    "nginx for HTTP/2": get("/downstream/"),
    "a file of one that speaks both": http1("/auto-both/body"),
    "a file of one that speaks HTTP/1.1": http1("/auto-one/body"),
    "a file without TLS": get("/clear/body"),
    "two requests for each connection": one_by_one("/limited?body=1", 5),
    "two streams on each connection": together("/narrow?body=1&delay=0.2", 5),
}


@pytest.mark.parity(
    "rule 28",
    "rule 57",
    "extensions.upstreams.http.v3.HttpProtocolOptions.explicit_http_config",
    "extensions.upstreams.http.v3.HttpProtocolOptions.auto_config",
    "extensions.upstreams.http.v3.HttpProtocolOptions.use_downstream_protocol_config",
)
@pytest.mark.parametrize("name", CASES)
def test_both_answer_the_same(sides: Sides, name: str) -> None:
    envoy, ours, _ = sides
    assert ours[name] == envoy[name]


def counted(line: str) -> str:
    """In which order Envoy writes its members is its own affair. "" for the origin's echo, which tells its connection's
    number, and for a body of another length than promised, of which Envoy does not count what it did not take.
    """
    members = json.loads(line)
    path = members["REQ(:PATH)"]
    lied = "content-length:3" in path and members["RESPONSE_FLAGS"] == "UPE"
    echoed = members["BYTES_SENT"] and members["RESPONSE_CODE"] == 200 and "body=" not in path
    return "" if lied or echoed else json.dumps(members, sort_keys=True)


def test_nginx_was_spoken_to_as_it_was_agreed(sides: Sides) -> None:
    _, ours, _ = sides
    spoken = {name: seen["body"] for name, seen in ours.items() if name.startswith("nginx")}
    assert spoken == {
        "nginx that speaks both": b"HTTP/2.0 h2",
        "nginx that speaks HTTP/1.1": b"HTTP/1.1 http/1.1",
        "nginx over TLS": b"HTTP/2.0 h2",
        "nginx without": b"HTTP/2.0 ",
        "nginx for HTTP/1.1": b"HTTP/1.1 http/1.1",
        "nginx for HTTP/2": b"HTTP/2.0 h2",
    }
    assert {seen["body"] for name, seen in ours.items() if name.startswith("a file")} == {BODY}


@pytest.mark.parity("rule 28")
def test_both_log_the_same_of_the_upstream(sides: Sides) -> None:
    """What came from it, that is: what goes there is compressed by each in its own way."""

    def lines(side: Envoy | Proxy) -> Counter[str]:
        found = (Path(side.directory) / "upstream.log").read_text().splitlines()
        return Counter(line for line in map(counted, found) if line)

    pair = sides[2]
    wait_for(
        lambda: lines(pair.envoy).total() == lines(pair.ours).total() > len(CASES) // 2,
        deadline=10,
        what="both logs are complete",
    )
    assert lines(pair.ours) == lines(pair.envoy)
