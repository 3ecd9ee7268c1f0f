"""Command operators on the real Envoy and on ours: for each operator, the same value for every request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.parity.log_lines import PLAIN_ROUTER, json_of, log, run_logs, text, with_end

HOST = b"Host: a.test\r\n"
GRPC = b"GET /x?body=0&header=%b HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc+proto\r\n\r\n"
REQUESTS = {
    "plain": b"GET /x?body=0&a=%20b&%26 HTTP/1.1\r\n" + HOST + b"User-Agent: ua\r\nX-A: hello\r\nX-A: again\r\n\r\n",
    "post": b"POST /x?body=12 HTTP/1.1\r\n" + HOST + b"X-B: second\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": b"POST /x?chunked=9 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "down": b"GET /down HTTP/1.1\r\n" + HOST + b"\r\n",
    "nowhere": b"GET /x HTTP/1.1\r\nHost: other\r\n\r\n",
    "broken": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "cut": b"GET /x?close=before HTTP/1.1\r\n" + HOST + b"\r\n",
    "grpc_ok": GRPC % b"grpc-status:0",
    "grpc_error": GRPC % b"grpc-status:16",
    "grpc_odd": GRPC % b"grpc-status:99",
    "grpc_word": GRPC % b"grpc-status:no",
    "grpc_silent": GRPC % b"x:y",
    "grpc_404": b"GET /x?status=404&body=0 HTTP/1.1\r\n" + HOST + b"Content-Type: application/grpc\r\n\r\n",
    "grpc_web": b"GET /x?body=0 HTTP/1.1\r\n" + HOST + b"Content-Type: application/grpc-web\r\n\r\n",
}
OPERATORS = [
    "GRPC_STATUS",
    "GRPC_STATUS(CAMEL_STRING)",
    "GRPC_STATUS(SNAKE_STRING)",
    "GRPC_STATUS(NUMBER)",
    "GRPC_STATUS_NUMBER",
    "QUERY_PARAMS",
    "QUERY_PARAMS(ORIG)",
    "QUERY_PARAMS:4",
    "REQUEST_HEADER(X-A)",
    "REQUEST_HEADER(X-NO?X-B):3",
    "REQUEST_HEADERS_BYTES",
    "RESPONSE_HEADER(SERVER)",
    "RESPONSE_HEADER(:STATUS)",
    "RESPONSE_HEADERS_BYTES",
    "RESPONSE_TRAILER(X)",
    "RESPONSE_TRAILERS_BYTES",
    "RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)",
    "UPSTREAM_PROTOCOL",
    'COALESCE({"operators": ["UPSTREAM_CLUSTER", "PROTOCOL"]})',
    'COALESCE({"operators": [{"command": "REQ", "param": "x-a"}, {"command": "REQ", "param": "x-b"}]})',
    'COALESCE({"operators": [{"command": "REQ", "param": "x-b", "max_length": 3}, "RESPONSE_CODE"]})',
    "REQ(X-A):2",
    "REQ(X-A):0",
    "PATH:3",
    "REQ_WITHOUT_QUERY(:PATH)",
    "REQ_WITHOUT_QUERY(X-NO?:PATH):2",
    "REQ_WITHOUT_QUERY(X-NO)",
    "REQ(USER-AGENT?X-B)",
    "START_TIME(%Y|%Ez|%:z|%z|%Z|%%|%e)",
    "EMIT_TIME(%Y)",
    "START_TIME_LOCAL(%Y|%Z|%Ez|%z)",
    "EMIT_TIME_LOCAL(%Y)",
]
TIMES = ["START_TIME", "START_TIME_LOCAL", "EMIT_TIME", "EMIT_TIME_LOCAL", "START_TIME(%s)", "START_TIME(%s.%3f)"]
TIMES += ["START_TIME(%f)", "START_TIME(%1f)", "START_TIME(%E3f)", "START_TIME(%E3S)", "START_TIME(%H:%M:%E0S)"]

FORMATTERS = {
    "formatters": [
        {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.formatter.{kind}"}}
        for name, kind in (
            ("cel", "cel.v3.Cel"),
            ("metadata", "metadata.v3.Metadata"),
            ("path", "req_without_query.v3.ReqWithoutQuery"),
        )
    ]
}

Seen = dict[str, tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Envoy's line and ours for every request."""
    with Origin() as origin:
        everything = virtual_host("v", ["*.test"], route("/down", "down"), route("/", "origin"))
        logs = with_end(
            log("values", json_of([*OPERATORS, *TIMES]) | FORMATTERS), log("line", text("%REQ(X-NO)%|%GRPC_STATUS%"))
        )
        clusters = [static_cluster("origin", origin.port), static_cluster("down", 1)]
        with run_logs(
            bootstrap([http_listener(everything, access_log=logs, http_filters=PLAIN_ROUTER)], clusters)
        ) as both:
            found: Seen = {}
            for name, request in REQUESTS.items():
                both.send(request)
                envoy, ours = both.values("values")
                assert (len(envoy), len(ours)) == (1, 1) or len(envoy) == len(ours)
                found[name] = envoy[0], ours[0]
            envoy_text, our_text = both.lines("line")
            assert our_text == envoy_text
            return found


@pytest.mark.parity("rule 30", "rule 31", "rule 45")
@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator(seen: Seen, operator: str) -> None:
    envoy = {name: values[0][operator] for name, values in seen.items()}
    ours = {name: values[1][operator] for name, values in seen.items()}
    assert ours == envoy
    assert len(envoy) == len(REQUESTS)


@pytest.mark.parity("rule 45")
@pytest.mark.parametrize("operator", TIMES)
def test_a_time_has_the_same_form(seen: Seen, operator: str) -> None:
    for envoy, ours in seen.values():
        forms = ["".join("0" if c.isdigit() else c for c in values[operator]) for values in (envoy, ours)]
        assert forms[1] == forms[0]
