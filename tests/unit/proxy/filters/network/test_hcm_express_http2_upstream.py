"""Exchanges with HTTP/2 upstreams that leave the express lane in the middle of something end as they would have.

As `test_hcm_express_stream`, whose scenarios are carried out here with a host that speaks HTTP/2.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
import trio

from proxy.config.http2 import Http2Options
from proxy.filters.network.hcm_express import Lane
from proxy.net.connection import Connection
from tests.unit.proxy.filters.network.test_hcm_express_stream import (
    ROUTES,
    SCENARIOS,
    Scenario,
    Told,
    active,
    ask,
    assert_same,
    status,
    without_lane,
)
from tests.unit.proxy.h2_rig import GET, Peer, connect
from tests.unit.proxy.rig import Client, Rig, compiled, serving, until, virtual_clock
from tests.unit.upstream.rig import origin


class Host:
    """One connection. Paths are those of `test_hcm_express_stream.serve`, and `/N/reset` (with code N), `/N/hints`: a
    103 and the answer in one packet, after N seconds, `/N/echo`: the request's body, then, `/0/leave`: a GOAWAY before
    the answer, `/0/refuse`: one that has not seen the request.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._credit = trio.Event()
        self._asked: dict[int, tuple[str, bytearray]] = {}
        self._sending = trio.Lock()
        self._over = trio.CancelScope()

    async def serve(self) -> None:
        self._h2.initiate_connection()
        await self._flush()
        with self._over:
            await self._listen()

    async def _listen(self) -> None:
        async with trio.open_nursery() as nursery:
            while data := await self._stream.receive_some(65536):
                for event in self._h2.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self._asked[event.stream_id] = dict(event.headers)[":path"], bytearray()
                    elif isinstance(event, h2.events.DataReceived):
                        self._asked[event.stream_id][1].extend(event.data)
                        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        nursery.start_soon(self._answer, event.stream_id, *self._asked.pop(event.stream_id))
                self._credit.set()
                self._credit = trio.Event()
                await self._flush()
            nursery.cancel_scope.cancel()

    async def _flush(self) -> None:
        async with self._sending:
            with contextlib.suppress(trio.BrokenResourceError):
                await self._stream.send_all(self._h2.data_to_send())

    async def _answer(self, stream: int, path: str, body: bytes) -> None:
        number, _, what = path.strip("/").partition("/")
        if what in ("late", "hints", "echo"):
            await trio.sleep(float(number))
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            match what:
                case "cut":
                    self._over.cancel()
                    return
                case "reset":
                    self._h2.reset_stream(stream, int(number))
                    await self._flush()
                    return
                case "hints":
                    self._h2.send_headers(stream, [(":status", "103"), ("link", "</x>")])
                case "leave" | "refuse":
                    last = stream if what == "leave" else stream - 2
                    async with self._sending:
                        await self._stream.send_all(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4) + bytes(4))
                    if what == "refuse":
                        return
            await self._send(stream, body if what == "echo" else bytes(int(number) if what == "of" else 2))

    async def _send(self, stream: int, body: bytes) -> None:
        self._h2.send_headers(stream, [(":status", "200"), ("content-length", str(len(body)))])
        while body:
            room = min(4000, len(body))
            if self._h2.local_flow_control_window(stream) < room:
                await self._flush()
                await self._credit.wait()
                continue
            self._h2.send_data(stream, body[:room], end_stream=room == len(body))
            body = body[room:]
        await self._flush()


async def serve(stream: trio.SocketStream) -> None:
    await Host(stream).serve()


async def hints_and_answer_together(rig: Rig, peer: Peer) -> Told:
    return [await status(peer, await ask(peer, "/0/hints"))]


async def reset_by_the_host(rig: Rig, peer: Peer) -> Told:
    return [await status(peer, await ask(peer, f"/{code}/reset")) for code in (2, 7, 8)]


async def host_leaves(rig: Rig, peer: Peer) -> Told:
    """The connection of the last one is another."""
    told = [await status(peer, await ask(peer, path)) for path in ("/0/leave", "/", "/", "/0/refuse", "/")]
    return [*told, rig.stats.value("cluster.origin.upstream_cx_total")]


