"""The options that Envoy recommends for an edge, all at once, on the real Envoy and on ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.ledger import REFUSED_HEADS
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.routing import head

HARDENED = {
    "use_remote_address": True,
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
    "common_http_protocol_options": {"idle_timeout": "3600s", "headers_with_underscores_action": "REJECT_REQUEST"},
    "stream_idle_timeout": "300s",
    "request_timeout": "300s",
}
LIMIT = {"per_connection_buffer_limit_bytes": 32768}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    site = virtual_host("site", ["site.test"], route("/private", "nobody"), route("/", "origin"))
    with Origin() as origin:
        clusters = [static_cluster("origin", origin.port) | LIMIT, static_cluster("nobody") | LIMIT]
        text = bootstrap([http_listener(site, name="edge", **HARDENED) | LIMIT], clusters)
        with run_pair(text, otherwise=REFUSED_HEADS) as running:
            yield running


@pytest.mark.parity("rule 60")
@pytest.mark.parametrize(
    "data",
    [
        head("/", "site.test"),
        head("/", "elsewhere.test"),
        *(head(f"/public{a}private", "site.test") for a in ("/../", "/..//", "//../", "/%2e%2e/", "/..%2f", "\\..\\")),
        *(head(f"/{path}private", "site.test") for path in ("/", "./", "%2F", "%5c", "x/%2e%2e/%2e/")),
        head("/../../etc/passwd", "site.test"),
        head("/", "site.test", "x-forwarded-for: 10.0.0.1", "x-envoy-internal: true", "x-forwarded-proto: https"),
        head("/", "site.test", "x-envoy-max-retries: 9", "x-envoy-retry-on: 5xx", "x-envoy-upstream-rq-timeout-ms: 1"),
        head("/", "site.test", "x_forwarded_for: 10.0.0.1"),
        head("/", "site.test", "connection: x-request-private", "x-request-private: 1", "te: trailers, gzip"),
        head("/", "site.test", f"content-length: {100_000}", method="POST") + bytes(100_000),
        head("/?body=200000", "site.test"),
    ],
)  # fmt: skip
def test_the_same_requests_pass(pair: Pair, data: bytes) -> None:
    pair.send(data).assert_same()
