"""Bytes on the wire, attempts, connections and names of hosts, on the real Envoy and on ours, request by request."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.parity.log_lines import PLAIN_ROUTER, json_of, log, run_logs, with_end

HOST = b"Host: a.test\r\n"
REQUESTS = {
    "plain": b"GET /x?body=7&a=%41%20%26&b&c=%zz%4 HTTP/1.1\r\n" + HOST + b"User-Agent: ua\r\nX-A:  spaced \r\n\r\n",
    "post": b"POST /x?body=12 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    "chunked": b"POST /x?chunked=9 HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n",
    "head": b"HEAD /x?body=7 HTTP/1.1\r\n" + HOST + b"\r\n",
    "again": b"GET /retry5?status=503&body=0 HTTP/1.1\r\n" + HOST + b"\r\n",
    "named": b"GET /named?body=1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "counted": b"GET /counted?body=1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "down": b"GET /down HTTP/1.1\r\n" + HOST + b"\r\n",
    "down_again": b"GET /down_again HTTP/1.1\r\n" + HOST + b"\r\n",
    "nobody": b"GET /nobody? HTTP/1.1\r\n" + HOST + b"\r\n",
    "nowhere": b"GET /x HTTP/1.1\r\nHost: other\r\n\r\n",
    "direct": b"GET /direct HTTP/1.1\r\n" + HOST + b"\r\n",
    "cut": b"GET /x?close=before HTTP/1.1\r\n" + HOST + b"\r\n",
    "late": b"GET /late?delay=1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "broken": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
}
PIPELINED = b"".join(b"GET /p%d?body=%d HTTP/1.1\r\n%b\r\n" % (number, number, HOST) for number in range(3))
OPERATORS = [
    *(
        f"{side}_{kind}_BYTES_{way}"
        for side in ("DOWNSTREAM", "UPSTREAM")
        for kind in ("WIRE", "HEADER", "DECOMPRESSED_HEADER")
        for way in ("RECEIVED", "SENT")
    ),
    "BYTES_RETRANSMITTED", "PACKETS_RETRANSMITTED", "ROUNDTRIP_DURATION", "CUSTOM_FLAGS", "FILTER_CHAIN_NAME",
    "UPSTREAM_HOST_NAME", "UPSTREAM_HOST_NAME_WITHOUT_PORT", "UPSTREAM_HOSTS_ATTEMPTED",
    "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_HOST_NAMES_ATTEMPTED",
    "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_REMOTE_ADDRESS", "VIRTUAL_CLUSTER_NAME",
    "DOWNSTREAM_DETECTED_CLOSE_TYPE", "UPSTREAM_DETECTED_CLOSE_TYPE", "QUERY_PARAMS(DECODED)", "QUERY_PARAMS(ORIG)",
    "QUERY_PARAMS(DECODED):9", "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)", "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(9)",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT(32)", "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT(0)",
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)", "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(24)",
    "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", "UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", "CONNECTION_TERMINATION_DETAILS",
]  # fmt: skip
NUMBERS = [
    "UPSTREAM_CONNECTION_ID", "UPSTREAM_CONNECTION_IDS_ATTEMPTED", "UPSTREAM_CONNECTION_POOL_READY_DURATION",
    "COMMON_DURATION(US_CX_BEG:US_CX_END:us)", "COMMON_DURATION(US_RX_BEG:US_RX_BODY_BEG:us)",
    "COMMON_DURATION(DS_TX_BEG:DS_TX_END:us)", "COMMON_DURATION(DS_CX_BEG:DS_RX_BEG:us)",
]  # fmt: skip
"""Of these, no two runs share the value: only whether there is one is compared."""

Seen = dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]


def cluster(name: str, *ports: int, hostname: str = "", **fields: Any) -> dict[str, Any]:
    made = static_cluster(name, *ports, **fields)
    for endpoint in made["load_assignment"]["endpoints"][0]["lb_endpoints"] if hostname else ():
        endpoint["endpoint"]["hostname"] = hostname
    return made


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Envoy's lines and ours for every request, and for three in one piece."""
    with Origin() as origin:
        again = {"retry_on": "connect-failure,5xx", "num_retries": 2}
        everything = virtual_host(
            "v",
            ["*.test"],
            route("/retry5", "origin", retry_policy=again),
            route("/named", "named"),
            route("/down_again", "down", retry_policy=again),
            route("/down", "down"),
            route("/nobody", "nobody"),
            {"match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "hi"}}},
            route("/late", "origin", timeout="0.1s"),
            route("/", "origin"),
        )
        counted = {"name": ":path", "string_match": {"prefix": "/counted"}}
        everything["virtual_clusters"] = [{"name": "those", "headers": [counted]}]
        logs = with_end(log("values", json_of([*OPERATORS, *NUMBERS, "REQ(:PATH)"])))
        listener = http_listener(everything, access_log=logs, http_filters=PLAIN_ROUTER)
        listener["filter_chains"][0]["name"] = "chain"
        clusters = [
            cluster("origin", origin.port),
            cluster("named", origin.port, hostname="named.test:80"),
            cluster("down", 1, hostname="down.test"),
            cluster("nobody"),
        ]
        with run_logs(bootstrap([listener], clusters)) as both:
            found: Seen = {}
            for name, request in REQUESTS.items():
                both.send(request)
                envoy, ours = both.values("values")
                found[name] = envoy[:1], ours[:1]
            both.send(PIPELINED, responses=3, lines=3)
            envoy, ours = both.values("values")
            found["pipelined"] = envoy[:3], ours[:3]
            return found


@pytest.mark.parity("rule 30", "rule 31")
@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator(seen: Seen, operator: str) -> None:
    envoy, ours = ({name: [line[operator] for line in lines[side]] for name, lines in seen.items()} for side in (0, 1))
    if (
        operator == "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED"
    ):  # Envoy adds what earlier attempts had to itself once more
        assert envoy.pop("again") > ours.pop("again")
    assert ours == envoy


@pytest.mark.parity("rule 30", "rule 31")
@pytest.mark.parametrize("operator", NUMBERS)
def test_a_number_is_there_or_not(seen: Seen, operator: str) -> None:
    envoy, ours = (
        {name: [_form(line[operator]) for line in lines[side]] for name, lines in seen.items()} for side in (0, 1)
    )
    assert ours == envoy


def _form(value: Any) -> str:
    if value == 0 and type(value) is int:
        return "number"
    return re.sub(r"\d+", "number", str(value))