async def one_late_beside_others(rig: Rig, peer: Peer) -> Told:
    late = await ask(peer, "/0.5/late")
    told = [await status(peer, await ask(peer, "/")) for _ in range(3)]
    return [*told, await status(peer, late)]


async def client_has_little_credit_for_a_long_one(rig: Rig, peer: Peer) -> Told:
    stream = await ask(peer, "/100000/of")
    await peer.until(h2.events.DataReceived, stream)
    peer.h2.increment_flow_control_window(1 << 20)
    peer.h2.increment_flow_control_window(1 << 20, stream)
    await peer.flush()
    return [await status(peer, stream)]


async def post(peer: Peer, path: str, *pieces: bytes, trailers: bool = False) -> int:
    """The first piece in one packet with the head."""
    stream: int = peer.h2.get_next_available_stream_id()
    peer.h2.send_headers(stream, [(":method", "POST"), *GET[1:3], (":path", path)])
    for piece in pieces:
        peer.h2.send_data(stream, piece, end_stream=piece is pieces[-1] and not trailers)
        if not trailers:
            await peer.flush()
    if trailers:
        peer.h2.send_headers(stream, [("x", "y")], end_stream=True)
    await peer.flush()
    return stream


async def echoed(peer: Peer, stream: int) -> bytes:
    await peer.until(h2.events.StreamEnded, stream)
    data = [event for event in peer.events if isinstance(event, h2.events.DataReceived) and event.stream_id == stream]
    for event in data:
        peer.events.remove(event)
        peer.h2.acknowledge_received_data(event.flow_controlled_length, stream)
    await peer.flush()
    return b"".join(bytes(event.data) for event in data)


async def body_sent_on(rig: Rig, peer: Peer) -> Told:
    """And given back to the client: together they are more than its window for the connection."""
    told = [await echoed(peer, await post(peer, "/0/echo", b"%d" % number * 9000)) for number in range(9)]
    return [body[:9] + b"%d" % len(body) for body in told]


async def body_echoed_late(rig: Rig, peer: Peer) -> Told:
    return [await echoed(peer, await post(peer, "/0.7/echo", b"abc"))]


async def body_in_two_packets(rig: Rig, peer: Peer) -> Told:
    return [await echoed(peer, await post(peer, "/0/echo", b"abc", b"def"))]


async def body_with_trailers(rig: Rig, peer: Peer) -> Told:
    return [await echoed(peer, await post(peer, "/0/echo", b"abc", trailers=True))]


async def body_too_long_for_the_lane(rig: Rig, peer: Peer) -> Told:
    return [len(await echoed(peer, await post(peer, "/0/echo", b"a" * 10000, b"b" * 10000)))]


async def body_whose_stream_is_reset(rig: Rig, peer: Peer) -> Told:
    stream = await post(peer, "/600/echo", b"abc")
    await until(lambda: active(rig) == 1)
    peer.h2.reset_stream(stream)
    await peer.flush()
    await until(lambda: active(rig) == 0)
    return []


async def body_that_the_host_resets(rig: Rig, peer: Peer) -> Told:
    return [await status(peer, await post(peer, "/8/reset", b"abc"))]


OWN = [
    body_sent_on,
    body_echoed_late,
    body_in_two_packets,
    body_with_trailers,
    body_too_long_for_the_lane,
    body_whose_stream_is_reset,
    body_that_the_host_resets,
    hints_and_answer_together,
    reset_by_the_host,
    host_leaves,
    one_late_beside_others,
    client_has_little_credit_for_a_long_one,
]


@pytest.mark.parametrize("scenario", [*SCENARIOS, *OWN], ids=lambda scenario: scenario.__name__)
def test_it_ends_as_it_would_have(scenario: Scenario, tmp_path: Path) -> None:
    options = {"http2": Http2Options(initial_connection_window_size=65535)} if scenario is body_sent_on else {}
    assert_same(scenario, tmp_path, host=serve, protocol="http2", **options)


# --- clients of HTTP/1 ------------------------------------------------------------------------------------------------


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: test\r\n\r\n".encode()


async def status_and_body(client: Client) -> tuple[bytes, bytes]:
    head, body = await client.response()
    return head.partition(b"\r\n")[0], body


