"""`match_upstream`: which scheme a host of HTTP/2 is told, by Envoy and by us."""

from __future__ import annotations

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, virtual_host
from tests.kit.h2_client import H2Client
from tests.kit.h2_tunnel_origin import H2TunnelOrigin
from tests.kit.parity import run_pair
from tests.parity.rules import HCM, of
from tests.parity.test_tunnels_http2 import http2_cluster

INSIDES = {r"cluster\.two\.http2\.nghttp2_upstream_connections": "docs/parity.md: they tell of Envoy's insides"}


@pytest.mark.parity(
    *of(HCM, "scheme_header_transformation"), "config.core.v3.SchemeHeaderTransformation.match_upstream"
)
def test_what_a_host_is_told() -> None:
    with H2TunnelOrigin() as origin:
        everything = virtual_host("all", ["*"], route("/", "two"))
        listeners = [
            http_listener(everything, name="plain"),
            http_listener(everything, name="matching", scheme_header_transformation={"match_upstream": True}),
        ]
        text = bootstrap(listeners, [http2_cluster("two", origin.port)])
        found: list[list[tuple[str | None, str | None]]] = []
        with run_pair(text, otherwise=INSIDES) as pair:
            for side in (pair.envoy, pair.ours):
                del origin.heads[:]
                for name in ("plain", "matching"):
                    with H2Client(side.address(name)) as client:
                        assert client.get("/ok", scheme="https").status == 200
                        assert client.get("/ok", ("x-forwarded-proto", "https"), scheme="http").status == 200
                heads = [dict(head) for head in origin.heads]
                found.append([(head.get(":scheme"), head.get("x-forwarded-proto")) for head in heads])
        assert found[0] == found[1]
        assert [scheme for scheme, _ in found[1]][-2:] == ["http", "http"]
