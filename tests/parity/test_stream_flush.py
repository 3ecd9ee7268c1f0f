"""HTTP/2 clients that make no room for the end of a response: when their streams are given up."""

from __future__ import annotations

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Address
from tests.kit.h2_client import H2Client
from tests.kit.origin import Origin
from tests.kit.parity import run_pair
from tests.parity.rules import HCM, of

ROOM = 10  # bytes of a stream's first window


def taken(address: Address) -> dict[str, tuple[int | None, int, bool]]:
    """What became of each stream: the code of its reset, how much came, whether it ended."""
    with H2Client(address, window=ROOM, credit=False) as client:
        patient, ended = client.begin("/patient/?body=100"), client.begin("/?body=9")
        client.finish(ended)
        stuck = client.begin("/?body=100")
        client.finish(stuck)
        client.connection.increment_flow_control_window(100, patient)
        client.flush()
        client.finish(patient)
        streams = {"patient": patient, "ended": ended, "stuck": stuck}
        answers = {name: client.responses[stream] for name, stream in streams.items()}
        return {name: (answer.reset, len(answer.body), answer.ended) for name, answer in answers.items()}


@pytest.mark.parity(*of("config.route.v3.RouteAction", "flush_timeout"), *of(HCM, "stream_flush_timeout"))
@pytest.mark.field(
    "envoy.config.route.v3.RouteAction.flush_timeout",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.stream_flush_timeout",
)
def test_the_end_of_a_response_waits_for_the_clients_window() -> None:
    with Origin() as origin:
        routes = virtual_host(
            "all", ["*"], route("/patient/", "origin", flush_timeout="30s", timeout="0.2s"), route("/", "origin")
        )
        text = bootstrap([http_listener(routes, stream_flush_timeout="0.5s")], [static_cluster("origin", origin.port)])
        with run_pair(text) as pair:
            envoy, ours = taken(pair.envoy.address()), taken(pair.ours.address())
            assert ours == envoy
            assert ours == {"patient": (None, 100, True), "ended": (None, 9, True), "stuck": (2, ROOM, False)}
            for name in ("http2.tx_flush_timeout", "http2.tx_reset"):
                assert pair.ours.stats()[name] == pair.envoy.stats()[name] == 1
