"""Options about who is asking and who we are: ids, user agents, mapped addresses, certificates without TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from proxy.net.own_address import own_address
from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Answer, Pair, exchange, run_pair
from tests.parity.rules import HCM, of

UUID = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
INSIDE = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
EDGE = {"use_remote_address": True}
KEEPING = {**EDGE, "preserve_external_request_id": True}


def ids(**fields: Any) -> dict[str, Any]:
    return {"request_id_extension": {"typed_config": {"@type": UUID, **fields}}}


LISTENERS: dict[str, dict[str, Any]] = {
    "default": ids(),
    "packing": ids(pack_trace_reason=True),
    "edge": EDGE | ids(pack_trace_reason=False),
    "keeping": KEEPING,
    "keeping-packing": KEEPING | ids(pack_trace_reason=True, use_request_id_for_trace_sampling=False),
    "keeping-as-is": KEEPING | ids(pack_trace_reason=False),
    "keeping-inside": {**KEEPING, "internal_address_config": INSIDE},
    "keeping-told": {**KEEPING, "always_set_request_id_in_response": True},
    "agent": {"add_user_agent": True},
    "agent-at-edge": {**EDGE, "add_user_agent": True, "via": "us"},
    "agent-inside": {**EDGE, "add_user_agent": True, "internal_address_config": INSIDE, "via": "us"},
    "no-agent": {"add_user_agent": False},
    "mapped": {**EDGE, "represent_ipv4_remote_address_as_ipv4_mapped_ipv6": True},
    "mapped-not-told": {"represent_ipv4_remote_address_as_ipv4_mapped_ipv6": True},
    "forward-only": {"forward_client_cert_details": "FORWARD_ONLY"},
    "append": {"forward_client_cert_details": "APPEND_FORWARD", "set_current_client_cert_details": {"subject": True}},
    "set": {"forward_client_cert_details": "SANITIZE_SET", "set_current_client_cert_details": {"uri": True}},
}
ADDRESSES = ("x-forwarded-for", "x-envoy-external-address")
SAMPLED = "7a1d3f9e-0000-9000-8000-000000000001"
CLAIMS = [
    [],
    [f"X-Request-Id: {SAMPLED}"],
    [f"X-Request-Id: {SAMPLED}", "X-Forwarded-For: 1.2.3.4", "User-Agent: mine"],
    ["X-Request-Id: 7a1d3f9e-0000-b000-8000-000000000001", "X-Envoy-Force-Trace: 1"],
    [f"X-Request-Id: {SAMPLED}-longer"],
    [f"X-Request-Id: {SAMPLED[:35]}"],
    ["X-Request-Id: mine"],
    ["X-Request-Id:", "User-Agent:"],
    ["X-Envoy-Downstream-Service-Cluster: theirs", "X-Envoy-Downstream-Service-Node: theirs", "User-Agent: u"],
    ["X-Forwarded-Client-Cert: By=a;Hash=b", "X-Forwarded-Client-Cert: By=c"],
]
GENERATED = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    everything = virtual_host("everything", ["*"], route("/", "origin"))
    listeners = [http_listener(everything, name=name, **fields) for name, fields in LISTENERS.items()]
    for listener in listeners:
        listener["address"]["socket_address"]["address"] = "0.0.0.0"
    with Origin() as origin:
        tree = yaml.safe_load(bootstrap(listeners, [static_cluster("origin", origin.port)]))
        tree["node"] = {"id": "our-node", "cluster": "our-cluster"}
        with run_pair(yaml.safe_dump(tree, sort_keys=False)) as running:
            yield running


def request(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in ("GET / HTTP/1.1", "Host: h", *lines, "")).encode()


def ids_of(answer: Answer, lines: list[str]) -> list[str]:
    """The ids that the origin and the client were told; a new one reads `generated`."""
    sent = next((line.partition(":")[2].strip() for line in lines if line.startswith("X-Request-Id:")), None)
    told = [value for name, value in answer.echo["headers"] if name == "x-request-id"]
    told += answer.only.values("x-request-id")
    kept = sent[:14] if sent else "none"
    return ["generated" if GENERATED.fullmatch(value) and not value.startswith(kept) else value for value in told]


@pytest.mark.parity(
    "rule 24", "rule 26", *of(HCM, "request_id_extension", "add_user_agent", "forward_client_cert_details")
)
@pytest.mark.parametrize("listener", LISTENERS)
def test_claims(pair: Pair, listener: str) -> None:
    for lines in CLAIMS:
        answers = pair.send(request(*lines), listener=listener)
        assert (lines, ids_of(answers.ours, lines)) == (lines, ids_of(answers.envoy, lines))
        answers.assert_same()


@pytest.mark.parity("rule 21")
@pytest.mark.parametrize("listener", ["mapped", "mapped-not-told", "edge"])
def test_a_peer_that_is_not_local(pair: Pair, listener: str) -> None:
    own = own_address()
    if own.startswith("127."):
        pytest.skip("this machine has no IPv4 address but loopback")
    told = []
    for proxy in (pair.envoy, pair.ours):
        address = own, proxy.address(listener)[1]
        echoes = [exchange(address, request(*lines)).echo for lines in ([], ["X-Forwarded-For: 1.2.3.4"])]
        told.append([[pair for pair in echo["headers"] if pair[0] in ADDRESSES] for echo in echoes])
    assert told[1] == told[0]
