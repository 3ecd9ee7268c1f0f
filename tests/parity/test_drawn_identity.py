"""Who is asking, over drawn configurations and drawn claims: what the origin and the client see of it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Connection
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair

SEED = 20261128
CONFIGURATIONS = 16
REQUESTS = 40
"""For each configuration; all on one connection to each proxy, so that plans serve what they can."""

HCM = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
RANGES = [("127.0.0.0", 8), ("10.0.0.0", 8), ("192.168.0.0", 16), ("fd00::", 8), ("0.0.0.0", 0)]
ADDRESSES = [
    *("1.1.1.1", "10.0.0.3", "10.255.0.1", "192.168.7.7", "127.0.0.1", "8.8.8.8", "fd00::7", "2001:db8::1"),
    *("127.0.0.2", "172.16.0.1", "172.32.0.1", "::1", "fc00::1"),
    *("::ffff:10.0.0.1", "10.0.0.1:80", "[fd00::1]", "unknown", "", "10.0.0", "010.0.0.1", "0x0a000001", "10.0.0.3 "),
]
UUIDS = [f"7a1d3f9e-0000-{nibble}000-8000-000000000001" for nibble in "49ab"]
OTHERS: dict[str, list[str]] = {
    "X-Forwarded-Proto": ["http", "https", "HTTPS", "ftp"],
    "X-Forwarded-Port": ["80", "7", ""],
    "X-Forwarded-Host": ["other.test"],
    "X-Request-Id": [*UUIDS, "mine", "", UUIDS[1] + "0"],
    "X-Envoy-External-Address": ["9.9.9.9", ""],
    "X-Envoy-Internal": ["true", "false"],
    "X-Envoy-Force-Trace": ["1", ""],
    "X-Envoy-Max-Retries": ["3"],
    "X-Envoy-Expected-Rq-Timeout-Ms": ["7"],
    "X-Envoy-Upstream-Rq-Timeout-Ms": ["9000"],
    "X-Envoy-Decorator-Operation": ["o"],
    "X-Envoy-Downstream-Service-Cluster": ["c"],
    "X-Envoy-Downstream-Service-Node": ["n"],
    "X-Envoy-Original-Path": ["/x"],
    "X-Envoy-Original-Url": ["/x"],
    "X-Envoy-Ip-Tags": ["t"],
    "X-Envoy-Attempt-Count": ["5"],
    "X-Envoy-Is-Timeout-Retry": ["true"],
    "X-Envoy-Peer-Metadata": ["m"],
    "X-Forwarded-Client-Cert": ["By=a", ""],
    "X-Only": ["1"],
    "Via": ["1.1 a"],
    "Forwarded": ["for=1.2.3.4"],
    "X-Real-Ip": ["10.0.0.9"],
    "Referer": ["http://a/", "junk", "https://a.test/b?c", "/relative", ""],
    "User-Agent": ["u", ""],
    "TE": ["trailers", "gzip, trailers;q=1", "gzip"],
    "Keep-Alive": ["timeout=5"],
    "Proxy-Connection": ["keep-alive"],
    "Connection": ["keep-alive", "x-unnamed", "x-only, keep-alive", "te"],
    "X-Unnamed": ["1"],
}
GENERATED = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
VOLATILE = ("x-envoy-expected-rq-timeout-ms",)


def drawn_configuration(rng: random.Random) -> Fields:
    def maybe(chance: float, **fields: Any) -> Fields:
        return fields if rng.random() < chance else {}

    ranges = [{"address_prefix": at, "prefix_len": length} for at, length in rng.sample(RANGES, rng.randint(0, 3))]
    remote = rng.random() < 0.5
    return {
        "use_remote_address": remote,
        **maybe(0.4, xff_num_trusted_hops=rng.randint(1, 3)),
        **maybe(0.3, skip_xff_append=True),
        **maybe(0.7, internal_address_config={"cidr_ranges": ranges}),
        **maybe(0.3, append_x_forwarded_port=True),
        **maybe(0.2, generate_request_id=False),
        **maybe(0.4, preserve_external_request_id=True),
        **maybe(0.3, always_set_request_id_in_response=True),
        **maybe(0.3, via="us"),
        **maybe(0.2, scheme_header_transformation={"scheme_to_overwrite": rng.choice(["http", "https"])}),
        **maybe(0.3, add_user_agent=True),
        **maybe(0.4, forward_client_cert_details=rng.choice(["FORWARD_ONLY", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"])),
        "server_name": rng.choice(["", "me"]),
        "server_header_transformation": rng.choice(["OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH"]),
    }


def drawn_lines(rng: random.Random) -> list[str]:
    lines = []
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        separator = rng.choice([",", ", "])
        lines.append("X-Forwarded-For: " + separator.join(rng.choices(ADDRESSES, k=rng.choice([1, 1, 2, 3, 4]))))
    lines += [f"{name}: {rng.choice(OTHERS[name])}" for name in rng.sample(list(OTHERS), rng.randint(0, 6))]
    rng.shuffle(lines)
    return lines


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    rng = random.Random(SEED)
    everything = virtual_host("everything", ["*"], route("/", "origin"))
    listeners = [
        http_listener(everything, name=f"l{number}", **drawn_configuration(rng)) for number in range(CONFIGURATIONS)
    ]
    for listener in listeners:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"]["internal_only_headers"] = ["X-Only"]
    with Origin() as origin, run_pair(bootstrap(listeners, [static_cluster("origin", origin.port)])) as running:
        yield running


def told(connection: Connection, request: bytes, port: int, theirs: str) -> tuple[int, list[str], list[str]]:
    """The status, and the fields that the origin and the client got, in any order: lines that Envoy joins are lines in
    ours (docs/parity.md). New ids and our port are told alike.
    """
    response = connection.request(request)
    sets = []
    for fields in (json.loads(response.body)["headers"] if response.status == 200 else [], response.headers):
        joined: dict[str, str] = {}
        for name, value in fields:
            joined[name] = ",".join(filter(None, (joined.get(name), value)))
        if GENERATED.fullmatch(joined.get("x-request-id", "")) and joined["x-request-id"][:14] != theirs[:14]:
            joined["x-request-id"] = "(new)"
        if joined.get("x-forwarded-port", "").endswith(str(port)):
            joined["x-forwarded-port"] = joined["x-forwarded-port"].replace(str(port), "(port)")
        joined |= {name: "*" for name in VOLATILE if name in joined}
        skipped = ("date", "content-length", "x-envoy-upstream-service-time")
        sets.append(sorted(f"{name}: {value}" for name, value in joined.items() if name not in skipped))
    return response.status, sets[0], sets[1]


@pytest.mark.parity("rule 16", "rule 21", "rule 22", "rule 23", "rule 24", "rule 25", "rule 26")
@pytest.mark.parametrize("number", range(CONFIGURATIONS))
def test_drawn_claims(pair: Pair, number: int) -> None:
    rng = random.Random(SEED + 1 + number)
    listener = f"l{number}"
    with Connection(pair.envoy.address(listener)) as envoy, Connection(pair.ours.address(listener)) as ours:
        ports = pair.envoy.address(listener)[1], pair.ours.address(listener)[1]
        for _ in range(REQUESTS):
            lines = drawn_lines(rng)
            theirs = next((line.partition(": ")[2] for line in lines if line.startswith("X-Request-Id")), "")
            request = "\r\n".join([f"GET /{rng.choice('ab')} HTTP/1.1", "Host: h", *lines, "", ""]).encode()
            answers = told(envoy, request, ports[0], theirs), told(ours, request, ports[1], theirs)
            assert (lines, answers[1]) == (lines, answers[0])
