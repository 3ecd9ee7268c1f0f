"""Headers that are edited before anybody looks at them (`early_header_mutation_extensions`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.kit.routing import add

HCM = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
EXTENSION = "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
SEEN = "%REQ(x-request-id)%|%REQ(:path)%|%REQ(x-forwarded-proto)%|%REQ(x-a)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"


def put(key: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Fields:
    return {"append": add(key, value, action)}


def extension(*mutations: Fields) -> Fields:
    return {"name": "e", "typed_config": {"@type": f"type.googleapis.com/envoy.{EXTENSION}", "mutations": mutations}}


LISTENERS: dict[str, list[Fields]] = {
    "forwarded": [extension(put("x-forwarded-for", "10.1.1.1"))],
    "private": [extension(put("x-envoy-max-retries", "3"), put("x-envoy-internal", "true"), put("te", "gzip"))],
    "without-id": [extension({"remove": "x-request-id"}, put("x-seen", SEEN))],
    "seen": [extension(put("x-seen", SEEN), put("x-routed", "%REQ(x-b)%"))],
    "each": [extension(put("x-a", "1", "APPEND_IF_EXISTS_OR_ADD"), put("x-b", "2", "ADD_IF_ABSENT"))],
    "in-turn": [extension(put("x-a", "1")), extension(put("x-seen", SEEN), {"remove": "x-a"})],
}
CLAIMS = [
    [],
    ["X-Request-Id: mine", "X-Forwarded-For: 8.8.8.8", "X-A: theirs", "X-B: yes"],
    ["X-Forwarded-For: 10.3.3.3", "X-Forwarded-Proto: https", "x-a: 5", "x-a: 6"],
]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    routed = {"match": {"prefix": "/", "headers": [{"name": "x-routed", "string_match": {"exact": "yes"}}]}}
    everything = virtual_host("everything", ["*"], {**routed, "direct_response": {"status": 418}}, route("/", "origin"))
    inside = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    listeners = [
        http_listener(
            everything,
            name=name,
            early_header_mutation_extensions=extensions,
            internal_address_config=inside,
            normalize_path=True,
        )
        for name, extensions in LISTENERS.items()
    ]
    with Origin() as origin, run_pair(bootstrap(listeners, [static_cluster("origin", origin.port)])) as running:
        yield running


@pytest.mark.parity("rule 23", "rule 24", f"{HCM}.early_header_mutation_extensions", f"{EXTENSION}.mutations")
@pytest.mark.parametrize("listener", LISTENERS)
def test_what_is_seen_and_what_is_left(pair: Pair, listener: str) -> None:
    for lines in CLAIMS:
        head = "\r\n".join(["GET /a/./b?c HTTP/1.1", "Host: h", *lines, "", ""])
        answers = pair.send(head.encode(), listener=listener)
        answers.assert_same()
    assert (answers.envoy.status == 418) == (answers.ours.status == 418)
