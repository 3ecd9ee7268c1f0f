"""gRPC's interoperability cases, by grpcio's client and server, through Envoy and through us: equal outcomes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.kit.bootstrap import ROUTER, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.grpc_client import CASES, GrpcClient
from tests.kit.grpc_server import GrpcServer
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import of

STATS = "extensions.filters.http.grpc_stats.v3.FilterConfig"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
SPEAKS_HTTP2 = {
    "typed_extension_protocol_options": {
        OPTIONS: {"@type": f"type.googleapis.com/{OPTIONS}", "explicit_http_config": {"http2_protocol_options": {}}}
    }
}
LATER = ("many_streams", "calls_one_after_the_other")
"""Ours alone has to show them: `tests/integration/test_grpc.py`."""

SKIPPED = re.compile(r"\.(Told|StreamingInputCall|FullDuplexCall)\.")
"""Those that are polled, or cancelled at some point."""


class Scene(NamedTuple):
    pair: Pair
    client: GrpcClient


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    stats = {"@type": f"type.googleapis.com/envoy.{STATS}", "stats_for_all_methods": True}
    filters = [{"name": "s", "typed_config": stats}, {"name": "r", "typed_config": {"@type": ROUTER}}]
    everything = virtual_host("v", ["*"], route("/", "grpc", timeout="0s"))
    with GrpcServer() as server, GrpcClient() as client:
        listener = http_listener(everything, name="grpc", http_filters=filters)
        text = bootstrap([listener], [static_cluster("grpc", server.port, **SPEAKS_HTTP2)])
        with run_pair(text, apart="how far a call has come when it is cancelled is chance") as pair:
            yield Scene(pair, client)


@pytest.mark.parity("rule 81", *of(STATS, "stats_for_all_methods"))
@pytest.mark.parametrize("case", [case for case in CASES if case not in LATER])
def test_a_call(scene: Scene, case: str) -> None:
    theirs = scene.client.run(case, scene.pair.envoy.address())
    assert scene.client.run(case, scene.pair.ours.address()) == theirs


@pytest.mark.parity("rule 81", *of(STATS, "stats_for_all_methods"))
def test_stats_of_calls(scene: Scene) -> None:
    for side in (scene.pair.envoy, scene.pair.ours):
        for case in ("empty_unary", "server_streaming", "status_after_messages", "ping_pong", "unimplemented_method"):
            scene.client.run(case, side.address())
    theirs, ours = (
        {
            name: value
            for name, value in side.stats().items()
            if name.startswith("cluster.grpc.grpc.")
            and not name.endswith("time")
            and not SKIPPED.search(name)
            and value
        }
        for side in (scene.pair.envoy, scene.pair.ours)
    )
    assert ours == theirs