async def late(rig: Rig, client: Client) -> Told:
    await client.send(get("/0.7/late"))
    return [(await client.response())[1]]


async def never(rig: Rig, client: Client) -> Told:
    await client.send(get("/99/late"))
    return [await status_and_body(client)]


async def cut(rig: Rig, client: Client) -> Told:
    await client.send(get("/0/cut"))
    return [await status_and_body(client)]


async def left_by_the_client(rig: Rig, client: Client) -> Told:
    await client.send(get("/600/late"))
    await until(lambda: active(rig) == 1)
    await trio.aclose_forcefully(client.stream)
    await until(lambda: active(rig) == 0)
    return []


async def in_two_packets(rig: Rig, client: Client) -> Told:
    """The second one comes while the lane waits."""
    await client.send(get("/0.1/late"))
    await until(lambda: active(rig) == 1)
    await client.send(get("/"))
    return [(await client.response())[1] for _ in range(2)]


async def drained(rig: Rig, client: Client) -> Told:
    await client.send(get("/0.1/late"))
    await until(lambda: active(rig) == 1)
    rig.start_drain()
    head, body = await client.response()
    return [b"connection: close" in head, body, await client.rest()]


async def taken_in_part(rig: Rig, client: Client) -> Told:
    """A socket takes a few bytes of an answer at once."""
    await client.send(get("/15000/of"))
    return [(await client.response())[1]]


OF_HTTP1 = [late, never, cut, left_by_the_client, in_two_packets, drained, taken_in_part]


@pytest.mark.parametrize("scenario", OF_HTTP1, ids=lambda scenario: scenario.__name__)
def test_clients_of_http1_are_served_as_they_would_have_been(scenario: object, monkeypatch: pytest.MonkeyPatch) -> None:
    lanes: list[Lane] = []
    send = Lane._send_request

    def noted(lane: Lane, data: bytes) -> bool:
        sent = send(lane, data)
        lanes.extend([lane] if sent else [])
        return sent

    async def main() -> tuple[Told, dict[str, int], dict[object, int]]:
        async with origin(serve) as upstream:
            config = compiled(upstream.address, routes=ROUTES, protocol="http2")
            async with serving(config) as rig:
                client = await rig.connect()
                await client.send(get("/"))
                await client.response()
                if scenario is taken_in_part:
                    _take_little(monkeypatch)
                with trio.fail_after(500):
                    told = await scenario(rig, client)  # type: ignore[operator]
                await trio.aclose_forcefully(client.stream)
                await rig.quiet()
                await rig.stop()
                words = {name: word.value for name, word in rig.stats.words.items() if word.value}
                for side in ("http.in.downstream", "cluster.origin.upstream"):
                    for way in ("tx", "rx"):
                        words.pop(f"{side}_cx_{way}_bytes_total", None)
                return told, words, dict(rig.tables.hosts._words)

    monkeypatch.setattr(Lane, "_send_request", noted)
    with_it = trio.run(main, clock=virtual_clock())
    assert lanes
    with without_lane():
        assert with_it == trio.run(main, clock=virtual_clock())


def _take_little(monkeypatch: pytest.MonkeyPatch) -> None:
    send_now = Connection.send_now

    def little(self: Connection, head: bytes, body: bytes | memoryview) -> int:
        return send_now(self, (head + body)[:1000], b"")

    monkeypatch.setattr(Connection, "send_now", little)


@pytest.mark.parametrize("over_http2", [False, True], ids=["h1", "h2"])
def test_a_cancelled_server_ends_exchanges_in_the_lane(over_http2: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with (
            origin(serve) as upstream,
            serving(compiled(upstream.address, routes=ROUTES, protocol="http2")) as rig,
        ):
            if over_http2:
                peer = await connect(rig)
                await peer.get()
                for _ in range(3):
                    await ask(peer, "/600/late")
            else:
                for _ in range(3):
                    client = await rig.connect()
                    await client.send(get("/"))
                    await client.response()
                    await client.send(get("/600/late"))
            await until(lambda: active(rig) == 3)
            await rig.stop()
            assert rig.gauges() == {}

    trio.run(main)
    assert not caplog.records
