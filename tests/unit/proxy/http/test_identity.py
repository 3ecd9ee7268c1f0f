"""Who is asking, and what the upstream is told about it (features §13 rules 21 to 26)."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.common import Address, PipeAddress, SocketAddress
from proxy.config.identity import Identity, InternalAddresses
from proxy.http.headers import Headers
from proxy.http.identity import ROUTER_HEADERS, Caller, Identities

PEER = SocketAddress("192.0.2.9", 4711)
LOCAL = SocketAddress("192.0.2.1", 8080)
TEN = InternalAddresses(cidr_ranges=("10.0.0.0/8", "192.0.2.0/24"))


def admitted(
    *items: tuple[bytes, bytes], peer: Address = PEER, local: Address = LOCAL, **config: Any
) -> tuple[Headers, Caller]:
    rules = Identities(Identity(**{"generate_request_id": False, **config}), "198.51.100.1")
    headers = Headers(items)
    return headers, rules.admit(headers, rules.hop(peer, local, b"http"))


def xff(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value) for value in values]


@pytest.mark.parametrize(
    ("peer", "before", "after"),
    [
        (PEER, [], b"192.0.2.9"),
        (PEER, [b"1.1.1.1, 10.0.0.1"], b"1.1.1.1, 10.0.0.1,192.0.2.9"),
        (PEER, [b"a", b"b"], b"a,b,192.0.2.9"),
        (SocketAddress("127.0.0.1", 1), [], b"198.51.100.1"),
        (SocketAddress("::1", 1), [], b"198.51.100.1"),
        (SocketAddress("fd00::1", 1), [], b"fd00::1"),
        (PipeAddress(""), [], None),
    ],
)
def test_our_line_in_x_forwarded_for(peer: Address, before: list[bytes], after: bytes | None) -> None:
    headers, _ = admitted(*xff(*before), peer=peer, use_remote_address=True)
    assert headers.get_all(b"x-forwarded-for") == ([] if after is None else [after])
    for config in ({"use_remote_address": False}, {"use_remote_address": True, "skip_xff_append": True}):
        headers, _ = admitted(*xff(*before), peer=peer, **config)
        assert headers.get_all(b"x-forwarded-for") == before


@pytest.mark.parametrize(
    ("use_remote", "hops", "value", "expected"),
    [
        (True, 0, b"1.1.1.1", PEER),
        (True, 1, b"1.1.1.1, 8.8.8.8, 10.0.0.3", SocketAddress("10.0.0.3", 0)),
        (True, 3, b"1.1.1.1, 8.8.8.8, 10.0.0.3", SocketAddress("1.1.1.1", 0)),
        (True, 4, b"1.1.1.1, 8.8.8.8, 10.0.0.3", PEER),
        (False, 0, b"1.1.1.1, 8.8.8.8, 10.0.0.3", SocketAddress("10.0.0.3", 0)),
        (False, 1, b"1.1.1.1, 8.8.8.8, 10.0.0.3", SocketAddress("8.8.8.8", 0)),
        (False, 3, b"1.1.1.1, 8.8.8.8, 10.0.0.3", PEER),
        (False, 2**32 - 1, b"1.1.1.1", PEER),
        (False, 0, b"FD00:0::1", SocketAddress("fd00::1", 0)),
        (False, 0, b"junk", PEER),
        (False, 0, b"1.1.1.1:80", PEER),
        (False, 0, b"\xe9\x00", PEER),
        (False, 0, b"1.1.1.1,", PEER),
        (False, 0, b"", PEER),
    ],
)
def test_the_trusted_client_address(use_remote: bool, hops: int, value: bytes, expected: Address) -> None:
    _, caller = admitted(*xff(value), use_remote_address=use_remote, xff_num_trusted_hops=hops)
    assert caller.address == expected


@given(st.binary(max_size=80), st.integers(0, 5), st.booleans())
def test_no_x_forwarded_for_breaks_it(value: bytes, hops: int, use_remote: bool) -> None:
    config = {"use_remote_address": use_remote, "xff_num_trusted_hops": hops, "internal_addresses": TEN}
    _, caller = admitted(*xff(value), **config)
    if caller.address != PEER:
        assert isinstance(caller.address, SocketAddress)
        assert caller.address.host == str(ipaddress.ip_address(caller.address.host))


@pytest.mark.parametrize(
    ("use_remote", "values", "internal"),
    [
        (True, [], True),
        (True, [b"10.0.0.1"], False),
        (False, [], False),
        (False, [b"10.0.0.1"], True),
        (False, [b"10.0.0.1, 10.0.0.2"], False),
        (False, [b"10.0.0.1", b"10.0.0.2"], False),
        (False, [b"8.8.8.8"], False),
        (False, [b"junk"], False),
    ],
)
def test_what_is_internal(use_remote: bool, values: list[bytes], internal: bool) -> None:
    headers, caller = admitted(*xff(*values), use_remote_address=use_remote, internal_addresses=TEN)
    assert caller.internal is internal
    assert headers.get_all(b"x-envoy-internal") == ([b"true"] if internal else [])
    _, caller = admitted(*xff(*values), use_remote_address=use_remote)
    assert not caller.internal


@pytest.mark.parametrize("unix_sockets", [True, False])
def test_a_unix_socket_is_internal_only_if_that_is_said(unix_sockets: bool) -> None:
    addresses = InternalAddresses(unix_sockets=unix_sockets, cidr_ranges=("0.0.0.0/0",))
    _, caller = admitted(peer=PipeAddress(""), use_remote_address=True, internal_addresses=addresses)
    assert caller == Caller(PipeAddress(""), unix_sockets)


EVERYBODY = [b"x-mine", b"x-envoy-attempt-count"]
INTERNAL_ONLY = [b"x-envoy-force-trace", b"x-envoy-expected-rq-timeout-ms", b"x-only"]
EDGE_ONLY = [b"x-envoy-decorator-operation", b"x-envoy-original-path", b"x-envoy-downstream-service-cluster"]
INSIDE = [*EVERYBODY, *INTERNAL_ONLY, *EDGE_ONLY, *sorted(ROUTER_HEADERS)]


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({}, [*EVERYBODY, *EDGE_ONLY]),
        ({"use_remote_address": True}, EVERYBODY),
        ({"use_remote_address": True, "internal_addresses": TEN}, INSIDE),
    ],
)
def test_what_a_client_may_claim(config: dict[str, Any], kept: list[bytes]) -> None:
    """Nobody's client certificate passes; headers for the router do from inside."""
    asked = [*INSIDE, b"x-forwarded-client-cert", b"x-envoy-internal"]
    headers, _ = admitted(*((name, b"1") for name in asked), internal_only_headers=("x-only",), **config)
    assert [name for name, value in headers if value == b"1"] == kept


