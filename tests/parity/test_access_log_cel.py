"""CEL in formats and as a filter, on the real Envoy and on ours."""

from __future__ import annotations

import json

import pytest

from tests.kit.bootstrap import ROUTER, Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.parity.log_lines import log, run_logs, text, with_end
from tests.parity.test_access_log_metadata import SET_METADATA, SET_STATE, state

EXPRESSION = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
EXPRESSIONS = [
    "request.path", "request.url_path", "request.host", "request.scheme", "request.method", "request.headers['x-a']",
    "request.headers['nope']", "request.headers[':path']", "request.referer", "request.useragent", "request.protocol",
    "request.query", "request.size", "request.total_size", "request.nope", "response.code", "response.code_details",
    "response.flags", "response.grpc_status", "response.headers['server']", "response.size", "response.trailers",
    "connection.mtls", "connection.requested_server_name", "connection.termination_details", "upstream.address",
    "upstream.port", "upstream.transport_failure_reason", "upstream.request_attempt_count", "upstream.tls_version",
    "metadata.filter_metadata['ns']['key']", "metadata.filter_metadata['ns']['list']", "filter_state['text']",
    "xds.cluster_name", "xds.route_name", "xds.virtual_host_name", "xds.filter_chain_name", "nosuch", "1 + 1", "1.5",
    "1.0", "true", "null", "b'abc'", "duration('1h30m')", "timestamp('2023-08-26T12:39:00-07:00')", "[1,'a']",
    "{'a': 1}", "1/0", "size(request.headers) > 0", "request.headers['x-a'] == 'b' ? 'yes' : 'no'", "has(request.nope)",
    "1u", "type(1)", "request.path.contains('x')", "request.path.matches('^/x')", "request.path.startsWith('/x')",
    "request.duration >= duration('0s')", "request.time > timestamp('2020-01-01T00:00:00Z')",
    "response.backend_latency >= duration('0s')", "'a' == 'a' && 1 < 2", "request.method in ['GET', 'POST']",
    "source.address != destination.address", "request",
    "source.port > 0 && connection.id > 0", "upstream.cx_pool_ready_duration >= duration('0s')",
]  # fmt: skip
FILTERS = {
    "posts": "request.method == 'POST'",
    "failed": "response.code >= 400",
    "header": "request.headers['x-a'] == 'b'",
    "has_header": "'x-a' in request.headers",
    "number": "response.code",
    "error": "request.nope",
    "never": "false",
    "metadata": "metadata.filter_metadata['ns']['key'] == 'value'",
}
HOST = b"Host: a\r\n"
REQUESTS = [
    b"POST /x?body=3&q=1 HTTP/1.1\r\n" + HOST + b"x-a: b\r\nuser-agent: ua\r\ncontent-length: 2\r\n\r\nhi",
    b"GET /down HTTP/1.1\r\n" + HOST + b"referer: r\r\n\r\n",
    b"GET /nowhere HTTP/1.1\r\nHost: other\r\n\r\n",
]
MEMBERS: Fields = {
    **{f"text {one}": f"%CEL({one})%" for one in EXPRESSIONS},
    **{f"typed {one}": f"%TYPED_CEL({one})%" for one in EXPRESSIONS if one != "request"},
    "cut": "%CEL(request.path):3%",
    "cut typed": "%TYPED_CEL(request.path):3%",
    "inside": "<%CEL(response.code)% %TYPED_CEL(request.nope)% %TYPED_CEL(true)%>",
}

Lines = dict[str, tuple[list[str], list[str]]]


@pytest.fixture(scope="module")
def lines() -> Lines:
    metadata = {"metadata": [{"metadata_namespace": "ns", "value": {"key": "value", "list": [1, "a"]}}]}
    filters = [
        {"name": "metadata", "typed_config": {"@type": SET_METADATA, **metadata}},
        {
            "name": "state",
            "typed_config": {"@type": SET_STATE, "on_request_headers": [state("text", "envoy.string", "state")]},
        },
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    named = {**route("/", "origin"), "name": "named"}
    everything = virtual_host("v", ["a", "probe"], route("/down", "down"), named)
    line = "|".join(f"%CEL({one})%" for one in EXPRESSIONS if "response.trailers" not in one)
    conditions = {
        name: {"extension_filter": {"name": name, "typed_config": {"@type": EXPRESSION, "expression": one}}}
        for name, one in FILTERS.items()
    }
    logs = with_end(
        log("json", {"json_format": MEMBERS}),
        log("text", text(line)),
        *(log(name, text("%REQ(:PATH)%"), condition) for name, condition in conditions.items()),
    )
    with Origin() as origin:
        listener = http_listener(everything, http_filters=filters, access_log=logs)
        listener["filter_chains"][0]["name"] = "chain"
        clusters = [static_cluster("origin", origin.port), static_cluster("down", 1)]
        with run_logs(bootstrap([listener], clusters)) as both:
            for request in REQUESTS:
                both.send(request)
            return {name: both.lines(name) for name in ("json", "text", *FILTERS)}


@pytest.mark.parity("config.core.v3.SubstitutionFormatString.json_format")
@pytest.mark.parametrize("member", MEMBERS)
def test_the_same_values(lines: Lines, member: str) -> None:
    envoy, ours = ([json.loads(line)[member] for line in side] for side in lines["json"])
    assert ours == envoy
    assert len(envoy) > len(REQUESTS)


@pytest.mark.parity("config.core.v3.SubstitutionFormatString.text_format_source")
def test_the_same_text(lines: Lines) -> None:
    envoy, ours = lines["text"]
    assert ours == envoy


@pytest.mark.parity("extensions.access_loggers.filters.cel.v3.ExpressionFilter.expression")
@pytest.mark.parametrize("name", FILTERS)
def test_the_same_requests_are_logged(lines: Lines, name: str) -> None:
    envoy, ours = lines[name]
    assert ours == envoy
