"""HTTP/2 clients of Envoy and of ours: the same answers, the same request at the origin, the same log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h2.events
import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.client import Address
from tests.kit.envoy import Envoy
from tests.kit.h2_client import H2Client, Response
from tests.kit.origin import Origin
from tests.kit.parity import VOLATILE
from tests.kit.proxy import Proxy

FORMAT = "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


class Side(NamedTuple):
    """What one proxy's client saw in each case, and the log's lines in the order of the cases."""

    answers: dict[str, dict[str, Any]]
    log: list[str]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    logs = [tmp_path_factory.mktemp(name) / "log" for name in ("envoy", "ours")]

    def bootstrap(log: Path) -> str:
        logger = {
            "name": "file",
            "typed_config": {
                "@type": LOG,
                "path": str(log),
                "log_format": {"text_format_source": {"inline_string": FORMAT}},
            },
        }
        return one_cluster(origin.port, access_log=[logger])

    with (
        Origin() as origin,
        Envoy(bootstrap(logs[0]), arguments=("--file-flush-interval-msec", "20")) as envoy,
        Proxy(bootstrap(logs[1]), concurrency=1) as ours,
    ):
        answers = [{name: ask(proxy.address(), CASES[name]) for name in CASES} for proxy in (envoy, ours)]
        yield Side(answers[0], lines(logs[0])), Side(answers[1], lines(logs[1]))


def ask(address: Address, case: Callable[[H2Client], Response]) -> dict[str, Any]:
    with H2Client(address) as client:
        answer = seen(case(client))
        if answer["ended"]:
            settings = [event for event in client.events if isinstance(event, h2.events.RemoteSettingsChanged)]
            windows = [event.delta for event in client.events if isinstance(event, h2.events.WindowUpdated)]
            answer["settings"] = {
                int(number): change.new_value for number, change in settings[0].changed_settings.items()
            }
            answer["window"] = windows[:1]
        return answer


def seen(response: Response) -> dict[str, Any]:
    """What a client can see, without what no two runs share. Order means nothing between different names."""
    echoed = response.body.startswith(b'{"origin"')
    skipped = ("content-length",) if echoed else ()
    headers = [(name, "*" if name in VOLATILE else value) for name, value in response.headers if name not in skipped]
    body: Any = response.body
    if echoed:
        echo = json.loads(response.body)
        body = (
            [pair for pair in echo["headers"] if pair[0] != "x-request-id"],
            *(echo[name] for name in ("method", "target", "body_length", "body_sha256", "trailers")),
        )
    return {
        "headers": sorted(headers),
        "informational": response.informational,
        "body": body,
        "trailers": response.trailers,
        "ended": response.ended,
        "reset": response.reset,
    }


def lines(log: Path) -> list[str]:
    """The log's lines, once there is one for each request."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = log.read_text().splitlines() if log.exists() else []
        if len(found) >= REQUESTS:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{len(found)} of {REQUESTS} lines: {found}")


def posted(*fields: tuple[str, str], path: str = "/", trailers: bool = False) -> Callable[[H2Client], Response]:
    def ask(client: H2Client) -> Response:
        stream = client.begin(path, *fields, method="POST", end=False)
        client.send(stream, b"hello", end=not trailers)
        if trailers:
            client.connection.send_headers(stream, [("sum", "1")], end_stream=True)
            client.flush()
        return client.finish(stream)

    return ask


def expecting(client: H2Client) -> Response:
    stream = client.begin("/", ("expect", "100-continue"), method="POST", end=False)
    while not client.responses[stream].informational:
        client.read()
    client.send(stream, b"hello", end=True)
    return client.finish(stream)


def resetting(client: H2Client) -> Response:
    stream = client.begin("/?delay=5")
    client.get("/?body=0")  # the first one has arrived
    client.connection.reset_stream(stream, 8)
    client.flush()
    return client.get("/?body=1")


CASES: dict[str, Callable[[H2Client], Response]] = {
    "plain": lambda client: client.get("/a?x=1", ("user-agent", "t")),
    "cookies": lambda client: client.get("/", ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")),
    "te": lambda client: client.get("/", ("te", "trailers")),
    "host for authority": lambda client: client.get("/", ("host", "a.example"), authority=None),
    "https": lambda client: client.get("/", scheme="https"),
    "unknown method": lambda client: client.get("/?body=0", method="FOO"),
    "head": lambda client: client.get("/?body=10", method="HEAD"),
    "204": lambda client: client.get("/?status=204"),
    "304": lambda client: client.get("/?status=304"),
    "chunked": lambda client: client.get("/?chunked=70000"),
    "trailers of HTTP/1": lambda client: client.get("/?chunked=5&trailer=a:b"),
    "the origin goes": lambda client: client.get("/?close=before"),
    "connect": lambda client: client.get(None, method="CONNECT", scheme=None, authority="h:80"),
    "fragment": lambda client: client.get("/a#b"),
    "101 headers": lambda client: client.get("/?body=0", *((f"h{number}", "1") for number in range(97))),
    "64 KiB of headers": lambda client: client.get("/", *((f"h{number}", "x" * 4000) for number in range(16))),
    "post": posted(("content-length", "5")),
    "post without a length": posted(),
    "request trailers": posted(trailers=True),
    "expect": expecting,
    "no host": lambda client: client.get(authority=None),
    "space in path": lambda client: client.get("/a b"),
    "relative path": lambda client: client.get("a"),
    "userinfo": lambda client: client.get(authority="u@h"),
    "space in method": lambda client: client.get(method="G T"),
    "a reset": resetting,
}
REQUESTS = len(CASES) + 2


@pytest.mark.parity("rule 57", "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.codec_type")
@pytest.mark.parametrize("name", CASES)
def test_both_answer_the_same(sides: tuple[Side, Side], name: str) -> None:
    envoy, ours = (side.answers[name] for side in sides)
    assert ours == envoy


@pytest.mark.parity("rule 15", "rule 28")
def test_both_log_the_same(sides: tuple[Side, Side]) -> None:
    envoy, ours = (side.log for side in sides)
    assert ours == envoy
