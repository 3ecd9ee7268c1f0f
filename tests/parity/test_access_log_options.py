"""`access_log_options` on the real Envoy and on ours: entries of requests that have just begun, and of their ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.parity.log_lines import END, PLAIN_ROUTER, json_of, log, run_logs, with_end
from tests.parity.rules import HCM, of

OPERATORS = [
    "ACCESS_LOG_TYPE", "REQ(:PATH)", "REQ(:METHOD)", "REQ(X-FORWARDED-PROTO)", "PROTOCOL", "RESPONSE_CODE",
    "RESPONSE_FLAGS", "RESPONSE_CODE_DETAILS", "RESP(SERVER)", "BYTES_RECEIVED", "BYTES_SENT", "ROUTE_NAME",
    "UPSTREAM_CLUSTER", "UPSTREAM_HOST", "UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_PROTOCOL", "GRPC_STATUS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "RESPONSE_HEADERS_BYTES",
]  # fmt: skip
REQUESTS = {
    "plain": b"GET /x?body=1 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "post": b"POST /x?body=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
    "down": b"GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "nowhere": b"GET /x HTTP/1.1\r\nHost: other\r\n\r\n",
    "broken": b"GET /\x01 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "grpc": b"GET /x?body=0&header=grpc-status:5 HTTP/1.1\r\nHost: a.test\r\ncontent-type: application/grpc\r\n\r\n",
}

Entries = dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def entries() -> Entries:
    """Envoy's entries and ours, by request, without those of the probe behind it."""
    with Origin() as origin:
        named = {**route("/", "origin"), "name": "named"}
        everything = virtual_host("v", ["*.test"], route("/down", "down"), named)
        options = {"flush_access_log_on_new_request": True}
        logs = with_end(log("entries", json_of(OPERATORS)))
        listener = http_listener(everything, access_log=logs, access_log_options=options, http_filters=PLAIN_ROUTER)
        clusters = [static_cluster("origin", origin.port), static_cluster("down", 1)]
        with run_logs(bootstrap([listener], clusters)) as both:
            found: Entries = {}
            for name, data in REQUESTS.items():
                both.pair.send(data)
                both.pair.send(f"GET /down?{name} HTTP/1.1\r\nHost: a.test\r\nconnection: close\r\n\r\n".encode())
                both.settle(f"/down?{name}")
                envoy, ours = both.values("entries")
                both.lines(END)
                found[name] = _before_probe(envoy, name), _before_probe(ours, name)
            return found


def _before_probe(entries: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    paths = [entry["REQ(:PATH)"] for entry in entries]
    end = next(at for at, path in enumerate(paths) if path in ("/probe?body=0", f"/down?{name}"))
    return entries[:end]


@pytest.mark.parity(*of(HCM, "access_log_options"), f"{HCM}.HcmAccessLogOptions.flush_access_log_on_new_request")
@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_entries(entries: Entries, name: str) -> None:
    envoy, ours = (
        [{**entry, "UPSTREAM_HOST": bool(entry["UPSTREAM_HOST"])} for entry in side] for side in entries[name]
    )
    assert ours == envoy
    types = [entry["ACCESS_LOG_TYPE"] for entry in envoy]
    assert types == (["DownstreamEnd"] if name == "broken" else ["DownstreamStart", "DownstreamEnd"])
