"""The lane of HTTP/2's streams and the general path are one proxy: `test_express`, asked over HTTP/2.

How often a header list is an index, and so how many bytes it takes, depends on values of time that come twice: what a
client is sent is compared decoded, and the bytes where no such value is sent.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h2.events
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.header_mutation import Mutation
from proxy.config.http1 import HeaderCase, Http1Options, UpstreamHttp1Options
from proxy.config.identity import Identity
from proxy.filters.http.header_mutation import HeaderMutation
from proxy.filters.network.hcm_express_stream import StreamLane
from tests.property.express.proxied import TLS, Outcome, run
from tests.property.express.routings import (
    CASES,
    CONSTANT,
    CONSTANT_ROUTING,
    EDITS,
    HEADER_MUTATION,
    PLAIN_ROUTING,
    REWRITTEN,
    ROUTINGS,
    Routing,
)
from tests.property.express.traffic import (
    GET,
    LONG,
    OF_MANY_PATHS,
    PLAIN,
    POST,
    SCRIPTS,
    TRACED,
    Answer,
    Step,
    sized,
)
from tests.unit.proxy.h2_rig import Peer
from tests.unit.proxy.rig import Client, plugin, router

CASE = HeaderCase(preserves=True)
_OF_CONNECTIONS = frozenset({"connection", "host", "transfer-encoding"})


class Asking:
    """An `ask` for `run`: a peer of the `h2` package on each connection."""

    def __init__(self) -> None:
        self._peers: dict[Client, Peer] = {}

    async def __call__(self, client: Client, request: bytes) -> bytes:
        if client not in self._peers:
            self._peers[client] = Peer(client)
        peer = self._peers[client]
        fields, body = over_http2(request)
        stream: int = peer.h2.get_next_available_stream_id()
        peer.h2.send_headers(stream, fields, end_stream=not body)
        if body:  # in the same packet: an answer that does not wait for it would be another race each time
            peer.h2.send_data(stream, body, end_stream=True)
        await peer.flush()
        with trio.move_on_after(2):
            while not peer.closed and not any(ends(event, stream) for event in peer.events):
                seen = len(peer.events)
                try:
                    await peer.read()
                    await credit(peer, peer.events[seen:])
                except trio.BrokenResourceError:
                    peer.closed = True
        events, peer.events = peer.events, []
        return b"".join(map(shown, events)) + (b"[end]" if peer.closed else b"")


async def credit(peer: Peer, events: list[Any]) -> None:
    """Let the proxy send as much again as has come."""
    for event in events:
        if isinstance(event, h2.events.DataReceived):
            peer.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    await peer.flush()


def over_http2(request: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """The request as a header list and a body."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    method, path, _ = line.split(" ")
    pairs = [(name.lower(), value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
    pseudo = [(":method", method), (":scheme", "http"), (":authority", dict(pairs)["host"]), (":path", path)]
    fields = [*pseudo, *(pair for pair in pairs if pair[0] not in _OF_CONNECTIONS)]
    return fields, b"abc" if b"transfer-encoding: chunked" in head else body


def ends(event: Any, stream: int) -> bool:
    return isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) and event.stream_id == stream


def shown(event: Any) -> bytes:
    """What an event says; nothing of those that only keep the connection going."""
    match event:
        case h2.events.ResponseReceived() | h2.events.InformationalResponseReceived():
            return "".join(f"{name}: {value}\r\n" for name, value in event.headers).encode()
        case h2.events.DataReceived():
            return bytes(event.data)
        case h2.events.StreamEnded():
            return b"[over]"
        case h2.events.StreamReset():
            return b"[reset %d]\r\n" % event.error_code
        case h2.events.ConnectionTerminated():
            return b"[goaway %d]" % event.error_code
    return b""


def serve(script: list[Step], path: Path, *, bytes_too: bool = False, **options: Any) -> Outcome:
    outcome = run(script, path, ask=Asking(), **options)
    if bytes_too:
        return outcome
    for name in ("tx", "rx"):  # the credit that a client gives depends on how its data comes
        outcome.words.pop(f"http.in.downstream_cx_{name}_bytes_total", None)
    return outcome._replace(log=re.sub(r"sent\([^)]*\)", "sent", outcome.log))


def assert_same(script: list[Step], path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    with_lane = serve(script, path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = serve(script, path / "without", lane=False, monkeypatch=monkeypatch, **options)
    for name, with_it, without_it in zip(Outcome._fields, with_lane, without, strict=True):
        if isinstance(with_it, dict):
            assert dict(with_it.items() - without_it.items()) == dict(without_it.items() - with_it.items()), name
        assert with_it == without_it, name


RESPONSES = [sized(b"", b"date: Mon, 23 Nov 2026 00:00:00 GMT\r\nx: %d\r\n" % number) for number in (1, 2, 1)]


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, remote=st.booleans(), suppress=st.booleans(), edits=EDITS, listener=CASES, cluster=CASES)
@example(script=[Step(GET, PLAIN)] * 4, remote=True, suppress=False, edits=(), listener=None, cluster=None)
@example(script=[Step(GET, PLAIN)] * 4, remote=True, suppress=False, edits=CONSTANT, listener=None, cluster=None)
@example(script=[Step(GET, LONG), Step(GET, LONG)], remote=True, suppress=False, edits=(), listener=None, cluster=None)
@example(
    script=[Step(GET, PLAIN), Step(POST, PLAIN)] * 2,
    remote=False,
    suppress=True,
    edits=(),
    listener=CASE,
    cluster=CASE,
)
def test_the_lane_changes_nothing(
    script: list[Step],
    remote: bool,
    suppress: bool,
    edits: tuple[Mutation, ...],
    listener: HeaderCase | None,
    cluster: HeaderCase | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation = plugin("m", HEADER_MUTATION, HeaderMutation.Config(request=edits, response=edits))
    assert_same(
        script,
        tmp_path,
        monkeypatch,
        identity=Identity(use_remote_address=remote),
        last=router(suppress_envoy_headers=suppress),
        filters=[mutation] if edits else [],
        http1=Http1Options(header_case=listener),
        upstream=UpstreamHttp1Options(header_case=cluster),
    )


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, suppress=st.booleans(), edits=EDITS, routing=ROUTINGS)
@example(script=[Step(GET, PLAIN)] * 4, suppress=False, edits=(), routing=CONSTANT_ROUTING)
@example(script=[*TRACED, *OF_MANY_PATHS], suppress=False, edits=CONSTANT, routing=REWRITTEN[1])
def test_the_lane_changes_nothing_of_what_routes_do(
    script: list[Step],
    suppress: bool,
    edits: tuple[Mutation, ...],
    routing: Routing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edit = HeaderMutation.Config(request=edits, response=edits)
    assert_same(
        script,
        tmp_path,
        monkeypatch,
        last=router(suppress_envoy_headers=suppress),
        filters=[plugin("m", HEADER_MUTATION, edit)],
        routing=routing,
    )


def test_the_lane_changes_nothing_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [Step(GET, PLAIN), *TRACED, Step(POST, PLAIN), Step(GET, LONG), *OF_MANY_PATHS]
    assert_same(script, tmp_path, monkeypatch, tls=TLS, identity=Identity(use_remote_address=True))


def test_the_bytes_are_the_same_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [Step(GET, Answer((response,))) for response in RESPONSES for _ in range(2)]
    assert_same(script, tmp_path, monkeypatch, bytes_too=True, last=router(suppress_envoy_headers=True))


def test_plain_requests_over_tls_take_the_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert taken([Step(GET, PLAIN)] * 5, tmp_path, monkeypatch, tls=TLS) == 4


@pytest.mark.parametrize(
    "routing", [PLAIN_ROUTING, CONSTANT_ROUTING, *REWRITTEN], ids=["plain", "constant", "prefix", "regex"]
)
def test_plain_requests_take_the_lane(routing: Routing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = Step(GET.replace(b"/ ", b"/a?b "), PLAIN)
    empty = Step(GET[:-2] + b"x: y\r\n\r\n", Answer((sized(b""),)))
    script = [*[Step(GET, PLAIN)] * 3, query, query, *TRACED, empty, Step(GET, Answer((sized(b"x" * 60_000),)))]
    assert taken(script, tmp_path, monkeypatch, routing=routing) == len(script) - 1


def taken(script: list[Step], path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> int:
    """How many requests of the script the lane serves; the first one has to open a connection."""
    count = 0
    respond = StreamLane._respond

    def counted(self: StreamLane, *arguments: Any) -> bool:
        nonlocal count
        count += (answered := respond(self, *arguments))
        return answered

    monkeypatch.setattr(StreamLane, "_respond", counted)
    serve(script, path / "log", lane=True, monkeypatch=monkeypatch, **options)
    return count
