"""What `local_reply_config` makes of routes' own replies: direct responses and redirects; and limits of heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.routing import add
from tests.parity.test_local_reply_config import JSON, TEXT, status

HCM = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def mapper(condition: Fields, **fields: Any) -> Fields:
    return {"mappers": [{"filter": condition, **fields}]}


LISTENERS: dict[str, Fields] = {
    "none": {},
    "text": {"local_reply_config": {"body_format": TEXT}},
    "json": {"local_reply_config": {"body_format": JSON}},
    "status": {"local_reply_config": mapper(status("GE", 300), status_code=418)},
    "body": {"local_reply_config": mapper(status("GE", 200), body={"inline_string": "mapped"})},
    "headers": {
        "local_reply_config": mapper(
            status("LE", 400), headers_to_add=[add("x-mapped", "%RESPONSE_CODE% %RESP(location)%"), add("x-route", "l")]
        )
    },
    "sized": {"max_request_headers_kb": 1, "common_http_protocol_options": {"max_headers_count": 5}},
}
PATHS = ("/direct", "/direct-empty", "/created", "/redirect", "/redirect-308", "/o")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    def direct(path: str, code: int, body: str = "") -> Fields:
        response: Fields = {"status": code, **({"body": {"inline_string": body}} if body else {})}
        edits = {"response_headers_to_add": [add("x-route", "%RESPONSE_CODE%")]}
        return {"match": {"path": path}, "direct_response": response, **edits}

    everything = virtual_host(
        "everything",
        ["*"],
        direct("/direct", 503, "a body"),
        direct("/direct-empty", 404),
        direct("/created", 201, "made"),
        {"match": {"path": "/redirect"}, "redirect": {"path_redirect": "/there"}},
        {
            "match": {"path": "/redirect-308"},
            "redirect": {"https_redirect": True, "response_code": "PERMANENT_REDIRECT"},
        },
        route("/o", "origin"),
    )
    listeners = [http_listener(everything, name=name, **fields) for name, fields in LISTENERS.items()]
    with Origin() as origin, run_pair(bootstrap(listeners, [static_cluster("origin", origin.port)])) as running:
        yield running


@pytest.mark.parity("rule 8", "rule 9", "rule 28", f"{HCM}.local_reply_config")
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("path", PATHS)
def test_replies_of_routes(pair: Pair, listener: str, path: str) -> None:
    for method in ("GET", "HEAD"):
        if path == "/o" and method == "HEAD":
            continue
        pair.send(f"{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode(), listener=listener).assert_same()


@pytest.mark.parity("rule 15", f"{HCM}.max_request_headers_kb")
@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_count_of_headers(pair: Pair, count: int) -> None:
    lines = "".join(f"x-{number}: 1\r\n" for number in range(count - 1))
    answers = pair.send(f"GET /direct HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode(), listener="sized")
    assert answers.ours.status == answers.envoy.status
