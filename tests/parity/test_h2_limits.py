"""What an HTTP/2 client may do for nothing before Envoy, and ours, end its connection: the same number of times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.envoy import Envoy
from tests.kit.h2_attacks import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GET,
    HEADERS,
    INITIAL_WINDOW,
    MALFORMED,
    PING,
    POST,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    literals,
    number,
    request,
    setting,
    survives,
)
from tests.kit.h2_client import frame
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy

HTTP2 = "config.core.v3.Http2ProtocolOptions"
OPTIONS = {
    "max_consecutive_inbound_frames_with_empty_payload": 3,
    "max_inbound_priority_frames_per_stream": 5,
    "max_inbound_window_update_frames_per_data_frame_sent": 2,
    "max_outbound_control_frames": 300,
}

Addresses = tuple[tuple[str, int], tuple[str, int]]


@pytest.fixture(scope="module")
def addresses() -> Iterator[Addresses]:
    """Of Envoy and of ours."""
    with Origin() as origin:
        text = one_cluster(
            origin.port, codec_type="HTTP2", http2_protocol_options=OPTIONS, delayed_close_timeout="0.01s"
        )
        with Envoy(text) as envoy, Proxy(text) as ours:
            yield envoy.address(), ours.address()


class Limit(NamedTuple):
    """Behind `first`, `piece` may come so often: `most`. One that begins streams says which by `step`."""

    most: int
    piece: bytes
    first: bytes = b""


OPEN = request(1, POST, end=False)


def resets(count: int) -> bytes:
    """So many requests that are taken back at once."""
    return b"".join(request(stream) + frame(RST_STREAM, 0, stream, number(CANCEL)) for stream in range(1, 2 * count, 2))


def refusals(count: int) -> bytes:
    """So many requests of which each has to be reset."""
    return b"".join(request(stream, more=literals([("x", "")]) * 101) for stream in range(1, 2 * count, 2))


LIMITS = {
    "max_consecutive_inbound_frames_with_empty_payload": Limit(3, frame(DATA, 0, 1), OPEN),
    "max_inbound_priority_frames_per_stream": Limit(5, frame(PRIORITY, 0, 3, bytes(5))),
    "max_inbound_window_update_frames_per_data_frame_sent": Limit(7, frame(WINDOW_UPDATE, 0, 0, number(1)), OPEN),
}


@pytest.mark.parity(*(f"{HTTP2}.{name}" for name in LIMITS))
@pytest.mark.parametrize("name", LIMITS)
def test_frames_that_cost_a_peer_nothing(addresses: Addresses, name: str) -> None:
    most, piece, first = LIMITS[name]
    for count, lives in ((most, True), (most + 1, False)):
        assert [survives(address, first + piece * count) for address in addresses] == [lives, lives]


@pytest.mark.parity(f"{HTTP2}.max_inbound_priority_frames_per_stream")
def test_streams_allow_more_priorities(addresses: Addresses) -> None:
    piece = frame(PRIORITY, 0, 5, bytes(5))
    for count, lives in ((15, True), (16, False)):
        data = OPEN + request(3, POST, end=False) + piece * count
        assert [survives(address, data) for address in addresses] == [lives, lives]


@pytest.mark.parity(f"{HTTP2}.max_outbound_control_frames")
@pytest.mark.parametrize("piece", [frame(PING, 0, 0, bytes(8)), frame(SETTINGS)], ids=["ping", "settings"])
def test_answers_that_wait(addresses: Addresses, piece: bytes) -> None:
    """Those of one read wait for its end. The client's first SETTINGS and the PING that asks are answered, too."""
    for count, lives in ((200, True), (400, False)):
        assert [survives(address, piece * count) for address in addresses] == [lives, lives]


@pytest.mark.parity("rule 57")
@pytest.mark.parametrize("attack", [resets, refusals])
def test_the_rule_of_premature_resets(addresses: Addresses, attack: object) -> None:
    for count, lives in ((249, True), (250, False)):
        assert [survives(address, attack(count)) for address in addresses] == [lives, lives]  # type: ignore[operator]


@pytest.mark.parity("rule 57")
def test_values_of_one_settings_frame(addresses: Addresses) -> None:
    for count, lives in ((32, True), (33, False)):
        data = frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 65535) * count)
        assert [survives(address, data) for address in addresses] == [lives, lives]


@pytest.mark.parity("rule 57")
def test_header_blocks_that_do_not_end(addresses: Addresses) -> None:
    head = frame(HEADERS, 0, 1, literals(GET))
    ends = frame(CONTINUATION, END_HEADERS, 1, literals([("x", "y")]))
    nothing = frame(CONTINUATION, 0, 1)
    for data, lives in ((ends, True), (nothing * 20 + ends, False)):
        assert [survives(address, head + data) for address in addresses] == [lives, lives]


@pytest.mark.parity("rule 64", f"{HTTP2}.override_stream_error_on_invalid_http_message")
@pytest.mark.parametrize("attack", MALFORMED, ids=[attack.name for attack in MALFORMED])
def test_what_is_no_request_ends_the_connection(addresses: Addresses, attack: object) -> None:
    """Envoy takes a `host` that is not the authority, and drops it (docs/parity.md)."""
    data = b"".join(attack.feed())  # type: ignore[attr-defined]
    lives = "host is not the authority" in attack.name  # type: ignore[attr-defined]
    assert [survives(address, data) for address in addresses] == [lives, False]