@pytest.mark.parametrize(
    ("config", "proto", "port"),
    [
        ({}, b"https", b"7"),
        ({"use_remote_address": True}, b"http", b"8080"),
        ({"use_remote_address": True, "xff_num_trusted_hops": 1}, b"https", b"7"),
        ({"scheme": "https"}, b"https", b"7"),
    ],
)
def test_x_forwarded_proto_and_port(config: dict[str, Any], proto: bytes, port: bytes) -> None:
    claims = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-port", b"7")]
    headers, _ = admitted(*claims, append_x_forwarded_port=True, **config)
    assert (headers.joined(b"x-forwarded-proto"), headers.joined(b"x-forwarded-port")) == (proto, port)
    headers, _ = admitted(append_x_forwarded_port=True, **config)
    expected = b"https" if "scheme" in config else b"http"
    assert (headers.joined(b"x-forwarded-proto"), headers.joined(b"x-forwarded-port")) == (expected, b"8080")
    headers, _ = admitted(local=PipeAddress("/x"), append_x_forwarded_port=True, **config)
    assert b"x-forwarded-port" not in headers


def test_the_external_address_is_ours_to_say_at_the_edge() -> None:
    claim = (b"x-envoy-external-address", b"9.9.9.9")
    assert admitted(claim)[0].joined(claim[0]) == b"9.9.9.9"
    assert admitted(claim, use_remote_address=True)[0].joined(claim[0]) == b"192.0.2.9"
    assert claim[0] not in admitted(claim, peer=PipeAddress(""), use_remote_address=True)[0]


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({}, True),
        ({"use_remote_address": True}, False),
        ({"use_remote_address": True, "preserve_external_request_id": True}, True),
        ({"use_remote_address": True, "internal_addresses": TEN}, True),
    ],
)
def test_request_ids(config: dict[str, Any], kept: bool) -> None:
    mine = (b"x-request-id", b"mine")
    headers, _ = admitted(mine, generate_request_id=True, **config)
    assert (headers.get_all(b"x-request-id") == [b"mine"]) is kept
    headers, _ = admitted(generate_request_id=True, **config)
    assert len(headers.get_all(b"x-request-id")) == 1
    headers, _ = admitted(mine, **config)
    assert headers.joined(b"x-request-id") == b"mine"
    assert b"x-request-id" not in admitted(**config)[0]


def test_who_is_told_the_request_id() -> None:
    forced = Headers([(b"x-envoy-force-trace", b"1")])
    rules = Identities(Identity(), "")
    assert not rules.tells_request_id(forced, Caller(PEER))
    assert rules.tells_request_id(forced, Caller(PEER, internal=True))
    assert not rules.tells_request_id(Headers(), Caller(PEER, internal=True))
    assert Identities(Identity(always_set_request_id_in_response=True), "").tells_request_id(Headers(), Caller(PEER))


def test_via_and_the_order_of_what_is_added() -> None:
    headers, _ = admitted((b"via", b"1.1 a"), (b"via", b"1.1 b"), via="us")
    assert headers.get_all(b"via") == [b"1.1 a,1.1 b, us"]
    config = {"append_x_forwarded_port": True, "via": "us", "generate_request_id": True}
    headers, _ = admitted(use_remote_address=True, **config)
    assert b" ".join(name for name, _ in headers) == (
        b"x-forwarded-for x-forwarded-proto x-forwarded-port via x-envoy-external-address x-request-id"
    )


def test_what_connection_drops_is_not_taken_into_account() -> None:
    headers, _ = admitted((b"via", b"1.1 a"), (b"connection", b"via"), via="us")
    assert headers.get_all(b"via") == [b"us"]


def test_a_local_peer_is_not_taken_for_one_of_the_address_that_we_tell_of_it() -> None:
    """Both are told alike in `x-forwarded-for`, but not in `x-envoy-external-address`."""
    rules = Identities(Identity(use_remote_address=True), "198.51.100.1")
    hops = [rules.hop(SocketAddress(host, 1), LOCAL, b"http") for host in ("127.0.0.1", "198.51.100.1")]
    assert hops[0].appended == hops[1].appended
    assert hops[0].kind != hops[1].kind
    assert hops[0].kind == rules.hop(SocketAddress("127.0.0.1", 2), LOCAL, b"http").kind
