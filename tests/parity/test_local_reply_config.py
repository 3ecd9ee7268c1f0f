"""`local_reply_config` on the real Envoy and on ours: what clients get, and what the access log says of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.parity.log_lines import Logs, json_of, log, run_logs, with_end
from tests.parity.rules import HCM, of


def status(op: str, value: int) -> Fields:
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "k"}}}}


def wanted(value: str) -> Fields:
    """Requests whose header `x-want` says so."""
    return {"header_filter": {"header": {"name": "x-want", "string_match": {"exact": value}}}}


def header(key: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD", **fields: bool) -> Fields:
    return {"header": {"key": key, "value": value}, "append_action": action, **fields}


TEXT = {"text_format_source": {"inline_string": "[%RESPONSE_CODE% %RESPONSE_FLAGS% %REQ(:path)%] %LOCAL_REPLY_BODY%"}}
JSON = {"json_format": {"body": "%LOCAL_REPLY_BODY%", "code": "%RESPONSE_CODE%", "nested": {"to": "%PROTOCOL%"}}}
MAPPERS: dict[str, Fields] = {
    "status": {"status_code": 418},
    "body": {"body": {"inline_string": "another body"}},
    "empty_body": {"body": {"inline_string": ""}},
    "status_and_body": {"status_code": 503, "body": {"inline_string": "ünïcode ~ % \n"}},
    "headers": {
        "headers_to_add": [
            header("x-added", "%REQ(x-want)% %RESPONSE_CODE%"),
            header("x-added", "twice"),
            header("x-flags", "%RESPONSE_FLAGS%", "ADD_IF_ABSENT"),
            header("x-empty", "%REQ(x-no)%"),
            header("server", "mine", "OVERWRITE_IF_EXISTS_OR_ADD"),
        ]
    },
    "content_type": {"headers_to_add": [header("content-type", "text/x-mine")]},
    "content_type_over": {
        "headers_to_add": [header("content-type", "text/x-mine", "OVERWRITE_IF_EXISTS_OR_ADD")],
        "body_format_override": JSON,
    },
    "text": {"body_format_override": TEXT},
    "text_line": {
        "body_format_override": {"text_format_source": {"inline_string": "a line \n"}},
        "headers_to_add": [header("x-a", "b")],
    },
    "json_line": {
        "body_format_override": {
            "text_format_source": {"inline_string": "{}\n"},
            "content_type": "application/json",
        }
    },
    "text_type": {"body_format_override": {**TEXT, "content_type": "text/html; charset=UTF-8"}},
    "json": {"body_format_override": JSON, "status_code": 500},
    "json_type": {"body_format_override": {**JSON, "content_type": "application/problem+json"}},
    "all": {
        "status_code": 555,
        "body": {"inline_string": "whole"},
        "body_format_override": {"text_format_source": {"inline_string": "<%LOCAL_REPLY_BODY%|%RESP(x-a)%>"}},
        "headers_to_add": [header("x-a", "%RESPONSE_CODE%")],
    },
    "length": {"headers_to_add": [header("content-length", "7", "OVERWRITE_IF_EXISTS_OR_ADD")]},
    "same_status": {"status_code": 404},
}
ENTRY = ["RESPONSE_CODE", "RESPONSE_FLAGS", "RESPONSE_CODE_DETAILS", "BYTES_SENT", "RESP(CONTENT-TYPE)", "GRPC_STATUS"]
ENTRY += ["RESP(X-ADDED)", "LOCAL_REPLY_BODY", "RESPONSE_HEADERS_BYTES"]


def listener(name: str, config: Fields) -> Fields:
    everything = virtual_host("v", ["*.test"], route("/down", "down"), route("/", "origin"))
    logs = with_end(log("entries", json_of(ENTRY)))
    return http_listener(everything, name=name, local_reply_config=config, access_log=logs)


@pytest.fixture(scope="module")
def logs() -> Iterator[Logs]:
    mappers = [{"filter": wanted(name), **mapper} for name, mapper in MAPPERS.items()]
    mappers.append({"filter": {"and_filter": {"filters": [wanted("uf"), {"response_flag_filter": {"flags": ["UF"]}}]}}})
    mappers[-1] |= {"status_code": 599}
    mappers.append({"filter": status("EQ", 400), "body": {"inline_string": "a bad request"}})
    with Origin() as origin:
        listeners = [
            listener("mapped", {"mappers": mappers}),
            listener("formatted", {"mappers": mappers, "body_format": TEXT}),
            listener("empty", {}),
        ]
        clusters = [static_cluster("origin", origin.port), static_cluster("down", 1)]
        with run_logs(bootstrap(listeners, clusters)) as both:
            yield both


def request(want: str, *, method: str = "GET", target: str = "/", host: str = "none", fields: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nx-want: {want}\r\n{fields}\r\n".encode()


GRPC = "content-type: application/grpc\r\n"
CASES = {
    **{f"404 {name}": request(name) for name in MAPPERS},
    "503 headers": request("headers", host="a.test", target="/down"),
    "503 text": request("text", host="a.test", target="/down"),
    "503 json": request("json", host="a.test", target="/down"),
    "503 uf": request("uf", host="a.test", target="/down"),
    "404 uf": request("uf"),
    "no mapper": request("nothing"),
    "not a local reply": request("all", host="a.test", target="/?status=404&body=3"),
    "broken": b"GET /\x01 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "HEAD json": request("json", method="HEAD"),
    "HEAD body": request("body", method="HEAD", host="a.test", target="/down"),
    **{f"grpc {name}": request(name, fields=GRPC) for name in MAPPERS},
    "grpc 503": request("nothing", fields=GRPC, host="a.test", target="/down"),
    "grpc HEAD": request("body", method="HEAD", fields=GRPC),
    "grpc+proto": request("status", fields="content-type: application/grpc+proto\r\n"),
    "grpc-web": request("status", fields="content-type: application/grpc-web\r\n"),
}


TOLD = ("broken", "formatted")
"""A deviation: Envoy sets the flag of a head that it cannot read only after the reply."""


@pytest.mark.parity(
    "rule 28",
    "rule 29",
    *of(HCM, "local_reply_config"),
    *of("extensions.filters.network.http_connection_manager.v3.LocalReplyConfig", "mappers", "body_format"),
    *of(
        "extensions.filters.network.http_connection_manager.v3.ResponseMapper",
        "filter",
        "status_code",
        "body",
        "body_format_override",
        "headers_to_add",
    ),
    *of("config.accesslog.v3.StatusCodeFilter", "comparison"),
    *of("config.accesslog.v3.ResponseFlagFilter", "flags"),
)
@pytest.mark.parametrize(
    ("name", "listener"),
    [(name, listener) for name in CASES for listener in ("mapped", "formatted") if (name, listener) != TOLD],
)
def test_the_same_reply(logs: Logs, name: str, listener: str) -> None:
    answers = logs.send(CASES[name], listener=listener)
    envoy, ours = logs.values("entries")
    answers.assert_same()
    assert ours[:1] == envoy[:1]


@pytest.mark.parity("rule 68")
def test_the_flag_of_a_broken_head_is_told(logs: Logs) -> None:
    answers = logs.send(CASES["broken"], listener="formatted")
    logs.values("entries")
    assert (answers.envoy.only.body, answers.ours.only.body) == (
        b"[400 - -] a bad request",
        b"[400 DPE -] a bad request",
    )


@pytest.mark.parity(*of(HCM, "local_reply_config"))
@pytest.mark.parametrize("name", ["404 status", "503 json", "grpc 503", "broken"])
def test_without_mappers(logs: Logs, name: str) -> None:
    logs.send(CASES[name], listener="empty").assert_same()
    envoy, ours = logs.values("entries")
    assert ours[:1] == envoy[:1]
